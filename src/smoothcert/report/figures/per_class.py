"""Certified accuracy by class at one radius: a panel a sigma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smoothcert.evidence import Run
from smoothcert.evidence.outcomes import plan_of
from smoothcert.report.classes import SMALL as FEW
from smoothcert.report.classes import ClassRow, class_rows
from smoothcert.report.figures.sheet import Margins, Words, below, sheet
from smoothcert.report.figures.style import INK, QUIET, SMALL, TINY, pen, styled
from smoothcert.report.figures.text import short, width
from smoothcert.stats import r_max
from smoothcert.stats.rounding import format_down, full, percent_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 15
"""Classes that fit one figure; of more, those with the lowest share are drawn."""

_A_ROW = 3  # panels side by side


@dataclass(frozen=True)
class Panel:
    """The classes at one (sigma, k, r).

    Attributes:
        sigma: noise level.
        k: rank of the certificates.
        radius: L2 radius r, in units of the [0, 1] range.
        r_max: largest radius the budget can certify.
        rows: a row a class, in the order of the class numbers.
    """

    sigma: float
    k: int
    radius: float
    r_max: float
    rows: tuple[ClassRow, ...]


def panel(run: Run, sigma: float, k: int, r: float) -> Panel:
    """Return the classes at one (sigma, k, r).

    Args:
        run: the run, complete or partial.
        sigma: one of its noise levels.
        k: one of its k.
        r: L2 radius >= 0, in units of the [0, 1] range.

    Raises:
        SpecError: the run has no such sigma or k, or r is negative.
    """
    limit = max(r_max(plan_of(run.spec, sigma), k), 0.0)
    return Panel(float(sigma), k, r, limit, tuple(class_rows(run, sigma, k, r)))


def chosen(panels: Sequence[Panel]) -> list[int]:
    """Return the numbers of the classes that are drawn, in the order of the numbers.

    All classes that have images, if they fit. Otherwise the `MOST` with the lowest share of certified images over all
    sigmas; classes of few images come only after all others, as their shares say little.
    """
    first = panels[0].rows
    present = [row.number for row in first if row.images]
    if len(present) <= MOST:
        return present

    def lowest(number: int) -> tuple[bool, float, int]:
        share = sum(panel.rows[number].certified for panel in panels) / first[number].images
        return first[number].images < FEW, share, number

    return sorted(sorted(present, key=lowest)[:MOST])


@styled
def draw_classes(panels: Sequence[Panel], words: Words, whiskers: bool = True) -> Figure:
    """Draw the classes of one k and radius.

    Args:
        panels: one a sigma.
        words: title, note and small print.
        whiskers: whether to draw the 95 % intervals.
    """
    numbers = chosen(panels)
    rows, columns = -(-len(panels) // _A_ROW), min(len(panels), _A_ROW)
    names = [short(panels[0].rows[number].name, f"class {number}", 2.2, SMALL) for number in numbers]
    left = 0.3 + max(width(line, SMALL) for name in names for line in name.split("\n"))
    margins = Margins(left=left, right=0.15, above=0.4, below=0.4, bottom=0.38)
    each = 0.6 if any("\n" in name for name in names) else 0.45
    figure, axes = sheet(words, each * max(len(numbers), 2), margins, (rows, columns))
    for i, panel in enumerate(panels):
        axes[i].set_title(f"σ = {full(panel.sigma)}", x=0, ha="left", size=SMALL + 0.4, color=pen(i).colour, pad=3)
        axes[i].set(xlim=(0, 160), ylim=(len(names) - 0.5, -0.5), yticks=range(len(names)), xticks=(0, 50, 100))
        axes[i].set_yticklabels([] if i % _A_ROW else names, size=SMALL, linespacing=1.05)
        axes[i].tick_params(axis="y", length=0)
        axes[i].spines["bottom"].set_bounds(0, 100)
        _panel(axes[i], panel, numbers, i, whiskers)
    for spare in axes[len(panels) :]:
        spare.remove()
    if any(panel.radius <= panel.r_max for panel in panels):
        text = f"certified accuracy at r = {full(panels[0].radius)} (%)"
        below(figure, axes[:columns], axes[len(panels) - 1], text)
    return figure


def _panel(axes: Axes, panel: Panel, numbers: Sequence[int], position: int, whiskers: bool) -> None:
    """Draw one bar a class, or say that the radius is not attainable."""
    if panel.radius > panel.r_max:
        axes.spines[:].set_visible(False)
        axes.tick_params(axis="x", length=0, labelbottom=False)
        text = f"not attainable\n(R_max {format_down(panel.r_max, 4)})"
        axes.text(0, 0.5, text, transform=axes.transAxes, va="center", size=SMALL, color=QUIET)
        return
    for at, number in enumerate(numbers):
        _bar(axes, at, panel.rows[number], pen(position).colour, whiskers)


def _bar(axes: Axes, at: int, row: ClassRow, colour: str, whiskers: bool) -> None:
    """Draw one class: filled with its percentage, or open and hatched with its count where images are few."""
    least = "≥ " if row.at_least else ""
    if row.observed is None or row.low is None:
        share, text = row.certified / row.images, f"{least}{row.certified}/{row.images}"
        axes.barh(at, 100 * share, 0.62, facecolor="white", edgecolor=colour, hatch="/////", lw=0.6)
    else:
        share, text = row.observed, f"{least}{percent_of(row.certified, row.images)}"
        axes.barh(at, 100 * share, 0.62, facecolor=colour, lw=0, alpha=0.6)
        if whiskers:
            axes.hlines(at, 100 * row.low, 100 * (share if row.high is None else row.high), color=INK, lw=0.8)
    axes.text(105, at, text, size=TINY, va="center")
