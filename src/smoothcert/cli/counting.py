"""Progress of things that are counted: a bar with the time left, once it takes longer than a moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from smoothcert.cli.terminal import duration

SHOWN_AFTER, PLAIN_EVERY = 2.0, 10.0
"""Seconds after which a bar appears; seconds between two lines where there is no terminal."""

Count = Callable[[int], None]


@contextmanager
def counting(console: Console, what: str, total: int | None) -> Iterator[Count]:
    """Show how many of `total` are done until the block ends; give the number done to the function yielded.

    Args:
        console: where; a terminal gets a bar, anything else a plain line now and then.
        what: the doing, such as "predicting".
        total: how many there are; None where nothing is counted.
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield _plain(console, what, total, time.monotonic())
        return
    counted = () if total is None else (MofNCompleteColumn(), TimeRemainingColumn())
    columns = (TextColumn(what), BarColumn(bar_width=None, complete_style="cyan"), *counted)
    with Progress(*columns, console=console, expand=True, transient=True) as bar:
        task = bar.add_task(what, total=total, visible=False)
        appears = Timer(SHOWN_AFTER, lambda: bar.update(task, visible=True))
        appears.daemon = True
        appears.start()
        try:
            yield lambda done: bar.update(task, completed=done)
        finally:
            appears.cancel()


def _plain(console: Console, what: str, total: int | None, began: float) -> Count:
    last = began

    def show(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if total and done and now - last >= PLAIN_EVERY:
            last = now
            left = duration((now - began) / done * (total - done))
            console.print(f"{what}: {done:,}/{total:,}, about {left} left", markup=False, soft_wrap=True)

    return show
