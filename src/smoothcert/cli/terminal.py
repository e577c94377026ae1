"""Tables for people: all columns where the terminal is wide enough, fewer where it is not."""

from __future__ import annotations

import shutil
import sys
import textwrap

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid

from smoothcert.report import Table

WIDE = 165
LEFT_OUT = ("certified", "this sample >=", "joint >= %", "abstained", "wrong class", "R_max", "median")


def show(table: Table) -> None:
    """Print a table: Markdown where the output is not a terminal, otherwise what fits its width."""
    if not sys.stdout.isatty():
        print(table.render("md"))
        return
    console = Console()
    wide = console.width >= WIDE
    kept = [i for i, name in enumerate(table.headings) if wide or name not in LEFT_OUT]
    grid = Grid(header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for i in kept:
        name = table.headings[i]
        grid.add_column(name, justify="right", min_width=len("not attainable") if "accuracy" in name else None)
    before = None
    for row in table.rows:
        if before is not None and row[:1] != before:
            grid.add_section()
        grid.add_row(*(row[i] if wide else row[i].partition(" (")[0] for i in kept))
        before = row[:1]
    console.print(grid)
    if len(kept) < len(table.headings):
        console.print("More columns in a wider terminal, or with `smoothcert table RUN --format csv`.", style="dim")


def tell(text: str, indent: int = 0) -> None:
    """Print one line; in a terminal it is wrapped between words, with what follows further indented."""
    if sys.stdout.isatty():
        before, after = " " * indent, " " * (indent + 2)
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(
            text, width, initial_indent=before, subsequent_indent=after, break_long_words=False, break_on_hyphens=False
        )
        print(text)
    else:
        print(" " * indent + text)


def duration(seconds: float) -> str:
    """Return a time in the unit a person would use: seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
