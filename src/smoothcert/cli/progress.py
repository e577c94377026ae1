"""Live progress: a bar in a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from smoothcert.engine.session import Progress
from smoothcert.evidence.cost import times_fewer
from smoothcert.progress import duration

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
