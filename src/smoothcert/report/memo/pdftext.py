"""Read pages, text, foreign parts and glyph outlines of a PDF. The only module that imports pypdf."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from smoothcert.errors import EvidenceError, MissingExtraError

if TYPE_CHECKING:
    from pypdf import PdfReader


_T = TypeVar("_T")
DEEPEST = 20
"""Maximum nesting depth that is searched."""


def page_count(pdf: bytes) -> int:
    """Return the number of pages.

    Raises:
        MissingExtraError: pypdf is not installed.
        EvidenceError: the bytes are not a readable PDF.
    """
    return _read(pdf, lambda reader: len(reader.pages))


def page_texts(pdf: bytes) -> list[str]:
    """Return the text of each page, in drawing order.

    Raises:
        MissingExtraError: pypdf is not installed.
        EvidenceError: the bytes are not a readable PDF.
    """
    return _read(pdf, lambda reader: [page.extract_text() for page in reader.pages])


@dataclass(frozen=True)
class Embedded:
    """A font in a PDF.

    Attributes:
        name: its name without the subset prefix.
        program: the font file, CFF or TrueType.
        characters: the text of each glyph number.
    """

    name: str
    program: bytes
    characters: dict[int, str]


def embedded_fonts(pdf: bytes) -> tuple[str, list[Embedded]]:
    """Return the creator named in a PDF, and the embedded fonts of all pages.

    Raises:
        MissingExtraError: pypdf is not installed.
        EvidenceError: the bytes are not a readable PDF with embedded fonts.
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
"""Name prefixes of the fonts of the memo."""


def foreign_parts(pdf: bytes) -> list[str]:
    """Return the names of parts that no memo contains and that could display something other than its text.

    These are annotations, forms, actions, attachments and optional content; a second content layer on a page; parts
    appended to the file; raster images; fonts that are not of the memo, not embedded, or mapped differently than by
    typst. Not detected: shapes drawn over text in the content of a page (typesetting the memo again detects them), and
    redrawn glyphs in an embedded font (comparing outlines detects them).

    Raises:
        MissingExtraError: pypdf is not installed.
        EvidenceError: the bytes are not a readable PDF.
    """
    found = _read(pdf, _foreign)
    if pdf.count(b"startxref") != 1 or not pdf.rstrip().endswith(b"%%EOF"):
        found.append("appended parts")
    return list(dict.fromkeys(found))


def _foreign(reader: PdfReader) -> list[str]:
    found = [words for name, words in FOREIGN_KEYS.items() if name in reader.trailer]
    numbers = {number for part in reader.xref.values() for number in part} | set(reader.xref_objStm)
    for number in sorted(numbers):
        for each in _dictionaries(reader.get_object(number)):
            found += [words for name, words in FOREIGN_KEYS.items() if name in each]
            found += [words for name, words in FOREIGN_KINDS.items() if each.get("/Type") == name]
            found += ["a raster image"] if each.get("/Subtype") == "/Image" else []
            found += _font(each) if each.get("/Type") == "/Font" else []
    for page in reader.pages:
        contents = page["/Contents"].get_object()
        found += ["a second content layer on a page"] if isinstance(contents, list) and len(contents) != 1 else []
    return found


def _dictionaries(value: Any, depth: int = 0) -> Iterator[Any]:
    """Yield a dictionary and those nested in it; indirect objects are visited separately."""
    if isinstance(value, dict):
        yield value
    if depth < DEEPEST and isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _dictionaries(part, depth + 1)


def _font(font: Any) -> list[str]:
    kind, name = font.get("/Subtype"), str(font.get("/BaseFont", "")).partition("+")[2]
    if kind not in ("/Type0", "/CIDFontType0", "/CIDFontType2") or not name.startswith(FONTS):
        return ["a font that is not of the memo"]
    if kind == "/Type0":
        plain = font.get("/Encoding") == "/Identity-H" and "/ToUnicode" in font
        return [] if plain else ["a font with another character mapping"]
    described = font.get("/FontDescriptor", {}).get_object()
    embedded = "/FontFile2" in described or "/FontFile3" in described
    wanted = "/Identity" if kind == "/CIDFontType2" else None
    mapped = font.get("/CIDToGIDMap") == wanted
    return ([] if mapped else ["a font with another character mapping"]) + (
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
        raise EvidenceError(f"not a readable PDF ({type(error).__name__})", code="E-RUN-068") from None


Outlines = dict[str, dict[str, list[Any]]]
"""The outlines of each character in each font; digits have more than one."""

_SPECIMEN = """
#set page(width: 1000pt, height: auto)
#set text(font: "Libertinus Serif", ligatures: false, number-type: "lining", hyphenate: false)
#let shown = sys.inputs.words
#for width in ("tabular", "proportional") {
  set text(number-width: width)
  [#shown #strong(shown) #emph(shown) #strong(emph(shown)) ]
}
#set text(font: "DejaVu Sans Mono")
#shown
"""


def strange_glyphs(pdf: bytes) -> tuple[list[str], bool]:
    """Return the characters whose glyphs are not drawn as in the fonts of the memo.

    Args:
        pdf: a memo written by any version.

    Returns:
        The characters, and whether the installed typst is the one named in the PDF; if not, its fonts may differ.

    Raises:
        MissingExtraError: typst, pypdf or fontTools is not installed.
        EvidenceError: the fonts cannot be read.
    """
    creator, fonts = embedded_fonts(pdf)
    characters = {each for font in fonts for each in font.characters.values() if each.strip()}
    words = {word for page in page_texts(pdf) for word in page.split()}  # a glyph may depend on its neighbours
    here, specimen = embedded_fonts(_typeset(" ".join(sorted(characters | words))))
    known, found = _outlines(specimen), _outlines(fonts)
    strange = {
        character
        for name, glyphs in found.items()
        for character, drawn in glyphs.items()
        if character.strip() and any(outline not in known.get(name, {}).get(character, []) for outline in drawn)
    }
    return sorted(strange), creator == here


def _typeset(words: str) -> bytes:
    try:
        import typst
    except ImportError:
        raise MissingExtraError("Comparing glyphs", "report") from None
    pdf: bytes = typst.compile(_SPECIMEN.encode(), format="pdf", sys_inputs={"words": words}, ignore_system_fonts=True)
    return pdf


def _outlines(fonts: list[Embedded]) -> Outlines:
    found: Outlines = defaultdict(lambda: defaultdict(list))
    for font in fonts:
        try:
            for number, outline in _glyphs(font):
                found[font.name][font.characters[number]].append(outline)
        except MissingExtraError:
            raise
        except Exception as error:  # a malicious font may fail anywhere
            raise EvidenceError(
                f"the font {font.name[:40]} cannot be read ({type(error).__name__})", code="E-RUN-069"
            ) from None
    return found


def _glyphs(font: Embedded) -> Iterator[tuple[int, Any]]:
    """Yield the number and outline of each glyph of a character."""
    try:
        from fontTools.cffLib import CFFFontSet  # type: ignore[import-untyped]
        from fontTools.pens.recordingPen import DecomposingRecordingPen, RecordingPen  # type: ignore[import-untyped]
        from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError("Comparing glyphs", "report") from None
    if font.program[:4] == b"\x00\x01\x00\x00":
        whole = TTFont(io.BytesIO(font.program))
        names, glyphs = whole.getGlyphOrder(), whole.getGlyphSet()
        pen: Any = lambda: DecomposingRecordingPen(glyphs)  # noqa: E731
    else:
        parsed = CFFFontSet()
        parsed.decompile(io.BytesIO(font.program), None)
        names, glyphs, pen = parsed.topDictIndex[0].charset, parsed.topDictIndex[0].CharStrings, RecordingPen
    for number in font.characters:
        drawing = pen()
        glyphs[names[number]].draw(drawing)
        yield number, drawing.value
