"""Figures of the notebook: noisy images, other settings, samples needed by margin, devices in production."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Production
from smoothcert.evidence import Run
from smoothcert.evidence.line_store import columns_of
from smoothcert.formats.cost import CERTIFY, PREDICT, Scenario
from smoothcert.report.figures.captions import note
from smoothcert.report.figures.images import Rows, noisy_examples_figure
from smoothcert.report.figures.style import (
    FAINT,
    INK,
    QUIET,
    SMALL,
    TINY,
    Margins,
    Words,
    layout,
    line_style,
    plain_logarithms,
    short,
    spread,
    styled,
)
from smoothcert.report.notebook.explore import POINTS, Moves, Needs
from smoothcert.stats.rounding import full, percent_exact

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


CROWDED = 22  # characters of all values of a setting beyond which the labels are rotated


def draw_images(run: Run, images: dict[int, int], rows: Rows, sigma: float) -> Figure:
    """Draw images side by side, as stored and with noise.

    Args:
        run: the run.
        images: the class of each image by index.
        rows: for each row its name and float (C, H, W) images, clipped to [0, 1] here.
        sigma: noise level.
    """
    names = run.spec.data.class_names
    captions = [(f"image {index}", names[label], f"class {label}") for index, label in images.items()]
    taker, of = ("denoiser", "pipeline") if run.spec.denoised else ("classifier", "base classifier")
    return noisy_examples_figure(f"Inputs of the {of} at σ = {full(sigma)}", note(run), captions, rows, taker)


@styled
def draw_moves(run: Run, panels: Sequence[Moves], entry: str) -> Figure:
    """Draw certified accuracy against each setting: one panel per setting, one line per radius.

    Args:
        run: the run.
        panels: one per setting, all with the same radii.
        entry: sigma and k in words.
    """
    foot = (
        f"{entry} unless varied, {run.spec.data.images:,} images. Dashed: the setting of the run. Missing points: not "
        "attainable. All other points are lower limits. Exploration: a setting chosen after seeing this figure gives "
        "no certificate."
    )
    words = Words("Certified accuracy under other settings, same votes", note(run), (foot,))
    margins = Margins(left=1.05, above=0.45, below=0.75, bottom=0.05, gap=0.75)
    figure, axes = layout(words, 2.4, margins, (-(-len(panels) // 2), 2))
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
        axes.plot(
            at,
            heights,
            marker=line_style(i).marker,
            color=line_style(i).colour,
            ms=3,
            lw=0.9,
            dashes=line_style(i).dashes,
        )
        if panel.setting == "bound":  # its values have no order
            axes.lines[-1].set_linestyle("")
        axes.lines[-1].set_label(f"r = {full(radius)}")


def _points(run: Run, panels: Sequence[Needs]) -> str:
    """Return in words whether all images of the run are drawn."""
    decided = [np.count_nonzero(columns_of(run.ledger.at(panel.sigma)).looks) for panel in panels]
    complete = all(len(panel.images) == count for panel, count in zip(panels, decided, strict=True))
    return "images of this run" if complete else f"at most {POINTS:,} images of this run, drawn at random"


@styled
def draw_needs(run: Run, panels: Sequence[Needs], k: int) -> Figure:
    """Draw the samples needed against the radius that unlimited samples would certify, with the images of the run.

    Args:
        run: the run.
        panels: lines and points, one per sigma.
        k: rank of the certificates on the horizontal axis.
    """
    most = run.spec.request.n_max
    others = [f"k = {j}" for j in run.spec.request.k if j != k]
    foot = (
        "Black line and grey band: samples taken by the procedure of this run, mean and middle 80\u00a0%, simulated "
        "for images whose votes miss the label as in this run on average. "
        f"Blue points: {_points(run, panels)}, at the "
        "radius of their observed vote shares, clipped to [0, R_max]. Coloured lines: a single look that certifies r "
        f"with 95\u00a0% probability if the margin were known (Cohen's bound). Dashed: n_max = {most:,}."
        + (f" Peaks beside the radii belong to {' and '.join(others)}, decided from the same samples." * bool(others)),
    )
    words = Words(f"Samples taken and samples needed, k = {k}", note(run), foot)
    body = 5.0 if len(panels) == 1 else 2.5
    figure, axes = layout(words, body, Margins(left=1.5, above=0.5, below=0.42, bottom=0.4), (len(panels), 1))
    for here, panel in zip(axes, panels, strict=True):
        _needs(here, panel, most)
    axes[-1].set_xlabel("L2 radius that unlimited samples would certify")
    axes[len(axes) // 2].set_ylabel("noise samples per image (logarithmic axis)")
    return figure


def _needs(axes: Axes, panel: Needs, most: int) -> None:
    axes.set(yscale="log", xlim=(0, 1.04 * panel.limit), ylim=(min(50, most / 2), 12 * most))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.minorticks_off()
    axes.set_title(f"σ = {full(panel.sigma)}", loc="right", size=SMALL, pad=4)
    axes.axhline(most, color=QUIET, lw=0.7, dashes=(3, 2))
    expected = panel.expected
    axes.fill_between(panel.reach, expected.low, expected.high, color=FAINT, lw=0, alpha=0.6, zorder=0)
    axes.plot(panel.reach, expected.mean, color=INK, lw=0.9)
    axes.plot(*panel.images.T, "o", color=line_style(0).colour, ms=1.9, mew=0, alpha=0.4, clip_on=False)
    for i, (radius, (reach, samples)) in enumerate(panel.fixed.items()):
        axes.plot(reach, samples, color=line_style(i + 1).colour, dashes=line_style(i + 1).dashes, lw=1.0)
        axes.axvline(radius, color=line_style(i + 1).colour, lw=0.5, dashes=(1, 2), zorder=0)
    names = spread([float(r) for r in panel.fixed], 0.06 * panel.limit, low=0, high=1.04 * panel.limit)
    for i, (radius, place) in enumerate(zip(panel.fixed, names, strict=True)):
        _above(axes, place, full(radius), line_style(i + 1).colour)
    _above(axes, -0.04 * panel.limit, "r =", INK)


def _above(axes: Axes, place: float, text: str, colour: str) -> None:
    edge = axes.get_xaxis_transform()
    axes.annotate(text, (place, 1), (0, 2), edge, "offset points", size=TINY, color=colour, ha="center")


FloatArray = NDArray[np.float64]
DAY_POINTS = 400
_VERBS = {PREDICT: "predict", CERTIFY: "certify each"}


def needed(row: Scenario, studies: FloatArray, utilisation: float) -> FloatArray:
    """Return the devices needed for each number of studies per day, (3, n): low, value and high of the spread.

    Args:
        row: a scenario of production with known time.
        studies: float (n,): studies per day.
        utilisation: share of the day in which a device works.
    """
    if row.hours is None or not row.studies:
        raise ValueError("expected a scenario of production whose device time is known")
    each = np.array([row.hours.low, row.hours.value, row.hours.high]) / row.studies
    return np.maximum(1, np.ceil(each[:, None] * studies / (24 * utilisation) - 1e-9))


@styled
def draw_devices(run: Run, found: Sequence[Scenario], production: Production) -> Figure:
    """Draw the devices needed against studies per day: one colour per device, one line per task, bands for the spread.

    Args:
        run: the run.
        found: its cost scenarios.
        production: the user's statements.
    """
    days = production.studies_a_day
    rows = [row for row in found if row.task in _VERBS and row.studies == days[0] and row.hours is not None]
    foot = (
        "Mean samples of each task; bands: spread of rate and samples. At work "
        f"{percent_exact(production.utilisation)} % of the day. Points: the studies per day of the table. A stated "
        "rate has no spread."
    )
    words = Words("Devices needed against studies per day", note(run), (foot,))
    figure, (axes,) = layout(words, 4.6, Margins(left=1.45, right=0.5, above=0.2))
    studies = np.geomspace(days[0] / 2, days[-1] * 2, DAY_POINTS)
    axes.set(xscale="log", yscale="log", xlim=(studies[0], studies[-1]))
    names = list(dict.fromkeys(row.device for row in rows))
    most = max(_line(axes, row, studies, production, names.index(row.device)) for row in rows)
    axes.set_ylim(0.8, 1.6 * most)
    plain_logarithms(axes.xaxis, *axes.get_xlim())
    plain_logarithms(axes.yaxis, *axes.get_ylim())
    axes.legend(fontsize=TINY, loc="upper left", handlelength=3, borderpad=0.1, framealpha=0.8, edgecolor="none")
    axes.set_xlabel("studies per day")
    axes.set_ylabel("devices needed")
    return figure


def _line(axes: Axes, row: Scenario, studies: FloatArray, production: Production, device: int) -> float:
    """Draw one task on one device; return the largest number of devices drawn."""
    low, value, high = needed(row, studies, production.utilisation)
    days = np.array(production.studies_a_day, dtype=np.float64)
    look, dashes = line_style(device), () if row.task == PREDICT else (4, 1.5)
    axes.fill_between(studies, low, high, color=look.colour, alpha=0.18, lw=0)
    label = f"{_VERBS[row.task]}, {short(row.device, f'device {device + 1}', 4.5, TINY)}"
    axes.plot(studies, value, color=look.colour, dashes=dashes, lw=1.1, label=label)
    axes.plot(days, needed(row, days, production.utilisation)[1], look.marker, color=look.colour, ms=3)
    return float(high.max())
