"""Pages and text of a PDF, and the only place that knows pypdf."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from smoothcert.errors import EvidenceError, MissingExtraError

if TYPE_CHECKING:
    from pypdf import PdfReader

_T = TypeVar("_T")


def page_count(pdf: bytes) -> int:
    """Return the number of pages.

    Raises:
        MissingExtraError: pypdf is not installed.
        EvidenceError: these bytes are not a PDF that can be read.
    """
    return _read(pdf, lambda reader: len(reader.pages))


def page_texts(pdf: bytes) -> list[str]:
    """Return the text of each page, in the order in which it was drawn.

    Raises:
        MissingExtraError: pypdf is not installed.
        EvidenceError: these bytes are not a PDF that can be read.
    """
    return _read(pdf, lambda reader: [page.extract_text() for page in reader.pages])


def _read(pdf: bytes, take: Callable[[PdfReader], _T]) -> _T:
    try:
        from pypdf import PdfReader
        from pypdf.errors import PyPdfError
    except ImportError:
        raise MissingExtraError("Reading the text of a PDF", "report") from None
    try:
        return take(PdfReader(io.BytesIO(pdf), strict=True))
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OSError) as error:
        raise EvidenceError(f"this is not a readable PDF ({type(error).__name__})") from None
