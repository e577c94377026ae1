"""The terminal: tables that fit its width, text that stays text, and SIGTERM treated like Ctrl-C.

SIGHUP, a closed terminal, is left as it is: the process ends at once, as it would by `kill -9`, and loses as little.
"""

from __future__ import annotations

import shutil
import signal
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from smoothcert.errors import printable
from smoothcert.report import Table
from smoothcert.report.markup import visible

LEFT_OUT = (
    *("median", "certified", "this sample >=", "R_max", "wrong class", "abstained", "joint >= %"),
    *("latency", "energy", "noisy copies"),
)
"""Columns that go first where the terminal is narrow, in this order."""
BETWEEN = 3


class Screen(Console):
    """A console on which text is text: what could move the cursor, hide or reverse letters is shown as its escape."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return what is printed of a string."""
        return super().render_str(visible(text), **options)


def show(table: Table, whole_in: str = "with `smoothcert table RUN --format csv`") -> None:
    """Print a table: Markdown where the output is not a terminal, otherwise as many columns as its width takes.

    Args:
        table: what to print.
        whole_in: where all columns are, if some are left out.
    """
    if not sys.stdout.isatty():
        print(table.render("md"))
        return
    console = Screen()
    kept = _fitting(table, console.width)
    whole = len(kept) == len(table.headings)
    grid = Grid(header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for i in kept:
        name = table.headings[i]
        narrowest = len("not attainable") if "accuracy" in name else None
        grid.add_column(name, justify="right" if table.numeric(i) else "left", min_width=narrowest)
    grouped = len({row[:1] for row in table.rows}) < len(table.rows)
    before = None
    for row in table.rows:
        if grouped and before is not None and row[:1] != before:
            grid.add_section()
        grid.add_row(*(Text(visible(row[i] if whole else _short(row[i]))) for i in kept))  # a class may be called "[/]"
        before = row[:1]
    console.print(grid)
    if not whole:
        console.print(f"More columns in a wider terminal, or {whole_in}.", style="dim", markup=False)


def _fitting(table: Table, width: int) -> list[int]:
    """Return the columns that fit a width, in their order; the ones of `LEFT_OUT` give way."""
    kept = list(range(len(table.headings)))
    for name in LEFT_OUT:
        shorten = len(kept) < len(table.headings)
        if _width(table, kept, shorten) <= width:
            break
        kept = [i for i in kept if table.headings[i] != name]
    return kept


def _width(table: Table, kept: list[int], shorten: bool) -> int:
    texts = ([table.headings[i], *(_short(row[i]) if shorten else row[i] for row in table.rows)] for i in kept)
    return sum(max(map(len, column)) + BETWEEN for column in texts)


def _short(text: str) -> str:
    return "not attainable" if text.startswith("not attainable") else text


def print_text(text: str, indent: int = 0) -> None:
    """Print one line, control characters as escapes; in a terminal it is wrapped between words, and indented after."""
    text = printable(text)
    if sys.stdout.isatty():
        before, after = " " * indent, " " * (indent + 2)
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(
            text, width, initial_indent=before, subsequent_indent=after, break_long_words=False, break_on_hyphens=False
        )
        print(text)
    else:
        print(" " * indent + text)


@contextmanager
def terminated_is_interrupted() -> Iterator[None]:
    """Treat the first SIGTERM like Ctrl-C, so that pre-emption loses nothing; others do not disturb the stopping."""

    def interrupt(_: int, __: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.stderr.flush()
