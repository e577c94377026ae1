"""Noisy copies an image took: their distribution at each sigma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from smoothcert.evidence import Run
from smoothcert.evidence.line_store import columns_of
from smoothcert.report.figures.sheet import Margins, Words, plain_logarithms, sheet
from smoothcert.report.figures.style import INK, QUIET, SMALL, TINY, pen, styled
from smoothcert.stats.rounding import full

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Copies:
    """Noisy copies an image at one sigma, selection included.

    Attributes:
        sigma: noise level.
        values: the different numbers of copies, increasing.
        images: images that took each of them.
        mean: mean over the images, or None without images.
        median: median over the images, or None without images.
        fixed: copies of an image under fixed sampling.
    """

    sigma: float
    values: tuple[int, ...]
    images: tuple[int, ...]
    mean: float | None
    median: float | None
    fixed: int


def copies(run: Run, sigma: float) -> Copies:
    """Count the noisy copies of the decided images of one noise level."""
    request = run.spec.request
    fixed = request.most_copies
    taken = columns_of(run.ledger.at(sigma)).samples
    if not len(taken):
        return Copies(float(sigma), (), (), None, None, fixed)
    values, images = np.unique(taken, return_counts=True)
    mean, median = float(taken.mean()), float(np.median(taken))
    return Copies(float(sigma), tuple(values.tolist()), tuple(images.tolist()), mean, median, fixed)


@styled
def draw_copies(levels: Sequence[Copies], words: Words) -> Figure:
    """Draw the distributions one below the other, on one logarithmic axis.

    Args:
        levels: one a sigma.
        words: title, note and small print.
    """
    figure, axes = sheet(words, 1.15, Margins(above=0.4, below=0.08, bottom=0.72), (len(levels), 1))
    least = min([level.values[0] for level in levels if level.values], default=100)
    most = max(level.fixed for level in levels)
    shares = [s / sum(level.images) for level in levels for s in level.images]
    ends = (min(0.8 * least, most / 4), 1.25 * most)
    for i, level in enumerate(levels):
        axes[i].set(xscale="log", xlim=ends, ylim=(0, 130 * max(shares, default=1)))
        plain_logarithms(axes[i].xaxis, *ends)
        axes[i].tick_params(labelbottom=i == len(levels) - 1)
        _level(axes[i], level, i)
    axes[-1].set_xlabel("noisy copies an image (logarithmic axis)")
    axes[len(levels) // 2].set_ylabel("images (%)")
    return figure


def _level(axes: Axes, level: Copies, position: int) -> None:
    """Draw one sigma: a stem at each number of copies, as high as the share of images that took it."""
    colour = pen(position).colour
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
