"""The terminal: progress, tables that fit its width, control characters as escapes, and SIGTERM treated like Ctrl-C.

SIGHUP (a closed terminal) ends the process at once, like `kill -9`; no written line is lost.
"""

from __future__ import annotations

import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from smoothcert.errors import printable
from smoothcert.evidence.cost import times_fewer
from smoothcert.progress import duration
from smoothcert.report import Table
from smoothcert.report.markup import visible

if TYPE_CHECKING:
    from smoothcert.engine.session import Progress

LEFT_OUT = (
    *("median", "certified", "this sample >=", "R_max", "wrong class", "abstained", "joint >= %"),
    *("latency", "energy", "interval", "fixed: %", "samples"),
)
"""Columns that are left out first in a narrow terminal, in this order."""
BETWEEN, NARROWEST = 3, 6
"""Characters between two columns, and the width of a column beyond which it is not narrowed."""


class Screen(Console):
    """A console that shows text as it is: no emoji for `:two:`, and control characters as escapes.

    Nothing moves the cursor, or hides or reverses letters.
    """

    def __init__(self, **options: Any) -> None:
        """Take the options of rich's console."""
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string with its control characters as escapes."""
        return super().render_str(visible(text), **options)


def show(table: Table, whole_in: str = "with `smoothcert table RUN --format csv`") -> None:
    """Print a table: Markdown if the output is not a terminal, otherwise as many columns as fit.

    Args:
        table: the table.
        whole_in: where all columns are, if some are left out.
    """
    if not sys.stdout.isatty():
        print(table.render("md"))
        return
    console = Screen()
    kept = _fitting(table, console.width)
    whole = len(kept) == len(table.headings)
    grid = Grid(header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for i, width in zip(kept, _widths(table, kept, console.width), strict=True):
        grid.add_column(table.headings[i], justify="right" if table.numeric(i) else "left", width=width)
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
    """Return the columns that fit a width, in their order; those of `LEFT_OUT` are left out first."""
    kept = list(range(len(table.headings)))
    for name in LEFT_OUT:
        if _sum(_natural(table, kept)) <= width:
            break
        kept = [i for i in kept if table.headings[i] != name]
    return kept


def _widths(table: Table, kept: list[int], width: int) -> list[int]:
    """Return the widths of columns; where they do not fit, the widest are narrowed, and their cells wrapped."""
    widths = _natural(table, kept)
    while _sum(widths) > width and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _natural(table: Table, kept: list[int]) -> list[int]:
    """Return the widths at which no cell is wrapped, and headings only between words."""
    whole = len(kept) == len(table.headings)
    columns = ((table.headings[i], [row[i] if whole else _short(row[i]) for row in table.rows]) for i in kept)
    return [max(map(len, (*heading.split(), *cells))) for heading, cells in columns]


def _sum(widths: list[int]) -> int:
    return sum(widths) + BETWEEN * len(widths) - 1


def _short(text: str) -> str:
    return next((start for start in ("not attainable", "pilot too short") if text.startswith(start)), text)


def print_commands(console: Console, commands: Mapping[str, str], title: str = "Next:") -> None:
    """Print commands to type next, each with what it does.

    Args:
        console: where to.
        commands: what each does, by the command; "" needs no explanation.
        title: the line before.
    """
    width = max(map(len, commands))
    lines = [title, *(f"  {command:<{width}}  {what}" for command, what in commands.items())]
    if list(commands.values()) == [""]:
        lines = [f"{title} {next(iter(commands))}"]
    for line in lines:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def print_text(text: str, indent: int = 0) -> None:
    """Print one line, control characters as escapes; in a terminal it is wrapped between words, with an indent."""
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
    """Treat the first SIGTERM like Ctrl-C, so that pre-emption loses nothing; ignore further ones."""

    def interrupt(_: int, __: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.stderr.flush()


PLAIN_EVERY = 10.0
READING = "reading images"


@dataclass(frozen=True)
class Show:
    """The callbacks of a progress display: images read, of how many; and the progress of the run."""

    reading: Callable[[int, int], None]
    sampling: Callable[[Progress], None]


@contextmanager
def live(console: Console) -> Iterator[Show]:
    """Show the progress of a run on a console until the block ends."""
    if not console.is_terminal or console.is_dumb_terminal:
        plain = _Plain(console)
        yield Show(plain.read, plain)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None, complete_style="cyan", finished_style="green"),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}"),
    )
    with Bar(*columns, console=console, expand=True) as bar:
        task = bar.add_task("sampling", total=None, facts="", visible=False)

        def read(done: int, total: int) -> None:
            bar.update(task, description=READING, completed=done, total=total, visible=done < total)

        def show(seen: Progress) -> None:
            bar.update(
                task,
                description=f"sigma {seen.sigma:g}",
                completed=seen.decided,
                total=seen.total,
                facts=_facts(seen),
                visible=True,
            )

        yield Show(read, show)


class _Plain:
    """Prints one line every ten seconds, and one at the end."""

    def __init__(self, console: Console) -> None:
        self._console, self._last = console, time.monotonic()

    def read(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= PLAIN_EVERY:
            self._last = now
            self._console.print(f"{READING}: {done:,}/{total:,}", markup=False, soft_wrap=True)

    def __call__(self, seen: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= PLAIN_EVERY or seen.decided == seen.total:
            self._last = now
            self._console.print(
                f"sigma {seen.sigma:g}: {seen.decided}/{seen.total} decided, {_facts(seen)}, "
                f"{duration(seen.seconds)}{_left(seen)}",
                markup=False,
                soft_wrap=True,
            )


def _left(seen: Progress) -> str:
    return "" if seen.seconds_left is None else f", about {duration(seen.seconds_left)} left"


def _facts(seen: Progress) -> str:
    rate = seen.samples / seen.seconds if seen.seconds > 0 else 0.0
    pace = f"{rate:,.0f} samples/s"
    if seen.fixed_samples <= seen.decided_samples:  # nothing decided yet, or fixed sampling
        return pace
    return f"{pace}, {times_fewer(seen.fixed_samples, seen.decided_samples)} times fewer than fixed"
