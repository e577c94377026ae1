"""The style of every figure, independent of local matplotlib settings: colours, text that fits, layout, files."""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from smoothcert.errors import MissingExtraError
from smoothcert.evidence.directory import write_derived

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ft2font import FT2Font
    from matplotlib.transforms import Transform


_P = ParamSpec("_P")
_T = TypeVar("_T")

WIDTH = 8.6  # cm: one column of a paper
INK, QUIET, FAINT, WARNING = "#222222", "#666666", "#bbbbbb", "#a03000"
LARGE, SMALL, TINY = 7.6, 6.2, 5.6  # points, at full width
FONT = "DejaVu Sans"  # comes with matplotlib: the same on every machine

# Okabe and Ito's colours, those dark enough for a line on white; each goes with a marker and a line style
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1, 1.2), (5, 1.5, 1, 1.5))

_SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": [FONT],
    "font.size": 6.6,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelpad": 2.5,
    "hatch.linewidth": 0.45,
    "text.color": INK,
    "text.hinting": "no_hinting",  # else a wrapped line is wider than it was measured
    "text.parse_math": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.2,
    "ytick.major.size": 2.2,
    "xtick.minor.width": 0.4,
    "xtick.minor.size": 1.3,
    "savefig.dpi": 300,
    "svg.fonttype": "path",
    "svg.hashsalt": "smoothcert",
}


@dataclass(frozen=True)
class LineStyle:
    """Colour, marker and line style of one noise level."""

    colour: str
    marker: str
    dashes: tuple[float, ...]


def line_style(position: int) -> LineStyle:
    """Return the style of the n-th noise level of a run."""
    return LineStyle(
        _COLOURS[position % len(_COLOURS)], _MARKERS[position % len(_MARKERS)], _DASHES[position % len(_DASHES)]
    )


def styled(draw: Callable[_P, _T]) -> Callable[_P, _T]:
    """Decorate a function to draw in this style, whatever the user's matplotlib settings."""

    @wraps(draw)
    def inside(*arguments: _P.args, **named: _P.kwargs) -> _T:
        with _context():
            return draw(*arguments, **named)

    return inside


def _context() -> AbstractContextManager[None]:
    try:
        import matplotlib.style
    except ImportError:
        raise MissingExtraError("A figure", "report") from None
    return matplotlib.style.context(["default", _SETTINGS])


_METADATA: dict[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": "smoothcert"},
    "png": {"Software": None},
}


@styled
def drawn(figure: Figure, form: str) -> bytes:
    """Return a figure as "svg" or "png", the same bytes for the same figure.

    Text in the SVG is drawn as outlines, so that it looks the same where a font is missing.
    """
    stored = io.BytesIO()
    figure.savefig(stored, format=form, metadata=_METADATA[form])
    return stored.getvalue()


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as SVG and PNG, each file atomically."""
    paths = [folder / f"{name}.{form}" for form in _METADATA]
    for path, form in zip(paths, _METADATA, strict=True):
        write_derived(path, drawn(figure, form))
    return paths


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
    """Break a text at spaces into lines of at most `room` cm; a longer word gets its own line."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer, size, bold) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def has_glyphs(text: str) -> bool:
    """Whether the font has every character of a text, and the text is written from left to right."""
    right_to_left = {"R", "AL", "AN"}
    return text.strip() != "" and all(
        c.isprintable() and _font(False).get_char_index(ord(c)) and unicodedata.bidirectional(c) not in right_to_left
        for c in text
    )


def short(name: str, number: str, room: float, size: float) -> str:
    """Return a name on at most two lines of at most `room` cm.

    If the font lacks a character of the name, return `number`. A name that is too long is cut and preceded by `number`.
    Full names are in figure_data.json.
    """
    if not has_glyphs(name):
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
    """Move positions apart until neighbours are at least `gap` from each other; their order is kept.

    Args:
        places: the positions.
        gap: minimum distance.
        low: lower limit.
        high: upper limit, respected if there is room for all.

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


_EDGE = 0.12  # cm around everything
_TITLE, _NOTE, _FOOT = 0.36, 0.27, 0.25  # cm a line


@dataclass(frozen=True)
class Words:
    """The text around a drawing.

    Attributes:
        title: what the figure shows.
        note: warning under the title (synthetic, partial, not sealed); may be empty.
        foot: notes under the drawing: how to read it.
    """

    title: str
    note: str = ""
    foot: tuple[str, ...] = ()


@dataclass(frozen=True)
class Margins:
    """Space around the axes, in cm: outside all of them, around each row, between columns."""

    left: float = 1.05
    right: float = 0.2
    above: float = 0.2
    below: float = 0.0
    bottom: float = 0.8
    gap: float = 0.12


def layout(words: Words, body: float, margins: Margins, shape: tuple[int, int] = (1, 1)) -> tuple[Figure, list[Axes]]:
    """Return a figure with its text, and its empty axes row by row.

    Args:
        words: title, note and notes under the drawing.
        body: height of one row of axes, in cm.
        margins: space around and between the axes, in cm.
        shape: rows and columns of axes.
    """
    from matplotlib.figure import Figure

    room = WIDTH - 2 * _EDGE
    title = wrap(words.title, room, LARGE, bold=True)
    notes = wrap(words.note, room, SMALL, bold=True) if words.note else []
    foot = [line for text in words.foot for line in wrap(text, room, TINY)]
    tail = _EDGE + _FOOT * len(foot)
    row = margins.above + body + margins.below
    height = _EDGE + _TITLE * len(title) + _NOTE * len(notes) + shape[0] * row + margins.bottom + tail
    figure = Figure(figsize=(WIDTH / 2.54, height / 2.54))
    at = _print(figure, title, height - _EDGE, _TITLE, size=LARGE, weight="bold")
    _print(figure, notes, at, _NOTE, size=SMALL, weight="bold", color=WARNING)
    _print(figure, foot, tail, _FOOT, size=TINY, color=QUIET)
    width = (WIDTH - margins.left - margins.right - (shape[1] - 1) * margins.gap) / shape[1]
    axes = []
    for i in reversed(range(shape[0])):
        bottom = tail + margins.bottom + i * row + margins.below
        for j in range(shape[1]):
            left = margins.left + j * (width + margins.gap)
            axes.append(figure.add_axes((left / WIDTH, bottom / height, width / WIDTH, body / height)))
    return figure, axes


def _print(figure: Figure, lines: Sequence[str], top: float, step: float, **style: Any) -> float:
    """Print lines downwards from `top` cm; return the height below them."""
    for i, line in enumerate(lines):
        height = (top - step * i) / (2.54 * figure.get_figheight())
        figure.text(_EDGE / WIDTH, height, line, va="top", **style)
    return top - step * len(lines)


def below(figure: Figure, axes: Sequence[Axes], lowest: Axes, text: str) -> None:
    """Print one shared label below a row of axes."""
    left, right = min(each.get_position().x0 for each in axes), max(each.get_position().x1 for each in axes)
    height = lowest.get_position().y0 - 0.58 / (2.54 * figure.get_figheight())
    figure.text((left + right) / 2, height, text, ha="center", va="center", color=INK)


def offset(axes: Axes, x: float, y: float) -> Transform:
    """Return the transform with its origin (x, y) points right of and above the upper left corner of the axes."""
    from matplotlib.transforms import Affine2D, ScaledTranslation

    shift = ScaledTranslation(x / 72, y / 72, axes.figure.dpi_scale_trans)
    return Affine2D().translate(0, 1) + axes.transAxes + shift


def plain_logarithms(axis: Axis, low: float, high: float) -> None:
    """Label a logarithmic axis 1, 2, 5, 10, ... (or 1, 10, ... if it is long), without exponents."""
    from matplotlib.ticker import FixedLocator, NullFormatter

    steps = (1, 2, 5) if high < 200 * low else (1,)
    axis.set_major_locator(FixedLocator([step * 10.0**decade for decade in range(-9, 10) for step in steps]))
    axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axis.set_minor_formatter(NullFormatter())
