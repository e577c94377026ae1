"""What the notebook's cells show: sentences, tables and pictures."""

from __future__ import annotations

import html
import io
import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from smoothcert.errors import EvidenceError, printable
from smoothcert.report.figures.style import styled
from smoothcert.report.markup import visible
from smoothcert.report.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI, WIDE = 240, 640  # pixels an inch as stored; pixels across on the screen
COLOURS = 256  # of a drawing; makes its file a third as large
SCROLLED = 30  # rows beyond which a table scrolls
_NUMBER = re.compile(r"(>= |over )?[-+]?[\d.,]+(e[-+]?\d+)?( ?%.*|/\d.*| (to|of) .*| \((\d|this|k).*|[\n ,\d.]*)", re.S)
SHORT, LONG = 18, 40  # characters of a text that stays on one line, and of a word that may be broken
Shown = tuple[str, str]
"""An output as HTML and as plain text."""


def say(sentence: str, warn: bool = False) -> None:
    """Show a sentence.

    Args:
        sentence: plain text; nothing in it is read as markup.
        warn: show it as a warning.
    """
    _show(*said(sentence, warn))


def said(sentence: str, warn: bool = False) -> Shown:
    """Return what `say` shows."""
    style = ' style="color: #a03000; font-weight: bold"' if warn else ""
    sentence = printable(sentence)
    return f"<p{style}>{html.escape(sentence)}</p>", textwrap.fill(sentence, 120)


def hold(agrees: bool, otherwise: str) -> None:
    """Go on only where a check by hand agrees; unlike an `assert`, Python never leaves it out.

    Raises:
        EvidenceError: with these words.
    """
    if not agrees:
        raise EvidenceError(otherwise)


def table(found: Table, caption: str = "") -> None:
    """Show a table; a long one scrolls, and its plain text is cut.

    Args:
        found: the table; nothing in it is read as markup.
        caption: what the table says, in one sentence.
    """
    _show(*set_out(found, caption))


def set_out(found: Table, caption: str = "") -> Shown:
    """Return what `table` shows."""
    caption, many = printable(caption), len(found.rows) > SCROLLED
    box = "max-height: 30em; overflow: auto" if many else "overflow-x: auto"
    sides = [_side([row[i] for row in found.rows]) for i in range(len(found.headings))]
    body = "".join(_row("td", row, sides) for row in found.rows)
    title = f"<p><em>{html.escape(caption)}</em></p>" if caption else ""
    head = f"<thead>{_row('th', found.headings, sides)}</thead>"
    cut = Table(found.headings, found.rows[:SCROLLED], found.records)
    rest = f"\n... {len(found.rows) - SCROLLED:,} more rows" if many else ""
    page = f'<div style="{box}">{title}<table>{head}\n<tbody>\n{body}</tbody></table></div>'
    return page, f"{caption}\n{cut.render('md')}{rest}".strip()


def _row(kind: str, texts: Sequence[str], sides: Sequence[str]) -> str:
    cells = (f"<{kind}{side}>{_broken(text, kind)}</{kind}>" for text, side in zip(texts, sides, strict=True))
    return f"<tr>{''.join(cells)}</tr>\n"


def _broken(text: str, kind: str) -> str:
    """Say where a cell's lines may break: never in short texts, at line ends, and inside words as long as a hash."""
    text = visible(text)
    if kind == "td" and len(text) <= SHORT:
        text = text.replace(" ", "\N{NO-BREAK SPACE}")
    words = re.sub(rf"(\S{{{LONG}}})(?=\S)", "\\1\N{ZERO WIDTH SPACE}", text)
    return html.escape(words).replace("\n", "<br>").replace("\N{ZERO WIDTH SPACE}", "<wbr>")


def _side(column: Sequence[str]) -> str:
    """Words are read from the left; numbers stand on the right, as they do in every notebook."""
    told = [text for text in column if text != "-" and not text.startswith("not ")]
    numbers = [text for text in told if _NUMBER.fullmatch(text)]
    return ' style="text-align: left"' if 2 * len(numbers) < len(told) else ""


@styled
def picture(figure: Figure, words: str, photo: bool = False) -> None:
    """Show a figure as PNG.

    Args:
        figure: the figure.
        words: what it shows, for readers who cannot see it.
        photo: whether it holds images, whose colours must stay as they are.
    """
    from IPython.display import Image, display
    from PIL import Image as Pixels

    drawn, stored = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
    pixels = Pixels.open(drawn).convert("RGB")
    if not photo:
        pixels = pixels.quantize(COLOURS, dither=Pixels.Dither.NONE)
    pixels.save(stored, format="png", optimize=True)
    display(Image(stored.getvalue(), width=WIDE, alt=words))  # type: ignore[no-untyped-call]


def _show(page: str, plain: str) -> None:
    from IPython.display import display

    display({"text/html": page, "text/plain": plain}, raw=True)  # type: ignore[no-untyped-call]
