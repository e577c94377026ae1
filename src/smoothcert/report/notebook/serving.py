"""The notebook's figure of production: devices needed against studies a day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smoothcert.evidence import Run
from smoothcert.evidence.scenarios import CERTIFY, PREDICT, Scenario
from smoothcert.report.figures.sheet import Margins, Words, plain_logarithms, sheet
from smoothcert.report.figures.style import TINY, pen, styled
from smoothcert.report.figures.text import short
from smoothcert.report.figures.words import note
from smoothcert.spec import Production
from smoothcert.stats.rounding import percent_exact

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
POINTS = 400
_VERBS = {PREDICT: "predict", CERTIFY: "certify each"}


def needed(row: Scenario, studies: FloatArray, utilisation: float) -> FloatArray:
    """Return the devices needed for each number of studies a day, (3, n): low, value and high of the row's spread.

    Args:
        row: a scenario of production with known time.
        studies: float (n,): studies a day.
        utilisation: share of the day in which a device works.
    """
    if row.hours is None or not row.studies:
        raise ValueError("expected a scenario of production whose device time is known")
    each = np.array([row.hours.low, row.hours.value, row.hours.high]) / row.studies
    return np.maximum(1, np.ceil(each[:, None] * studies / (24 * utilisation) - 1e-9))


@styled
def draw_devices(run: Run, found: Sequence[Scenario], production: Production) -> Figure:
    """Draw the devices needed against studies a day: a colour a device, a line a task, the spread as a band.

    Args:
        run: the run.
        found: its cost scenarios.
        production: what the user states.
    """
    days = production.studies_a_day
    rows = [row for row in found if row.task in _VERBS and row.studies == days[0] and row.hours is not None]
    foot = (
        f"Mean copies of each task; bands: spread of rate and copies. At work {percent_exact(production.utilisation)} "
        "% of the day. Points: the studies a day of the table. A stated rate has no spread of its own."
    )
    words = Words("Devices needed against studies a day", note(run), (foot,))
    figure, (axes,) = sheet(words, 4.6, Margins(left=1.45, right=0.5, above=0.2))
    studies = np.geomspace(days[0] / 2, days[-1] * 2, POINTS)
    axes.set(xscale="log", yscale="log", xlim=(studies[0], studies[-1]))
    names = list(dict.fromkeys(row.device for row in rows))
    most = max(_line(axes, row, studies, production, names.index(row.device)) for row in rows)
    axes.set_ylim(0.8, 1.6 * most)
    plain_logarithms(axes.xaxis, *axes.get_xlim())
    plain_logarithms(axes.yaxis, *axes.get_ylim())
    axes.legend(fontsize=TINY, loc="upper left", handlelength=3, borderpad=0.1, framealpha=0.8, edgecolor="none")
    axes.set_xlabel("studies a day")
    axes.set_ylabel("devices needed")
    return figure


def _line(axes: Axes, row: Scenario, studies: FloatArray, production: Production, device: int) -> float:
    """Draw one task on one device; return the most devices drawn."""
    low, value, high = needed(row, studies, production.utilisation)
    days = np.array(production.studies_a_day, dtype=np.float64)
    look, dashes = pen(device), () if row.task == PREDICT else (4, 1.5)
    axes.fill_between(studies, low, high, color=look.colour, alpha=0.18, lw=0)
    label = f"{_VERBS[row.task]}, {short(row.device, f'device {device + 1}', 4.5, TINY)}"
    axes.plot(studies, value, color=look.colour, dashes=dashes, lw=1.1, label=label)
    axes.plot(days, needed(row, days, production.utilisation)[1], look.marker, color=look.colour, ms=3)
    return float(high.max())
