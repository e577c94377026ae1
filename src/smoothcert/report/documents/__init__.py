"""The check of the documents by `verify`: recompute them and compare, following the list in the log. No torch."""

from smoothcert.report.documents.check import Documents, check_documents

__all__ = ["Documents", "check_documents"]
