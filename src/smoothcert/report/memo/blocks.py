"""What a page is made of: headings, paragraphs, boxes, tables, a figure. Every printed word lies in one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

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
        texts = [cell.text if isinstance(cell, Span) else cell for cell in row]
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
