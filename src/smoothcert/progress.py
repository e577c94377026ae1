"""Progress bars with the time left, in a terminal or a notebook, for work that takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

SHOWN_AFTER, PLAIN_EVERY = 2.0, 10.0
"""Seconds after which a bar appears; seconds between two lines without a terminal."""
NOTEBOOK_EVERY = 0.5

Count = Callable[[int], None]


@contextmanager
def counting(console: Console, what: str, total: int | None) -> Iterator[Count]:
    """Show progress until the block ends. Yields a function that takes the number of items done.

    Args:
        console: a terminal shows a bar, anything else a line every ten seconds.
        what: the activity, such as "predicting".
        total: number of items; None if it is not known.
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


@contextmanager
def interactive(what: str, total: int | None) -> Iterator[Count]:
    """Show progress for a caller from Python: a bar in a terminal, one line in a notebook, nothing elsewhere.

    Args:
        what: the activity, such as "certifying".
        total: number of items; None if it is not known.
    """
    if _in_notebook():
        with _notebook_line(what, total) as show:
            yield show
    elif sys.stderr.isatty():
        with counting(Console(stderr=True, highlight=False, emoji=False), what, total) as show:
            yield show
    else:
        yield lambda _: None


def duration(seconds: float) -> str:
    """Return a time in seconds, minutes or hours, such as "2 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def _line(what: str, done: int, total: int | None, elapsed: float) -> str:
    if not total:
        return f"{what}: {done:,}"
    left = duration(elapsed / done * (total - done)) if done else "some time"
    return f"{what}: {done:,}/{total:,}, about {left} left"


def _plain(console: Console, what: str, total: int | None, began: float) -> Count:
    last = began

    def show(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if total and done and now - last >= PLAIN_EVERY:
            last = now
            console.print(_line(what, done, total, now - began), markup=False, soft_wrap=True)

    return show


def _in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this process, without importing IPython."""
    shell = sys.modules.get("IPython")
    return shell is not None and type(shell.get_ipython()).__name__ == "ZMQInteractiveShell"


@contextmanager
def _notebook_line(what: str, total: int | None) -> Iterator[Count]:
    """Show progress on one line of a notebook's output, and clear it at the end."""
    from IPython.display import DisplayHandle

    fresh: Callable[[], Any] = DisplayHandle

    began = last = time.monotonic()
    handle: Any = None

    def show(done: int) -> None:
        nonlocal handle, last
        now = time.monotonic()
        if now - began < SHOWN_AFTER or now - last < NOTEBOOK_EVERY:
            return
        last = now
        bundle = {"text/plain": _line(what, done, total, now - began)}
        if handle is None:
            handle = fresh()
            handle.display(bundle, raw=True)
        else:
            handle.update(bundle, raw=True)

    try:
        yield show
    finally:
        if handle is not None:
            handle.update({"text/plain": ""}, raw=True)
