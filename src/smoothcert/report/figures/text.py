"""Text on a figure: measured with the font it is printed in, so that it fits its place."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from smoothcert.report.figures.style import FONT

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

_FINE = 10  # measure at ten times the size: hinting rounds widths to whole dots


@cache
def _font(bold: bool) -> FT2Font:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return get_font(findfont(FontProperties(family=FONT, weight="bold" if bold else "normal")))


def width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of one line, in cm, at a font size in points."""
    font = _font(bold)
    font.set_size(size, 72 * _FINE)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64 / _FINE * 2.54 / 72


def wrap(text: str, room: float, size: float, bold: bool = False) -> list[str]:
    """Break a text at its spaces into lines that fit the room, in cm; a longer word gets a line of its own."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer, size, bold) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def printable(text: str) -> bool:
    """Whether the font has every character of a text and draws it as it is read, from left to right."""
    right_to_left = {"R", "AL", "AN"}
    return text.strip() != "" and all(
        c.isprintable() and _font(False).get_char_index(ord(c)) and unicodedata.bidirectional(c) not in right_to_left
        for c in text
    )


def short(name: str, number: str, room: float, size: float) -> str:
    """Return a name on at most two lines that fit the room, in cm.

    It is the number instead where the font lacks a character of the name; a name that is too long is cut, and preceded
    by its number. Whole names are in figure_data.json.
    """
    if not printable(name):
        return number
    lines = wrap(name, room, size)
    if len(lines) > 2 or any(width(line, size) > room for line in lines):
        first, *rest = wrap(f"{number}: {name}", room, size)
        lines = [_cut(line, room, size) for line in (first, " ".join(rest)) if line]
    return "\n".join(lines)


def _cut(line: str, room: float, size: float) -> str:
    if width(line, size) <= room:
        return line
    while width(f"{line}…", size) > room:
        line = line[:-1]
    return f"{line.rstrip()}…"


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move places on a line apart until neighbours are at least a gap from each other; their order stays.

    Args:
        places: where they are.
        gap: least distance.
        low: none goes below.
        high: none goes above, if there is room for all.

    >>> spread([1.0, 5.0, 5.2], 1.0, low=0, high=9)
    [1.0, 4.6, 5.6]
    >>> spread([0.0, 0.0], 1.0, low=0, high=9)
    [0.0, 1.0]
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    blocks: list[tuple[float, int]] = []  # middle and size of groups that touch
    for i in order:
        middle, size = places[i], 1
        while blocks and middle - blocks[-1][0] < gap * (size + blocks[-1][1]) / 2:
            other, more = blocks.pop()
            middle, size = (middle * size + other * more) / (size + more), size + more
        blocks.append((middle, size))
    free = [middle + gap * (j - (size - 1) / 2) for middle, size in blocks for j in range(size)]
    last = len(free) - 1
    kept = [max(min(place, high - gap * (last - j)), low + gap * j) for j, place in enumerate(free)]
    moved = dict(zip(order, kept, strict=True))
    return [round(moved[i], 9) for i in range(len(places))]
