"""The documents of a plan: tables, figure and page, and the comparison with the finished run. No torch."""

from smoothcert.report.plan.tables import plan_table
from smoothcert.report.plan.write import write_plan

__all__ = ["plan_table", "write_plan"]
