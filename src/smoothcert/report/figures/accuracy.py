"""Certified accuracy against radius: a line a sigma."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from smoothcert.report.curves import Curve, reach
from smoothcert.report.figures.sheet import Margins, Words, offset, sheet
from smoothcert.report.figures.style import FAINT, INK, QUIET, SMALL, TINY, pen, styled
from smoothcert.report.figures.text import spread
from smoothcert.spec import Place
from smoothcert.stats.rounding import format_down, full

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_A_ROW = 4  # R_max values that fit a row


@styled
def draw_curves(curves: Sequence[Curve], words: Words, bands: bool = True, primary: Place | None = None) -> Figure:
    """Draw the curves of one k.

    Args:
        curves: one a sigma.
        words: title, note and small print.
        bands: whether to draw the 95 % intervals.
        primary: the primary cell of the run; it gets a ring.
    """
    rows = -(-len(curves) // _A_ROW)
    figure, (axes,) = sheet(words, 5.0, Margins(above=0.35 + 0.3 * rows))
    end = reach(curves)
    axes.set(xlim=(0, end), ylim=(0, 102), xlabel="L2 radius r, in units of the [0, 1] pixel range")
    axes.set_ylabel("certified accuracy (%)")
    for mark in curves[0].grid:
        axes.axvline(mark.radius, color=FAINT, lw=0.5, dashes=(3, 3), zorder=0)
    for i, each in enumerate(curves):
        _line(axes, each, i, bands)
        for mark in each.grid:
            if mark.attainable and primary and (each.sigma, each.k, mark.radius) == _key(primary):
                axes.plot(mark.radius, 100 * mark.certified / each.images, "o", mfc="none", color=INK, ms=9, mew=0.7)
    _label(axes, curves, end)
    _limits(axes, curves, end)
    return figure


def _key(place: Place) -> tuple[float, int, float]:
    return float(place.sigma), place.k, place.radius


def _line(axes: Axes, curve: Curve, position: int, bands: bool) -> None:
    shown, share, mine = curve.shown(), 100 / curve.images, pen(position)
    size = max(5.2 - 0.4 * position, 3.2)  # a marker under another shows at its edges
    if shown is not None:
        axes.step(
            shown.radii, share * shown.certified, color=mine.colour, lw=1.2 if curve.exact else 0.7, dashes=mine.dashes
        )
        if bands:  # no upper end where the line is only "at least"
            upper = share * shown.certified if shown.high is None else 100 * shown.high
            axes.fill_between(shown.radii, 100 * shown.low, upper, step="pre", color=mine.colour, alpha=0.12, lw=0)
    for mark in curve.grid:
        if mark.attainable:
            if bands and not curve.exact:
                axes.vlines(mark.radius, 100 * mark.low, 100 * mark.high, color=mine.colour, lw=0.8)
            (point,) = axes.plot(mark.radius, share * mark.certified, mine.marker, color=mine.colour, ms=size)
            point.set(markeredgecolor="white", markeredgewidth=0.5, clip_on=False)


def _label(axes: Axes, curves: Sequence[Curve], end: float) -> None:
    """Name each line where it ends; names that would overlap move apart."""
    ends = [(i, shown) for i, each in enumerate(curves) if (shown := each.shown())]
    if not ends:
        text = "no radius of this run is attainable"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=QUIET)
    for near in _neighbours(ends, 0.2 * end):
        heights = spread([float(100 * shown.certified[-1] / shown.images) for _, shown in near], 5.5, low=3, high=100)
        for (i, shown), height in zip(near, heights, strict=True):
            axes.annotate(
                f"σ = {full(shown.sigma)}",
                (float(shown.radii[-1]), height),
                (5, 0),
                textcoords="offset points",
                va="center",
                size=SMALL,
                color=pen(i).colour,
                bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 0.5},
                annotation_clip=False,
            )


def _neighbours(ends: Sequence[tuple[int, Curve]], distance: float) -> list[list[tuple[int, Curve]]]:
    """Group lines that end so near each other, left to right, that their names could overlap."""
    groups: list[list[tuple[int, Curve]]] = []
    for end in sorted(ends, key=lambda end: float(end[1].radii[-1])):
        if groups and end[1].radii[-1] - groups[-1][-1][1].radii[-1] < distance:
            groups[-1].append(end)
        else:
            groups.append([end])
    return groups


def _limits(axes: Axes, curves: Sequence[Curve], end: float) -> None:
    """Mark on the upper edge how far the budget can reach at each sigma, and print it above."""
    edge, top = axes.get_xaxis_transform(), 13 + 8.5 * ((len(curves) - 1) // _A_ROW)
    axes.text(0, 0, "R_max", size=TINY, color=QUIET, va="center", transform=offset(axes, 0, top))
    for i, each in enumerate(curves):
        right, down = 30 + 39 * (i % _A_ROW), top - 8.5 * (i // _A_ROW)
        text = format_down(each.r_max, 4) if each.r_max <= end else f"{format_down(each.r_max, 4)} →"
        colour, marker = pen(i).colour, pen(i).marker
        axes.text(0, 0, text, size=TINY, color=colour, va="center", transform=offset(axes, right, down))
        axes.plot(0, 0, marker, color=colour, ms=3, clip_on=False, transform=offset(axes, right - 4, down))
        if 0 < each.r_max <= end:
            axes.vlines(each.r_max, 0.97, 1.03, color=colour, lw=0.8, transform=edge, clip_on=False)
            axes.plot(each.r_max, 1.03, marker, mfc="white", color=colour, ms=3, transform=edge, clip_on=False)
