"""Word files: the memo with locked numbers, and the form for the sponsor's fields; written, and read back. No torch."""

from smoothcert.report.word.form import read_fields, write_form
from smoothcert.report.word.memo import MEMO, docx_of, write_docx

__all__ = ["MEMO", "docx_of", "read_fields", "write_docx", "write_form"]
