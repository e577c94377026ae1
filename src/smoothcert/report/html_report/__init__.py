"""`report.html`: all results of a run in one file that needs no network. No torch."""

from smoothcert.report.html_report.build import write_page

__all__ = ["write_page"]
