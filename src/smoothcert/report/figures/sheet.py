"""An empty figure: its title, warnings and small print, with axes between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smoothcert.report.figures.style import INK, LARGE, QUIET, SMALL, TINY, WARNING, WIDTH
from smoothcert.report.figures.text import wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.transforms import Transform

_EDGE = 0.12  # cm around everything
_TITLE, _NOTE, _FOOT = 0.36, 0.27, 0.25  # cm a line


@dataclass(frozen=True)
class Words:
    """What is printed around a drawing.

    Attributes:
        title: what the figure shows.
        note: warning under the title: synthetic, partial, not sealed; may be empty.
        foot: small print under the drawing: how to read it.
    """

    title: str
    note: str = ""
    foot: tuple[str, ...] = ()


@dataclass(frozen=True)
class Margins:
    """Space around the axes inside a sheet, in cm: outside all, around each row, between columns."""

    left: float = 1.05
    right: float = 0.2
    above: float = 0.2
    below: float = 0.0
    bottom: float = 0.8
    gap: float = 0.12


def sheet(words: Words, body: float, margins: Margins, shape: tuple[int, int] = (1, 1)) -> tuple[Figure, list[Axes]]:
    """Return an empty figure with its words, and its axes row by row.

    Args:
        words: title, note and small print.
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
    """Print lines from a height in cm downwards; return the height below them."""
    for i, line in enumerate(lines):
        height = (top - step * i) / (2.54 * figure.get_figheight())
        figure.text(_EDGE / WIDTH, height, line, va="top", **style)
    return top - step * len(lines)


def below(figure: Figure, axes: Sequence[Axes], lowest: Axes, text: str) -> None:
    """Print one label that a row of axes shares, below the lowest."""
    left, right = min(each.get_position().x0 for each in axes), max(each.get_position().x1 for each in axes)
    height = lowest.get_position().y0 - 0.58 / (2.54 * figure.get_figheight())
    figure.text((left + right) / 2, height, text, ha="center", va="center", color=INK)


def offset(axes: Axes, x: float, y: float) -> Transform:
    """Return the transform whose origin lies so many points right of and above the axes' upper left corner."""
    from matplotlib.transforms import Affine2D, ScaledTranslation

    shift = ScaledTranslation(x / 72, y / 72, axes.figure.dpi_scale_trans)
    return Affine2D().translate(0, 1) + axes.transAxes + shift


def plain_logarithms(axis: Axis, low: float, high: float) -> None:
    """Number a logarithmic axis from low to high 1, 2, 5, 10, ... (1, 10, ... where it is long), without powers."""
    from matplotlib.ticker import FixedLocator, NullFormatter

    steps = (1, 2, 5) if high < 200 * low else (1,)
    axis.set_major_locator(FixedLocator([step * 10.0**decade for decade in range(-9, 10) for step in steps]))
    axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axis.set_minor_formatter(NullFormatter())
