"""The figure of a plan: forecast certified accuracy with intervals, and forecast samples per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from smoothcert.evidence.run import Planned
from smoothcert.formats.plan import EntryForecast, Forecast
from smoothcert.report.figures.style import (
    FAINT,
    INK,
    QUIET,
    SMALL,
    TINY,
    LineStyle,
    Margins,
    Words,
    layout,
    line_style,
    plain_logarithms,
    styled,
)
from smoothcert.stats.rounding import full

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_APART = 0.15  # distance of noise levels at one radius; radii are 1 apart


def plan_figure(planned: Planned, forecast: Forecast) -> Figure:
    """Draw the forecast: one panel per k, and the distribution of samples per image.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _draw(forecast, plan_words(planned, forecast))


def plan_words(planned: Planned, forecast: Forecast) -> Words:
    """Return the text around the figure."""
    pilot, request = forecast.pilot, planned.settings
    note = "A forecast from a pilot: nothing here is certified."
    if request.data.startswith("synthetic"):
        note = f"Synthetic images, not of patients. {note}"
    unclear = " Dotted, without marker: undecided, as the pilot is too short." if _unclear(forecast) else ""
    beyond = " ×: not attainable with any classifier." if _beyond(forecast) else ""
    rule = "sequential looks" if forecast.stopping == "looks" else "a fixed number of samples"
    foot = (
        f"Bars: 95\u00a0% prediction intervals of the run, which includes the images of the pilot.{unclear}{beyond} "
        "Bottom: share of the images that take at most this many samples, selection included.",
        f"Pilot: {pilot.images:,} images, {pilot.copies:,} samples each at each σ. Run: n_max = {request.n_max:,}, "
        f"α = {full(request.alpha)}, bound {request.bound}, {rule}.",
    )
    return Words(f"Forecast of a run over {forecast.images:,} images", note, foot)


def _unclear(forecast: Forecast) -> bool:
    shares = [forecast.share(entry) for entry in forecast.cells]
    return any(share is not None and share.value is None for share in shares)


def _beyond(forecast: Forecast) -> bool:
    return any(forecast.share(entry) is None for entry in forecast.cells)


@styled
def _draw(forecast: Forecast, words: Words) -> Figure:
    ks = tuple(dict.fromkeys(entry.k for entry in forecast.cells))
    figure, axes = layout(words, 2.7, Margins(above=0.45, below=0.42, bottom=0.42), (len(ks) + 1, 1))
    for panel, k in zip(axes, ks, strict=False):
        _accuracy(panel, forecast, [entry for entry in forecast.cells if entry.k == k])
        panel.set_title(f"k = {k}", loc="left", size=SMALL + 0.4, color=INK, pad=2.5)
    _legend(axes[0], [level.sigma for level in forecast.levels])
    _samples(axes[-1], forecast)
    return figure


def _accuracy(axes: Axes, forecast: Forecast, entries: Sequence[EntryForecast]) -> None:
    radii = tuple(dict.fromkeys(entry.radius for entry in entries))
    sigmas = tuple(dict.fromkeys(entry.sigma for entry in entries))
    axes.set(xlim=(-0.5, len(radii) - 0.5), ylim=(0, 102), xticks=range(len(radii)))
    axes.set_xticklabels([f"r = {full(r)}" for r in radii])
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("certified accuracy (%)")
    axes.grid(axis="y", color=FAINT, lw=0.3)
    axes.set_axisbelow(True)
    for entry in entries:
        position = sigmas.index(entry.sigma)
        x = radii.index(entry.radius) + _APART * (position - (len(sigmas) - 1) / 2)
        _point(axes, forecast, entry, (x, line_style(position)))


def _point(axes: Axes, forecast: Forecast, entry: EntryForecast, at: tuple[float, LineStyle]) -> None:
    x, mine = at
    share = forecast.share(entry)
    if share is None:
        axes.plot(x, 3.5, "x", color=mine.colour, ms=3.4, mew=0.8, clip_on=False)
        return
    unclear = share.value is None
    axes.vlines(x, 100 * share.low, 100 * share.high, color=mine.colour, lw=1.1, ls=":" if unclear else "-")
    for end in (share.low, share.high):
        axes.hlines(100 * end, x - 0.035, x + 0.035, color=mine.colour, lw=0.9)
    if share.value is not None:
        axes.plot(x, 100 * share.value, mine.marker, color=mine.colour, ms=4.2, mec="white", mew=0.4, clip_on=False)


def _legend(axes: Axes, sigmas: Sequence[float]) -> None:
    from matplotlib.lines import Line2D

    pens = [(sigma, line_style(i)) for i, sigma in enumerate(sigmas)]
    drawn = [
        Line2D([], [], color=each.colour, marker=each.marker, ms=4, lw=1.1, label=f"σ = {full(sigma)}")
        for sigma, each in pens
    ]
    axes.legend(
        handles=drawn,
        loc="lower right",
        bbox_to_anchor=(1.01, 0.985),
        ncol=len(drawn),
        frameon=False,
        fontsize=SMALL,
        handletextpad=0.4,
        columnspacing=1.2,
        borderaxespad=0.0,
        borderpad=0.1,
    )


def _samples(axes: Axes, forecast: Forecast) -> None:
    """Draw the cumulative share of images over samples per image, with the mean of each noise level."""
    least = min(level.taken[0][0] for level in forecast.levels)
    most = max(level.taken[-1][0] for level in forecast.levels)
    ends = (0.8 * least, 1.25 * max(most, 4 * least))
    axes.set(xscale="log", xlim=ends, ylim=(0, 108), xlabel="noise samples per image (logarithmic axis)")
    axes.set_ylabel("images (%)")
    plain_logarithms(axes.xaxis, *ends)
    for i, level in enumerate(forecast.levels):
        values, shares = np.array(level.taken).T
        mine, below = line_style(i), 100 * np.cumsum(shares) / shares.sum()
        axes.step(
            [ends[0], *values, ends[1]], [0, *below, 100], where="post", color=mine.colour, lw=1.1, dashes=mine.dashes
        )
        mean = forecast.copies(level).value
        if mean is not None:
            edge = axes.get_xaxis_transform()
            axes.plot(mean, 1.0, "v", color=mine.colour, ms=3.6, clip_on=False, transform=edge)
    text = "▼ mean"
    axes.set_title(text, loc="right", size=TINY, color=QUIET, pad=5)
