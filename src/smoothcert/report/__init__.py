"""The documents of a run: tables, figures, notebook, interactive report and memo, all derived from votes. No torch."""

from smoothcert.report.groups import subgroup_note
from smoothcert.report.results import TABLES, table_of
from smoothcert.report.results_table import FORMATS, Table, log_table, results_table
from smoothcert.report.write import ReportOptions, write_report

__all__ = [
    "FORMATS",
    "TABLES",
    "ReportOptions",
    "Table",
    "log_table",
    "results_table",
    "subgroup_note",
    "table_of",
    "write_report",
]
