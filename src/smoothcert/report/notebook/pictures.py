"""Figures of the notebook alone: noisy images, other settings, copies needed against the margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.evidence import Run
from smoothcert.report.figures.sheet import Margins, Words, sheet
from smoothcert.report.figures.style import QUIET, TINY, WIDTH, pen, styled
from smoothcert.report.figures.text import short
from smoothcert.report.figures.words import note
from smoothcert.report.notebook.explore import MOST, Moves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
FEW = 5  # radii that are written out in full
CROWDED = 22  # characters of all values of a setting beyond which they are written aslant
Rows = dict[str, Sequence[NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class Needs:
    """Copies needed against the margin, and what the run's images took.

    Attributes:
        reach: float (p,): radius that unlimited copies would certify.
        copies: for each radius, float (p,): copies one look needs; infinite where no number is enough.
        images: float (m, 2): for each image the radius at its observed shares of votes, and the copies it took.
    """

    reach: FloatArray
    copies: dict[float, FloatArray]
    images: FloatArray


@styled
def draw_images(run: Run, images: dict[int, int], rows: Rows, sigma: float) -> Figure:
    """Draw images side by side, as stored and as noisy copies.

    Args:
        run: the run.
        images: the class of each image, by its index.
        rows: for each row its name and float (C, H, W) images, clipped to [0, 1] here.
        sigma: noise level of the copies.
    """
    foot = "Values outside [0, 1] are clipped in this picture only; the classifier receives them as they are."
    words = Words(f"What the classifier sees at σ = {sigma:g}", note(run), (foot,))
    room = (WIDTH - 1.65) / len(images) - 0.12
    margins = Margins(left=1.5, right=0.15, above=0.12, bottom=0.95)
    figure, axes = sheet(words, min(room, 2.2), margins, (len(rows), len(images)))
    for place, image in enumerate(image for row in rows.values() for image in row):
        shown = np.clip(image.transpose(1, 2, 0), 0, 1)
        axes[place].imshow(shown.squeeze(-1) if shown.shape[-1] == 1 else shown, cmap="gray", vmin=0, vmax=1)
        axes[place].set(xticks=(), yticks=())
    names = run.spec.data.class_names
    for here, (index, label) in zip(axes[-len(images) :], images.items(), strict=True):
        text = f"image {index}\n{short(names[label], f'class {label}', room, TINY)}"
        here.set_xlabel(text, size=TINY, labelpad=2, va="top")
    for here, name in zip(axes[:: len(images)], rows, strict=True):
        here.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=4)
    return figure


@styled
def draw_moves(run: Run, panels: Sequence[Moves], cell: str) -> Figure:
    """Draw how certified accuracy moves with each setting: a panel a setting, a line a radius.

    Args:
        run: the run.
        panels: one a setting, all with the same radii.
        cell: sigma and k in words.
    """
    foot = (
        f"{cell} unless varied, {run.spec.data.images:,} images. Dashed: the run's own setting. Missing points: not "
        "attainable. All other points are lower limits. Exploration: a setting chosen after seeing this gives no "
        "certificate."
    )
    words = Words("Certified accuracy under other settings, same votes", note(run), (foot,))
    margins = Margins(left=0.95, above=0.45, below=0.75, bottom=0.05, gap=0.75)
    figure, axes = sheet(words, 2.4, margins, (-(-len(panels) // 2), 2))
    for here, panel in zip(axes, panels, strict=False):
        _moves(here, panel)
    for spare in axes[len(panels) :]:
        spare.remove()
    axes[0].legend(fontsize=TINY, loc="best", handlelength=2.6, borderpad=0.1, framealpha=0.8, edgecolor="none")
    for here in axes[: len(panels) : 2]:
        here.set_ylabel("certified accuracy (%)")
    return figure


def _moves(axes: Axes, panel: Moves) -> None:
    at = np.arange(len(panel.values))
    axes.set(xlim=(-0.4, len(at) - 0.6), ylim=(0, 104), xticks=at)
    if sum(map(len, panel.values)) > CROWDED:
        axes.set_xticklabels(panel.values, size=TINY, rotation=30, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticklabels(panel.values, size=TINY)
    axes.set_title(panel.setting, loc="left", size=6.6, pad=3)
    if panel.own is not None:
        axes.axvline(panel.own, color=QUIET, lw=0.7, dashes=(3, 2), zorder=0)
    for i, radius in enumerate(panel.radii):
        counts = [found[i] for found in panel.certified]
        heights = [np.nan if s is None else 100 * s / panel.images for s in counts]
        axes.plot(at, heights, marker=pen(i).marker, color=pen(i).colour, ms=3, lw=0.9, dashes=pen(i).dashes)
        if panel.setting == "bound":  # its values have no order
            axes.lines[-1].set_linestyle("")
        axes.lines[-1].set_label(f"r = {radius:g}")


@styled
def draw_needs(run: Run, needs: Needs, cell: str) -> Figure:
    """Draw the copies needed against the radius that unlimited copies would certify, with the images of the run.

    Args:
        run: the run.
        needs: lines and points.
        cell: sigma and k in words.
    """
    foot = (
        f"{cell}. Lines: one look of Cohen's bound. Points: images of this run, at the radius their observed shares of "
        "votes would give and the copies they took after selection; beyond R_max they are drawn at R_max."
    )
    words = Words("Copies needed to certify r, against the margin", note(run), (foot,))
    figure, (axes,) = sheet(words, 5.0, Margins(left=1.45, above=0.4))
    n_max = run.spec.request.n_max
    axes.set(yscale="log", xlim=(0, float(needs.reach[-1]) * 1.03), ylim=(10, max(MOST, 2 * n_max)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.minorticks_off()
    axes.axhline(n_max, color=QUIET, lw=0.7, dashes=(3, 2))
    axes.annotate(f"n_max {n_max:,}", (0, n_max), (3, 2), textcoords="offset points", size=TINY, color=QUIET)
    axes.plot(*needs.images.T, "o", color=QUIET, ms=2, mew=0, alpha=0.35, zorder=1, clip_on=False)
    for i, (radius, copies) in enumerate(needs.copies.items()):
        axes.plot(needs.reach, copies, color=pen(i).colour, dashes=pen(i).dashes, lw=1.1)
        axes.axvline(radius, color=pen(i).colour, lw=0.5, dashes=(1, 2), zorder=0)
        name, at = f"{'r = ' if len(needs.copies) <= FEW else ''}{radius:g}", (radius, 1)
        edge = axes.get_xaxis_transform()
        axes.annotate(name, at, (0, 3), edge, "offset points", size=TINY, color=pen(i).colour, ha="center")
    axes.set_xlabel("L2 radius that unlimited copies would certify")
    axes.set_ylabel("noisy copies (logarithmic axis)")
    return figure
