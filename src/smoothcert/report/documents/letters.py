"""Does each letter of a PDF look like the letter it is copied as? Its outlines beside those of the memo's own fonts."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from smoothcert.errors import EvidenceError, MissingExtraError
from smoothcert.report.memo.pdftext import Embedded, embedded_fonts, page_texts

Outlines = dict[str, dict[str, list[Any]]]
"""For each font and character, the outlines that stand for it: digits have more than one."""

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


def strange_letters(pdf: bytes) -> tuple[list[str], bool]:
    """Name the characters whose glyphs are not drawn as in the memo's fonts.

    Args:
        pdf: the memo as written by any version.

    Returns:
        The characters, and whether the typst that is installed here is the one that the PDF names: if not, its fonts
        may be others.

    Raises:
        MissingExtraError: typst, pypdf or fontTools is not installed.
        EvidenceError: the fonts cannot be read.
    """
    creator, fonts = embedded_fonts(pdf)
    characters = {each for font in fonts for each in font.characters.values() if each.strip()}
    words = {word for page in page_texts(pdf) for word in page.split()}  # a letter may be drawn to suit its neighbours
    here, specimen = embedded_fonts(_set_in_type(" ".join(sorted(characters | words))))
    known, found = _outlines(specimen), _outlines(fonts)
    strange = {
        character
        for name, glyphs in found.items()
        for character, drawn in glyphs.items()
        if character.strip() and any(outline not in known.get(name, {}).get(character, []) for outline in drawn)
    }
    return sorted(strange), creator == here


def _set_in_type(words: str) -> bytes:
    try:
        import typst
    except ImportError:
        raise MissingExtraError("Comparing letters", "report") from None
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
        except Exception as error:  # a font made to confuse its reader may fail it anywhere
            raise EvidenceError(f"the font {font.name[:40]} cannot be read ({type(error).__name__})") from None
    return found


def _glyphs(font: Embedded) -> Iterator[tuple[int, Any]]:
    """Yield the number and outline of each glyph that stands for a character."""
    try:
        from fontTools.cffLib import CFFFontSet  # type: ignore[import-untyped]
        from fontTools.pens.recordingPen import DecomposingRecordingPen, RecordingPen  # type: ignore[import-untyped]
        from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtraError("Comparing letters", "report") from None
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
