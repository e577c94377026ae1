"""Figures of images: noisy examples, and what an L2 radius is in the norms of simple perturbations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Spec
from smoothcert.report.figures.style import (
    FAINT,
    QUIET,
    SMALL,
    TINY,
    WIDTH,
    Margins,
    Words,
    layout,
    line_style,
    plain_logarithms,
    short,
    spread,
    styled,
    width,
)
from smoothcert.report.units import units
from smoothcert.stats.rounding import full

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Rows = Mapping[str, Sequence[NDArray[Any]] | NDArray[Any]]
CLIPPED = "Values outside [0, 1] are clipped in this figure only; the {} receives them unclipped."


@styled
def noisy_examples_figure(
    title: str, warning: str, captions: Sequence[tuple[str, str, str]], rows: Rows, taker: str = "classifier"
) -> Figure:
    """Draw images side by side, one row per version of the images.

    Args:
        title: what the figure shows.
        warning: under the title; may be empty.
        captions: for each column the image, its class name, and its class number in case the name cannot be printed.
        rows: for each row its name and one float (C, H, W) image per column, clipped to [0, 1] here.
        taker: the network that takes these images: classifier or denoiser.
    """
    columns = len(captions)
    room = (WIDTH - 1.65) / columns - 0.12
    margins = Margins(left=1.5, right=0.15, above=0.12, bottom=0.95)
    figure, axes = layout(
        Words(title, warning, (CLIPPED.format(taker),)), min(room, 2.2), margins, (len(rows), columns)
    )
    for place, image in zip(axes, (image for row in rows.values() for image in row), strict=True):
        shown = np.clip(image.transpose(1, 2, 0), 0, 1)
        place.imshow(shown.squeeze(-1) if shown.shape[-1] == 1 else shown, cmap="gray", vmin=0, vmax=1)
        place.set(xticks=(), yticks=())
    for here, (image, name, number) in zip(axes[-columns:], captions, strict=True):
        here.set_xlabel(f"{image}\n{short(name, number, room, TINY)}", size=TINY, labelpad=2, va="top")
    for here, name in zip(axes[::columns], rows, strict=True):
        here.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=4)
    return figure


_RADII = "radius r"


@styled
def draw_units(changes: Mapping[str, float], spec: Spec, words: Words) -> Figure:
    """Draw the norm of each perturbation on a logarithmic axis, smallest first, with the radii as vertical lines.

    Args:
        changes: median L2 norm of each perturbation by name, in units of the [0, 1] range.
        spec: the locked spec: radii, shape and grid of the images.
        words: title, note and small print.
    """
    radii, names = spec.request.radius, sorted(changes, key=lambda name: changes[name])
    labels = [short(name, f"perturbation {number}", 2.9, SMALL) for number, name in enumerate(names, 1)]
    left = 0.3 + max(width(line, SMALL) for label in (*labels, _RADII) for line in label.split("\n"))
    figure, (axes,) = layout(words, 0.45 * (len(names) + 1), Margins(left=left, above=0.85))
    norms = [norm for norm in (*changes.values(), *radii) if norm > 0]
    ends = (min(norms) / 1.5, max(norms) * 2.2)
    axes.set(xscale="log", xlim=ends, ylim=(len(names) + 0.5, -0.6))
    axes.set_yticks(range(len(names) + 1), [*labels, _RADII], size=SMALL, linespacing=1.05)
    axes.tick_params(axis="y", length=0)
    for at, name in enumerate(names):
        _point(axes, at, changes[name])
    _number(axes, radii, len(names), (WIDTH - left) / math.log10(ends[1] / ends[0]))
    axes.set_xlabel("L2 norm, in units of the [0, 1] pixel range")
    plain_logarithms(axes.xaxis, *ends)
    _grey_levels(axes, spec)
    return figure


def _number(axes: Axes, radii: Sequence[float], at: int, decade: float) -> None:
    """Draw the radii as vertical lines, each with its value at the foot; `decade` is the width of a decade in cm."""
    many = len(radii) > 3
    middles = spread([math.log10(r) for r in radii], (0.26 if many else 0.55) / decade, low=-9, high=9)
    for r, middle in zip(radii, middles, strict=True):
        axes.vlines(r, -0.6, at - 0.35, color=QUIET, lw=0.6, linestyle=(0, (4, 3)), zorder=0)
        number = axes.text(10**middle, at, full(r), ha="center", va="center", size=TINY, weight="bold")
        number.set_rotation(90 if many else 0)


def _point(axes: Axes, at: int, norm: float) -> None:
    at_least = max(norm, axes.get_xlim()[0])
    axes.hlines(at, axes.get_xlim()[0], at_least, color=FAINT, lw=0.9, zorder=1)
    axes.plot(at_least, at, "o" if norm == at_least else "<", color=line_style(0).colour, ms=4, clip_on=False)
    axes.annotate(
        f"{norm:.3g}",
        (at_least, at),
        (5, 0),
        textcoords="offset points",
        va="center",
        size=TINY,
        bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 0.6},
    )


def _grey_levels(axes: Axes, spec: Spec) -> None:
    """Label the upper edge in grey levels per value (root mean square)."""
    each = units(1.0, spec.data.shape).rms
    top = axes.secondary_xaxis(
        "top", functions=(lambda norm: np.multiply(norm, each), lambda rms: np.divide(rms, each))
    )
    top.set_xlabel("the same, in grey levels (root mean square)")
    plain_logarithms(top.xaxis, *axes.get_xlim())
