"""From a recording to screens: what the terminal showed, character by character, at chosen seconds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recording import Recording

QUIET = 0.02
"""Seconds without output after which a screen is complete; a progress bar is redrawn in several pieces."""


@dataclass(frozen=True)
class Run:
    """Neighbouring characters of one row in one style.

    Args:
        column: where it begins, from 0.
        text: its characters.
        colour: a colour of the terminal ("default", "green", "brightblack"), or six hexadecimal digits.
        bold: whether it is bold.
    """

    column: int
    text: str
    colour: str = "default"
    bold: bool = False


Row = tuple[Run, ...]
Screen = tuple[Row, ...]


@dataclass(frozen=True)
class Frame:
    """One screen, and the second of the recording it was complete."""

    second: float
    screen: Screen


def frames(recording: Recording) -> list[Frame]:
    """Every complete screen of a recording that differs from the one before."""
    import pyte

    terminal = pyte.Screen(recording.columns, recording.rows)
    stream = pyte.Stream(terminal)
    found: list[Frame] = []
    for (when, text), after in zip(recording.events, _next_seconds(recording), strict=True):
        stream.feed(_dim_is_grey(text))
        if after - when >= QUIET:
            seen = _screen(terminal)
            if not found or found[-1].screen != seen:
                found.append(Frame(when, seen))
    return found


def _next_seconds(recording: Recording) -> Iterator[float]:
    yield from (when for when, _ in recording.events[1:])
    yield float("inf")


def _dim_is_grey(text: str) -> str:
    """The emulator knows no dim text; grey comes close."""
    return re.sub(r"\x1b\[(?:0;)?2m", "\x1b[90m", text)


def _screen(terminal: object) -> Screen:
    rows = [_row(terminal.buffer[y], terminal.columns) for y in range(terminal.lines)]  # type: ignore[attr-defined]
    while rows and not rows[-1]:
        rows.pop()
    return tuple(rows)


def _row(entries: Sequence[object], columns: int) -> Row:
    """The runs of one row; a run ends at two spaces, so that no width of a font can shift what follows."""
    styled = [(entries[x].data, entries[x].fg, entries[x].bold) for x in range(columns)]  # type: ignore[attr-defined]
    runs: list[Run] = []
    for x, (text, colour, bold) in enumerate(styled):
        before = runs[-1] if runs else None
        if before and (before.colour, before.bold) == (colour, bold) and before.column + len(before.text) == x:
            runs[-1] = Run(before.column, before.text + text, colour, bold)
        else:
            runs.append(Run(x, text, colour, bold))
    return tuple(piece for run in runs for piece in _pieces(run))


def _pieces(run: Run) -> Iterator[Run]:
    for match in re.finditer(r"\S+(?: \S+)*", run.text):
        yield Run(run.column + match.start(), match[0], run.colour, run.bold)
