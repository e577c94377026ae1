"""The memo: four pages for a regulatory-affairs reader, from a run and the sponsor's statements. No torch."""

from smoothcert.report.memo.blocks import Field
from smoothcert.report.memo.build import FILES, write_memo
from smoothcert.report.memo.memo import Memo, make_memo, memo_fields
from smoothcert.report.memo.sponsor import FIELDS, Sponsor, make_sponsor, read_sponsor

__all__ = [
    "FIELDS",
    "FILES",
    "Field",
    "Memo",
    "Sponsor",
    "make_memo",
    "make_sponsor",
    "memo_fields",
    "read_sponsor",
    "write_memo",
]
