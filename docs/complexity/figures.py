"""The figures of the sample-complexity page, in the style of the reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from theory import (
    ALPHA,
    CLASSES,
    HALVES,
    KS,
    N_MAX,
    RATIOS,
    SHOWN,
    WANTED,
    generator,
    plan_at,
)

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
    spread,
    styled,
)
from smoothcert.stats import Plan, Procedure, samples_needed
from smoothcert.stats.radius import probabilities_at
from smoothcert.stats.simulate import expected_samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ONE_LOOK = (
    f"One look, certified with {100 * WANTED:.0f}\u00a0% probability; unless varied, α = {ALPHA:g}, bound rankcp, "
    f"{CLASSES} classes, k = 1, r/σ = 1. Margin: (R − r)/σ, R the radius that unlimited votes would certify. Relative "
    "votes: at margin 0.1; at other margins nearly the same. Top-k: the rest of the votes is split 1/2, 1/4, 1/8, ... "
    "among the rivals."
)
PANEL = {"loc": "left", "size": 6.6, "pad": 4}


@styled
def one_look() -> Figure:
    """Draw what the number of votes depends on: r / sigma and margin, alpha, the bound, and k."""
    words = Words("What the number of votes depends on", "", (ONE_LOOK,))
    margins = Margins(left=1.35, right=0.4, above=0.55, below=0.8, bottom=0.1, gap=1.4)
    figure, axes = layout(words, 2.9, margins, (2, 2))
    _margin(axes[0])
    _alpha(axes[1])
    _classes(axes[2])
    _top(axes[3])
    return figure


def _margin(axes: Axes) -> None:
    margins = np.geomspace(0.01, 3, 60)
    axes.set(xscale="log", yscale="log", xlim=(0.01, 3), ylim=(10, 1e9))
    ends = []
    for i, ratio in enumerate(RATIOS):
        votes = _votes(ratio, margins, plan_at())
        axes.plot(margins, votes, color=line_style(i).colour, dashes=line_style(i).dashes, lw=1.1)
        ends.append(float(np.log10(votes[-1])))
    for i, place in enumerate(spread(ends, 0.75, low=1.15, high=9)):
        _beside(axes, 10**place, f"{RATIOS[i]:g}", line_style(i).colour)
    _beside(axes, 10**6.6, "r/σ", INK)
    _votes_axis(axes)
    _plain(axes, (0.01, 0.1, 1))
    axes.set_xlabel("margin")
    axes.set_ylabel("votes")
    axes.set_title("margin and r/σ", **PANEL)


def _beside(axes: Axes, height: float, text: str, colour: str) -> None:
    place = axes.get_yaxis_transform()
    axes.annotate(text, (1, height), (3, 0), place, "offset points", size=TINY, color=colour, va="center")


def _alpha(axes: Axes) -> None:
    alphas = np.geomspace(1e-2, 1e-6, 9)
    votes = np.array([_votes(1.0, [0.1], plan_at(alpha=alpha))[0] for alpha in alphas])
    axes.plot(alphas, votes / _votes(1.0, [0.1], plan_at())[0], color=line_style(0).colour, lw=1.1)
    axes.set(xscale="log", xlim=(1e-2, 1e-6), ylim=(0, 2), xticks=[10.0**-i for i in range(2, 7)])
    axes.set_xticklabels([f"10⁻{digit}" for digit in "²³⁴⁵⁶"])
    axes.minorticks_off()
    axes.axhline(1, color=FAINT, lw=0.6, zorder=0)
    axes.axvline(ALPHA, color=FAINT, lw=0.6, zorder=0)
    axes.set_xlabel("error probability α")
    axes.set_ylabel("relative votes")
    axes.set_title(f"α, relative to {ALPHA:g}", **PANEL)


def _classes(axes: Axes) -> None:
    classes = np.unique(np.geomspace(3, 1000, 14).round()).astype(int)
    own = _votes(1.0, [0.1], plan_at("cohen"))[0]
    for i, bound in enumerate(("simuem", "rankcp", "cohen")):
        votes = np.array([_votes(1.0, [0.1], plan_at(bound, int(c)))[0] for c in classes])
        axes.plot(classes, votes / own, color=line_style(i).colour, dashes=line_style(i).dashes, lw=1.1, label=bound)
    axes.set(xscale="log", xlim=(3, 1000), ylim=(0, 2))
    _plain(axes, (3, 8, 100, 1000))
    axes.set_xlabel("classes")
    axes.set_ylabel("relative votes")
    axes.set_title("bound, relative to cohen", **PANEL)
    _legend(axes, "lower right")


def _top(axes: Axes) -> None:
    margins = np.geomspace(0.009, 2, 24)
    for i, k in enumerate(KS):
        rows = probabilities_at(1 + margins, CLASSES, k, HALVES)
        votes = samples_needed(rows, 1.0, plan_at(), k, WANTED, generator())
        axes.plot(rows[:, 0], votes, color=line_style(i).colour, dashes=line_style(i).dashes, lw=1.1)
        top = (float(rows[0, 0]), 5e5)
        axes.annotate(
            f"k = {k}", top, (4, 0), textcoords="offset points", size=TINY, color=line_style(i).colour, va="center"
        )
    axes.set(yscale="log", xlim=(0.4, 1), ylim=(10, 1e6))
    _votes_axis(axes)
    axes.set_xlabel("probability of the label")
    axes.set_ylabel("votes")
    axes.set_title("top-k", **PANEL)


def _votes(ratio: float, margins: object, plan: Plan) -> np.ndarray:
    at = probabilities_at(ratio + np.array(margins), plan.classes)
    return samples_needed(at, ratio, plan, 1, WANTED)


def _votes_axis(axes: Axes) -> None:
    low, high = axes.get_ylim()
    axes.set_yticks([10.0**i for i in range(1, 10) if low <= 10.0**i <= high])
    axes.yaxis.set_major_formatter(lambda value, _: _short(value))
    axes.minorticks_off()


def _short(value: float) -> str:
    """Return a power of ten as a reader says it: 1,000; 10⁶."""
    if value < 1e5:
        return f"{value:,.0f}"
    return f"10{'⁵⁶⁷⁸⁹'[round(np.log10(value)) - 5]}"


def _plain(axes: Axes, ticks: tuple[float, ...]) -> None:
    axes.set_xticks(ticks)
    axes.set_xticklabels([f"{tick:,g}" for tick in ticks])
    axes.minorticks_off()


def _legend(axes: Axes, place: str) -> None:
    found = axes.legend(fontsize=TINY, loc=place, handlelength=2.4, labelspacing=0.25, borderpad=0.1)
    found.get_frame().set(edgecolor="none", facecolor="white", alpha=0.8)


@styled
def stopping() -> Figure:
    """Draw fixed against sequential sampling around one radius: a panel for each of three r / sigma."""
    foot = (
        f"Black line and grey band: looks up to n_max = {N_MAX:,}, mean and middle 80\u00a0% of 500 simulated images "
        f"at each margin. Orange: one look that certifies r with {100 * WANTED:.0f}\u00a0% probability, if the margin "
        f"were known. Dashed grey: fixed sampling, whatever the margin. α = {ALPHA:g}, rankcp, {CLASSES} classes, one "
        "radius, k = 1, without selection.",
    )
    words = Words("Votes an image takes: fixed and sequential sampling", "", foot)
    figure, axes = layout(words, 3.4, Margins(left=1.35, above=0.45, bottom=0.9, gap=0.4), (1, len(SHOWN)))
    for here, ratio in zip(axes, SHOWN, strict=True):
        _around(here, ratio)
    for here in axes[1:]:
        here.tick_params(labelleft=False)
    axes[0].set_ylabel("votes (logarithmic axis)")
    below(figure, axes, axes[1], "margin, in units of σ")
    return figure


def _around(axes: Axes, ratio: float) -> None:
    margins = np.linspace(-1, 2, 61)
    at = probabilities_at(ratio + margins, CLASSES)
    looks = expected_samples(at, Procedure(plan_at(), {1: "label"}, (ratio,)), generator(), 500)
    known = np.geomspace(0.01, 2, 40)
    axes.axhline(N_MAX, color=QUIET, lw=0.8, dashes=(3, 2))
    axes.axvline(0, color=FAINT, lw=0.6, zorder=0)
    axes.fill_between(margins, looks.low, looks.high, color=FAINT, lw=0, alpha=0.6)
    axes.plot(margins, looks.mean, color=INK, lw=1.0)
    axes.plot(known, _votes(ratio, known, plan_at()), color=line_style(1).colour, dashes=line_style(1).dashes, lw=1.1)
    axes.set(yscale="log", xlim=(-1, 2), ylim=(10, 1e6), xticks=(-1, 0, 1, 2))
    _votes_axis(axes)
    axes.set_title(f"r/σ = {ratio:g}", loc="left", size=SMALL + 0.4, pad=3)
