"""What the memo is set from: printable text, fields (a value, how it was rounded, where it comes from) and blocks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smoothcert.stats.rounding import format_down, format_up, full

_COVERED = ((0x20, 0x7E), (0xA1, 0xAC), (0xAE, 0x17F), (0x391, 0x3A1), (0x3A3, 0x3A9), (0x3B1, 0x3C9), (0x410, 0x44F))
"""Latin, Greek and Cyrillic letters of the fonts that come with typst; a test prints every one of them."""
_SINGLE = frozenset("ЁёІіЇїЄєҐґ–—‘’“”„…‹›€™←↑→↓−≤≥≠≈±×÷µ•†‡′″∞√")
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
MISSING = "[?]"


def clean(text: str) -> str:
    """Return a text in one line, composed (NFC), without control, format and soft-hyphen characters.

    >>> clean("two\\nlines\\u202e of  text")
    'two lines of text'
    """
    spaced = "".join(" " if c.isspace() else c for c in unicodedata.normalize("NFC", text))
    return " ".join("".join(c for c in spaced if unicodedata.category(c) not in _HIDDEN).split())


def has_glyphs(text: str) -> bool:
    """Whether the fonts of the memo have every character of a text.

    >>> has_glyphs("Größe ≥ 3 µm"), has_glyphs("白血球")
    (True, False)
    """
    return all(c in _SINGLE or any(low <= ord(c) <= high for low, high in _COVERED) for c in text)


def substitute(text: str) -> str:
    """Return a clean text in which every word that cannot be printed is replaced by `MISSING`, once in a row.

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
    """Return a text of at most so many characters, ended by an ellipsis where it was longer.

    >>> cut("one two three", 9)
    'one two…'
    """
    if len(text) <= most:
        return text
    head = text[: most - 1]
    whole = head.rsplit(" ", 1)[0]
    return (whole if len(whole) > most // 2 else head).rstrip() + "…"


def class_label(number: int, name: str, most: int = 34) -> str:
    """Return a class's name; its number where the name is empty, too long, or has characters the fonts lack.

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
        source: where the value comes from, in words.
    """

    value: Any
    rule: str
    printed: str
    source: str


Fields = dict[str, Field]


def exact(value: float | str, source: str) -> Field:
    """A value printed in full: whole numbers with thousands separators, settings as short as they read back."""
    printed = f"{value:,}" if isinstance(value, int) else full(value) if isinstance(value, float) else value
    return Field(value, EXACT, printed, source)


def down(value: float, decimals: int, source: str, scale: int = 1) -> Field:
    """A lower bound or share; rounded down after scaling (100 for percent)."""
    return Field(value, DOWN, format_down(value, decimals, scale), source)


def up(value: float, decimals: int, source: str, scale: int = 1) -> Field:
    """An upper bound or cost; rounded up after scaling."""
    return Field(value, UP, format_up(value, decimals, scale), source)


def nearest(value: float, decimals: int, source: str) -> Field:
    """A measurement that bounds nothing; rounded to nearest."""
    return Field(value, NEAREST, f"{value:,.{decimals}f}", source)


def words(printed: str, source: str, value: Any = None) -> Field:
    """A text; `value` is what it was made from, left out where it is the text itself."""
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
"""Place of the column that says what is not guaranteed: exempt from the wording check by place, not by word."""


@dataclass(frozen=True)
class Heading:
    """A section's number and title."""

    number: str
    title: str


@dataclass(frozen=True)
class Prose:
    """A paragraph; `lead` is printed bold before it. Styles: body, small, strong, reference, and code,
    whose lead is plain and whose text is set in a typewriter face."""

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
    """A cell as wide as several columns."""

    text: str
    columns: int


Cell = str | Span


@dataclass(frozen=True)
class Grid:
    """A table.

    Attributes:
        caption: printed above it, or empty.
        headings: printed in its first row; empty for a table whose first column names the rows.
        rows: cells, a `Span` where one stands for several columns.
        widths: relative column widths, 0 for as wide as needed.
        right: columns (by position) whose cells are set flush right.
        mono: columns set in a typewriter face.
        places: names of columns that a check treats apart (`DOES_NOT`), by position.
        lines: height of a row in lines, at least (sign-off tables leave room to write).
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
    """The figure of the memo, with its description for those who cannot see it."""

    description: str
    height: float
    """In mm, at most."""


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
    """One printed string, and where it stands.

    Attributes:
        text: what is printed.
        place: `DOES_NOT`, or empty.
        context: the caption, headings and row it stands in, or the text itself.
    """

    text: str
    place: str = ""
    context: str = ""


def pieces(blocks: Sequence[Block]) -> Iterator[Piece]:
    """Yield every printed string of a page, in the order of printing."""
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
    """Return a block as a plain record for the template."""
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
