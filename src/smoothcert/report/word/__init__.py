"""Word files: the memo with locked numbers, and the form for the sponsor's fields; written, and read back. No torch."""

from smoothcert.report.word.memo import MEMO, docx_of, write_docx

__all__ = ["MEMO", "docx_of", "write_docx"]
