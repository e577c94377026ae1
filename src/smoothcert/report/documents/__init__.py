"""What `verify` says of the documents: recomputed and compared, by the log's list. No torch."""

from smoothcert.report.documents.check import Documents, check_documents

__all__ = ["Documents", "check_documents"]
