"""Pages, text and foreign parts of a PDF, and the only place that knows pypdf."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from smoothcert.errors import EvidenceError, MissingExtraError

if TYPE_CHECKING:
    from pypdf import PdfReader

_T = TypeVar("_T")
DEEPEST = 20
"""Levels of nesting that are looked through."""


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


@dataclass(frozen=True)
class Embedded:
    """A font in a PDF.

    Attributes:
        name: its name without the mark of a subset.
        program: the font file, CFF or TrueType.
        characters: what each glyph number stands for when text is copied.
    """

    name: str
    program: bytes
    characters: dict[int, str]


def embedded_fonts(pdf: bytes) -> tuple[str, list[Embedded]]:
    """Return the program that wrote a PDF, as it says itself, and the fonts of all its pages.

    Raises:
        MissingExtraError: pypdf is not installed.
        EvidenceError: these bytes are not a PDF of embedded fonts that can be read.
    """
    return _read(pdf, lambda reader: (str(getattr(reader.metadata, "creator", "")), list(_embedded(reader))))


def _embedded(reader: PdfReader) -> Iterator[Embedded]:
    numbers = {number for part in reader.xref.values() for number in part} | set(reader.xref_objStm)
    for number in sorted(numbers):
        font = reader.get_object(number)
        if not isinstance(font, dict) or font.get("/Subtype") != "/Type0":
            continue
        described = font["/DescendantFonts"][0].get_object()["/FontDescriptor"].get_object()
        program = described.get("/FontFile3", described.get("/FontFile2")).get_object().get_data()
        text = font["/ToUnicode"].get_object().get_data().decode("latin-1")
        pairs = re.findall(r"<([0-9A-Fa-f]{4})>\s*<([0-9A-Fa-f]{4,})>\s*\n", text)
        characters = {int(glyph, 16): bytes.fromhex(code).decode("utf-16-be") for glyph, code in pairs if glyph}
        yield Embedded(str(font["/BaseFont"]).partition("+")[2].removesuffix("-Identity-H"), program, characters)


FOREIGN_KEYS = {
    "/Annots": "an annotation",
    "/AcroForm": "a form",
    "/XFA": "a form",
    "/JS": "a script",
    "/JavaScript": "a script",
    "/AA": "an action",
    "/OpenAction": "an action",
    "/URI": "a link",
    "/EmbeddedFiles": "an attachment",
    "/EF": "an attachment",
    "/AF": "an attachment",
    "/OCProperties": "optional content, which can be switched on and off",
    "/OCGs": "optional content, which can be switched on and off",
    "/Collection": "an attachment",
    "/Encrypt": "encryption",
}
FOREIGN_KINDS = {
    "/Action": "an action",
    "/Annot": "an annotation",
    "/Filespec": "an attachment",
    "/EmbeddedFile": "an attachment",
    "/OCG": "optional content, which can be switched on and off",
    "/OCMD": "optional content, which can be switched on and off",
}
FONTS = ("LibertinusSerif-", "DejaVuSansMono")
"""Beginnings of the names of the fonts that the memo is set in."""


def foreign_parts(pdf: bytes) -> list[str]:
    """Name what no memo holds, and what could show a reader other words than the text says.

    Annotations, forms, actions, attachments and optional content; a second layer of content on a page; parts appended
    after the file was written; pictures of pixels; fonts that are not the memo's, not embedded, or whose letters are
    mapped otherwise than as typst maps them. Not found: shapes drawn over text inside the content of a page, which
    setting the memo anew finds, and letters redrawn inside an embedded font, which comparing their outlines finds.

    Raises:
        MissingExtraError: pypdf is not installed.
        EvidenceError: these bytes are not a PDF that can be read.
    """
    found = _read(pdf, _foreign)
    if pdf.count(b"startxref") != 1 or not pdf.rstrip().endswith(b"%%EOF"):
        found.append("parts appended after it was written")
    return list(dict.fromkeys(found))


def _foreign(reader: PdfReader) -> list[str]:
    found = [words for name, words in FOREIGN_KEYS.items() if name in reader.trailer]
    numbers = {number for part in reader.xref.values() for number in part} | set(reader.xref_objStm)
    for number in sorted(numbers):
        for each in _dictionaries(reader.get_object(number)):
            found += [words for name, words in FOREIGN_KEYS.items() if name in each]
            found += [words for name, words in FOREIGN_KINDS.items() if each.get("/Type") == name]
            found += ["a picture of pixels"] if each.get("/Subtype") == "/Image" else []
            found += _font(each) if each.get("/Type") == "/Font" else []
    for page in reader.pages:
        contents = page["/Contents"].get_object()
        found += ["a second layer of content on a page"] if isinstance(contents, list) and len(contents) != 1 else []
    return found


def _dictionaries(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield a dictionary and those directly inside it; what lies in objects of their own is met there."""
    if isinstance(value, dict):
        yield value
    if depth < DEEPEST and isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _dictionaries(part, depth + 1)


def _font(font: Any) -> list[str]:
    kind, name = font.get("/Subtype"), str(font.get("/BaseFont", "")).partition("+")[2]
    if kind not in ("/Type0", "/CIDFontType0", "/CIDFontType2") or not name.startswith(FONTS):
        return ["a font that is not the memo's"]
    if kind == "/Type0":
        plain = font.get("/Encoding") == "/Identity-H" and "/ToUnicode" in font
        return [] if plain else ["a font whose letters are mapped otherwise"]
    described = font.get("/FontDescriptor", {}).get_object()
    embedded = "/FontFile2" in described or "/FontFile3" in described
    wanted = "/Identity" if kind == "/CIDFontType2" else None
    mapped = font.get("/CIDToGIDMap") == wanted
    return ([] if mapped else ["a font whose letters are mapped otherwise"]) + (
        [] if embedded else ["a font that is not embedded"]
    )


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
