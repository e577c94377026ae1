"""The parts of the memo: printable text, fields (value, rounding rule, printed string, source) and layout blocks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smoothcert.stats.rounding import format_down, format_up, full

_COVERED = ((0x20, 0x7E), (0xA1, 0xAC), (0xAE, 0x17F), (0x391, 0x3A1), (0x3A3, 0x3A9), (0x3B1, 0x3C9), (0x410, 0x44F))
"""Latin, Greek and Cyrillic letters of the fonts that come with typst; a test prints all of them."""
_SINGLE = frozenset("ЁёІіЇїЄєҐґ–—‘’“”„…‹›€™←↑→↓−≤≥≠≈±×÷µ•†‡′″∞√")
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
MISSING = "[?]"


def clean(text: str) -> str:
    """Return a text on one line, in NFC, without control, format and soft-hyphen characters.

    >>> clean("two\\nlines\\u202e of  text")
    'two lines of text'
    """
    spaced = "".join(" " if c.isspace() else c for c in unicodedata.normalize("NFC", text))
    return " ".join("".join(c for c in spaced if unicodedata.category(c) not in _HIDDEN).split())


def has_glyphs(text: str) -> bool:
    """Whether the fonts of the memo contain every character of a text.

    >>> has_glyphs("Größe ≥ 3 µm"), has_glyphs("白血球")
    (True, False)
    """
    return all(c in _SINGLE or any(low <= ord(c) <= high for low, high in _COVERED) for c in text)


def substitute(text: str) -> str:
    """Return a clean text in which each run of unprintable words is replaced by one `MISSING`.

    >>> substitute("reader 白血球 分類 2.0")
    'reader [?] 2.0'
    """
    words: list[str] = []
    for word in clean(text).split():
        shown = word if has_glyphs(word) else MISSING
        if shown != MISSING or words[-1:] != [MISSING]:
            words.append(shown)
    return " ".join(words)


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters, cut at a word if possible; a longer one ends in an ellipsis.

    >>> cut("one two three", 9)
    'one two…'
    """
    if len(text) <= most:
        return text
    head = text[: most - 1]
    whole = head.rsplit(" ", 1)[0]
    return (whole if len(whole) > most // 2 else head).rstrip() + "…"


def class_label(number: int, name: str, most: int = 34) -> str:
    """Return the name of a class, or its number if the name is empty, too long or unprintable.

    >>> class_label(3, "白血球"), class_label(3, "platelet")
    ('class 3', 'platelet')
    """
    shown = clean(name)
    return shown if shown and has_glyphs(shown) and len(shown) <= most else f"class {number}"


EXACT, DOWN, UP, NEAREST, WORDS = "exact", "lower bound, down", "upper bound, up", "nearest", "words"
_NAMED = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Field:
    """A printed value.

    Attributes:
        value: the raw value, as JSON can hold it.
        rule: how `printed` was rounded from it (`EXACT`, `DOWN`, `UP`, `NEAREST` or `WORDS`).
        printed: what the memo prints.
        source: where the value comes from.
    """

    value: Any
    rule: str
    printed: str
    source: str


Fields = dict[str, Field]


def exact(value: float | str, source: str) -> Field:
    """A value printed in full: integers with thousands separators, floats in their shortest exact form."""
    printed = f"{value:,}" if isinstance(value, int) else full(value) if isinstance(value, float) else value
    return Field(value, EXACT, printed, source)


def down(value: float, decimals: int, source: str, scale: int = 1) -> Field:
    """A lower bound or share, rounded down after scaling (100 for percent)."""
    return Field(value, DOWN, format_down(value, decimals, scale), source)


def up(value: float, decimals: int, source: str, scale: int = 1) -> Field:
    """An upper bound or cost, rounded up after scaling."""
    return Field(value, UP, format_up(value, decimals, scale), source)


def nearest(value: float, decimals: int, source: str) -> Field:
    """A measurement, rounded to nearest."""
    return Field(value, NEAREST, f"{value:,.{decimals}f}", source)


def words(printed: str, source: str, value: Any = None) -> Field:
    """A text; `value` is the data it was made from. Default: the text itself."""
    return Field(printed if value is None else value, WORDS, printed, source)


def fill(text: str, fields: Mapping[str, Field]) -> str:
    """Return a reviewed text with every {name} replaced by the printed string of that field.

    Raises:
        KeyError: there is no such field.

    >>> fill("{m} images", {"m": exact(1000, "spec.json")})
    '1,000 images'
    """
    return _NAMED.sub(lambda match: fields[match[1]].printed, text)


DOES_NOT = "does not"
"""Place of the column of what is not guaranteed, which the wording check exempts by place, not by word."""


@dataclass(frozen=True)
class Heading:
    """A section's number and title."""

    number: str
    title: str


@dataclass(frozen=True)
class Prose:
    """A paragraph; `lead` is printed in bold before it. Styles: body, small, strong, reference, and code, with a plain
    lead and monospaced text."""

    text: str
    lead: str = ""
    style: str = "body"


@dataclass(frozen=True)
class Box:
    """Paragraphs in a frame. Styles: claim, warning."""

    paragraphs: tuple[Prose, ...]
    style: str = "claim"


@dataclass(frozen=True)
class Span:
    """A table cell that spans several columns."""

    text: str
    columns: int


Cell = str | Span


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        caption: printed above the table, or empty.
        headings: printed in the first row; empty for a table with row headings in its first column.
        rows: cells, a `Span` for one that covers several columns.
        widths: relative column widths.
        right: right-aligned columns, by position.
        mono: monospaced columns, by position.
        places: columns that a check treats separately (`DOES_NOT`), by position.
        lines: minimum height of a row in lines (sign-off tables leave room to write).
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    widths: tuple[float, ...]
    caption: str = ""
    right: tuple[int, ...] = ()
    mono: tuple[int, ...] = ()
    places: dict[int, str] = field(default_factory=dict)
    lines: float = 1


@dataclass(frozen=True)
class Picture:
    """The figure of the memo, with its alternative text."""

    description: str
    height: float
    """Maximum, in mm."""


@dataclass(frozen=True)
class Pair:
    """Two stacks of blocks side by side."""

    left: tuple[Block, ...]
    right: tuple[Block, ...]
    share: float = 0.5
    """Width of the left stack."""


Block = Heading | Prose | Box | Grid | Picture | Pair


@dataclass(frozen=True)
class Piece:
    """One printed string and its place.

    Attributes:
        text: what is printed.
        place: `DOES_NOT`, or empty.
        context: its caption, headings and row, or empty.
    """

    text: str
    place: str = ""
    context: str = ""


def pieces(blocks: Sequence[Block]) -> Iterator[Piece]:
    """Yield every printed string of a page, in printing order."""
    for block in blocks:
        match block:
            case Heading(number, title):
                yield Piece(f"{number} {title}".strip())
            case Prose(text, lead):
                yield Piece(f"{lead} {text}".strip())
            case Box(paragraphs):
                yield from pieces(paragraphs)
            case Grid():
                yield from _cells(block)
            case Pair(left, right):
                yield from pieces((*left, *right))


def _cells(grid: Grid) -> Iterator[Piece]:
    if grid.caption:
        yield Piece(grid.caption)
    for heading in grid.headings:
        yield Piece(heading, context=" ".join(grid.headings))
    for row in grid.rows:
        texts = [entry.text if isinstance(entry, Span) else entry for entry in row]
        context = " | ".join((grid.caption, *grid.headings, *texts))
        for column, text in enumerate(texts):
            yield Piece(text, grid.places.get(column, ""), context)


def record(block: Block) -> dict[str, Any]:
    """Return a block as plain values for the template."""
    facts: dict[str, Any] = {"kind": type(block).__name__.lower()}
    match block:
        case Heading(number, title):
            return {**facts, "text": f"{number} {title}".strip()}
        case Prose(text, lead, style):
            return {**facts, "text": text, "lead": lead, "style": style}
        case Box(paragraphs, style):
            return {**facts, "blocks": [record(each) for each in paragraphs], "style": style}
        case Picture(description, height):
            return {**facts, "description": description, "height": height}
        case Pair(left, right, share):
            return {**facts, "left": [*map(record, left)], "right": [*map(record, right)], "share": share}
        case Grid():
            names = ("caption", "headings", "widths", "right", "mono", "lines")
            return {
                **facts,
                **{name: getattr(block, name) for name in names},
                "rows": [_row(row) for row in block.rows],
            }


def _row(row: tuple[Cell, ...]) -> list[dict[str, Any]]:
    return [{"text": c.text, "span": c.columns} if isinstance(c, Span) else {"text": c, "span": 1} for c in row]
