"""What is handed over: tables from results. No torch."""

from smoothcert.report.table import FORMATS, Table, log_table, results_table

__all__ = ["FORMATS", "Table", "log_table", "results_table"]
