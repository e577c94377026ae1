"""report.html: everything a run says on one page that needs no network. No torch."""

from smoothcert.report.html_report.build import write_page

__all__ = ["write_page"]
