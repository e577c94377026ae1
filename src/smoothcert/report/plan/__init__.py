"""What a plan prints: tables, a figure, a page, and after the run the comparison with what was realised. No torch."""

from smoothcert.report.plan.tables import plan_table
from smoothcert.report.plan.write import write_plan

__all__ = ["plan_table", "write_plan"]
