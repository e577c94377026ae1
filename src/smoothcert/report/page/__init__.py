"""report.html: everything a run says on one page that needs no network. No torch."""

from smoothcert.report.page.build import write_page

__all__ = ["write_page"]
