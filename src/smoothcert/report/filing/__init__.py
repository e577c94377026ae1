"""Files that go into other systems: rows for a risk file, a trace of requirements, a model card, MLflow. No torch."""

from smoothcert.report.filing.card import CARD
from smoothcert.report.filing.rows import RISKS, TRACE, rows_texts
from smoothcert.report.filing.write import filing_texts, write_filing

__all__ = ["CARD", "RISKS", "TRACE", "filing_texts", "rows_texts", "write_filing"]
