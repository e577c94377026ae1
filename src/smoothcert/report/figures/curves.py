"""Figures of a run: certified accuracy against radius, by class at one radius, and samples per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from smoothcert.config import Place
from smoothcert.evidence import Run
from smoothcert.evidence.line_store import columns_of
from smoothcert.evidence.outcomes import plan_of
from smoothcert.report.curves import Curve, reach
from smoothcert.report.figures.style import (
    FAINT,
    INK,
    QUIET,
    SMALL,
    TINY,
    Margins,
    Words,
    below,
    layout,
    line_style,
    offset,
    plain_logarithms,
    short,
    spread,
    styled,
    width,
)
from smoothcert.report.groups import SMALL as FEW
from smoothcert.report.groups import ClassRow, class_rows
from smoothcert.stats import r_max
from smoothcert.stats.rounding import format_down, full, percent_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_LABELS_PER_ROW = 4  # R_max values that fit a row


@styled
def draw_curves(curves: Sequence[Curve], words: Words, bands: bool = True, primary: Place | None = None) -> Figure:
    """Draw the curves of one k.

    Args:
        curves: one per sigma.
        words: title, note and small print.
        bands: whether to draw the 95 % intervals.
        primary: the primary entry of the run, which gets a ring.
    """
    rows = -(-len(curves) // _LABELS_PER_ROW)
    figure, (axes,) = layout(words, 5.0, Margins(above=0.35 + 0.3 * rows))
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
    shown, share, mine = curve.shown(), 100 / curve.images, line_style(position)
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
    """Label each line at its end; labels that would overlap move apart."""
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
                color=line_style(i).colour,
                bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 0.5},
                annotation_clip=False,
            )


def _neighbours(ends: Sequence[tuple[int, Curve]], distance: float) -> list[list[tuple[int, Curve]]]:
    """Group lines, left to right, that end so close to each other that their labels could overlap."""
    groups: list[list[tuple[int, Curve]]] = []
    for end in sorted(ends, key=lambda end: float(end[1].radii[-1])):
        if groups and end[1].radii[-1] - groups[-1][-1][1].radii[-1] < distance:
            groups[-1].append(end)
        else:
            groups.append([end])
    return groups


def _limits(axes: Axes, curves: Sequence[Curve], end: float) -> None:
    """Mark R_max of each sigma on the upper edge, and print it above."""
    edge, top = axes.get_xaxis_transform(), 13 + 8.5 * ((len(curves) - 1) // _LABELS_PER_ROW)
    axes.text(0, 0, "R_max", size=TINY, color=QUIET, va="center", transform=offset(axes, 0, top))
    for i, each in enumerate(curves):
        right, down = 30 + 39 * (i % _LABELS_PER_ROW), top - 8.5 * (i // _LABELS_PER_ROW)
        text = format_down(each.r_max, 4) if each.r_max <= end else f"{format_down(each.r_max, 4)} →"
        colour, marker = line_style(i).colour, line_style(i).marker
        axes.text(0, 0, text, size=TINY, color=colour, va="center", transform=offset(axes, right, down))
        axes.plot(0, 0, marker, color=colour, ms=3, clip_on=False, transform=offset(axes, right - 4, down))
        if 0 < each.r_max <= end:
            axes.vlines(each.r_max, 0.97, 1.03, color=colour, lw=0.8, transform=edge, clip_on=False)
            axes.plot(each.r_max, 1.03, marker, mfc="white", color=colour, ms=3, transform=edge, clip_on=False)


@dataclass(frozen=True)
class SampleCounts:
    """Noise samples per image at one sigma, selection included.

    Attributes:
        sigma: noise level.
        values: the distinct numbers of samples, increasing.
        images: number of images for each of them.
        mean: mean over the images, or None without images.
        median: median over the images, or None without images.
        fixed: samples per image under fixed sampling.
    """

    sigma: float
    values: tuple[int, ...]
    images: tuple[int, ...]
    mean: float | None
    median: float | None
    fixed: int


def sample_counts(run: Run, sigma: float) -> SampleCounts:
    """Count the noise samples of the decided images at one noise level."""
    request = run.spec.request
    fixed = request.max_samples
    taken = columns_of(run.ledger.at(sigma)).samples
    if not len(taken):
        return SampleCounts(float(sigma), (), (), None, None, fixed)
    values, images = np.unique(taken, return_counts=True)
    mean, median = float(taken.mean()), float(np.median(taken))
    return SampleCounts(float(sigma), tuple(values.tolist()), tuple(images.tolist()), mean, median, fixed)


@styled
def draw_samples_figure(levels: Sequence[SampleCounts], words: Words) -> Figure:
    """Draw the distributions one below the other, on one logarithmic axis.

    Args:
        levels: one per sigma.
        words: title, note and small print.
    """
    figure, axes = layout(words, 1.15, Margins(above=0.4, below=0.08, bottom=0.72), (len(levels), 1))
    least = min([level.values[0] for level in levels if level.values], default=100)
    most = max(level.fixed for level in levels)
    shares = [s / sum(level.images) for level in levels for s in level.images]
    ends = (min(0.8 * least, most / 4), 1.25 * most)
    for i, level in enumerate(levels):
        axes[i].set(xscale="log", xlim=ends, ylim=(0, 130 * max(shares, default=1)))
        plain_logarithms(axes[i].xaxis, *ends)
        axes[i].tick_params(labelbottom=i == len(levels) - 1)
        _level(axes[i], level, i)
    axes[-1].set_xlabel("noise samples per image (logarithmic axis)")
    axes[len(levels) // 2].set_ylabel("images (%)")
    return figure


def _level(axes: Axes, level: SampleCounts, position: int) -> None:
    """Draw one sigma: a stem at each number of samples, with the share of images as its height."""
    colour = line_style(position).colour
    axes.axvline(level.fixed, color=QUIET, lw=0.7, dashes=(3, 2))
    axes.set_title(f"σ = {full(level.sigma)}", loc="left", size=SMALL + 0.4, color=colour, pad=2.5)
    if level.mean is None or level.median is None:
        axes.text(0.02, 0.5, "no image has been decided yet", transform=axes.transAxes, va="center", color=QUIET)
        return
    axes.vlines(level.values, 0, 100 * np.array(level.images) / sum(level.images), color=colour, lw=3.2)
    axes.plot(level.median, 0.93, "v", color=INK, mfc="white", ms=4.6, mew=0.7, transform=axes.get_xaxis_transform())
    axes.plot(level.mean, 0.93, "v", color=INK, ms=3.4, mew=0.7, transform=axes.get_xaxis_transform())
    text = f"▽ median {level.median:,.0f}    ▼ mean {level.mean:,.0f}"
    axes.set_title(text, loc="right", size=TINY, color=INK, pad=2.5)


MOST = 15
"""Maximum number of classes in a figure; of more, those with the lowest share are drawn."""

_PANELS_PER_ROW = 3  # panels side by side


@dataclass(frozen=True)
class Panel:
    """The classes at one (sigma, k, r).

    Attributes:
        sigma: noise level.
        k: rank of the certificates.
        radius: L2 radius r, in units of the [0, 1] range.
        r_max: largest radius the budget can certify.
        rows: one row per class, by class number.
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
    """Return the numbers of the classes that are drawn, increasing.

    These are all classes with images, if they fit; otherwise the `MOST` with the lowest share of certified images over
    all sigmas. Classes with few images come after all others, as their shares are uncertain.
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
        panels: one per sigma.
        words: title, note and small print.
        whiskers: whether to draw the 95 % intervals.
    """
    numbers = chosen(panels)
    rows, columns = -(-len(panels) // _PANELS_PER_ROW), min(len(panels), _PANELS_PER_ROW)
    names = [short(panels[0].rows[number].name, f"class {number}", 2.2, SMALL) for number in numbers]
    left = 0.3 + max(width(line, SMALL) for name in names for line in name.split("\n"))
    margins = Margins(left=left, right=0.15, above=0.4, below=0.4, bottom=0.38)
    each = 0.6 if any("\n" in name for name in names) else 0.45
    figure, axes = layout(words, each * max(len(numbers), 2), margins, (rows, columns))
    for i, panel in enumerate(panels):
        axes[i].set_title(
            f"σ = {full(panel.sigma)}", x=0, ha="left", size=SMALL + 0.4, color=line_style(i).colour, pad=3
        )
        axes[i].set(xlim=(0, 160), ylim=(len(names) - 0.5, -0.5), yticks=range(len(names)), xticks=(0, 50, 100))
        axes[i].set_yticklabels([] if i % _PANELS_PER_ROW else names, size=SMALL, linespacing=1.05)
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
    """Draw one bar per class, or print that the radius is not attainable."""
    if panel.radius > panel.r_max:
        axes.spines[:].set_visible(False)
        axes.tick_params(axis="x", length=0, labelbottom=False)
        text = f"not attainable\n(R_max {format_down(panel.r_max, 4)})"
        axes.text(0, 0.5, text, transform=axes.transAxes, va="center", size=SMALL, color=QUIET)
        return
    for at, number in enumerate(numbers):
        _bar(axes, at, panel.rows[number], line_style(position).colour, whiskers)


def _bar(axes: Axes, at: int, row: ClassRow, colour: str, whiskers: bool) -> None:
    """Draw one class: a filled bar with its percentage, or a hatched bar with its count if images are few."""
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
