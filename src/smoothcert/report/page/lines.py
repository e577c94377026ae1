"""Certified accuracy against radius, as the page draws it and as its slider reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.evidence.results import Cell
from smoothcert.report.curves import Curve, Marker
from smoothcert.report.page.columns import MICRO, micro_down, pack
from smoothcert.stats.rounding import format_down, percent_down, round_down, round_up

STEPS = 20_000
"""Steps of a curve that the page holds."""
Cells = Mapping[tuple[float, int, float], Cell]
"""Cells by sigma, k and radius."""


def line_record(curve: Curve, cells: Cells) -> dict[str, Any]:
    """Return one curve: its drawing, its markers, and its exact steps.

    `steps` holds, for each i, the images certified at every radius r with radii[i-1] < r <= radii[i], in millionths,
    and the exact 95 % interval of their share in tenths of a percent, lower ends down and upper ends up; a
    curve that is not exact has no upper ends. Of a curve of very many steps (`thinned`) some are kept: counts between
    them are "at least", intervals hold those of all steps.
    """
    return {
        "limit": int(micro_down(np.array([curve.r_max]))[0]),
        "limitText": format_down(curve.r_max, 4),
        "exact": curve.exact,
        "partial": any(cells[curve.sigma, curve.k, mark.radius].lines < curve.images for mark in curve.grid),
        "drawn": _drawn(curve),
        "grid": [_mark(mark, cells[curve.sigma, curve.k, mark.radius]) for mark in curve.grid],
        **({"thinned": True} if len(curve.radii) > STEPS else {}),
        "steps": _steps(curve),
    }


def _steps(curve: Curve) -> dict[str, Any]:
    kept = np.arange(len(curve.radii))
    if len(kept) > STEPS:
        marks = np.searchsorted(curve.radii, [mark.radius for mark in curve.grid if mark.attainable])
        kept = np.unique(np.concatenate([np.linspace(0, len(kept) - 1, STEPS).astype(np.int64), marks]))
    after = np.concatenate([kept[:1], kept[:-1] + 1])  # the first step that each one kept stands for: the most images
    return {
        "radius": pack(micro_down(curve.radii[kept]), steps=True),
        "count": pack(curve.certified[kept], steps=True),
        "low": pack(tenths_down(curve.low[kept])),
        **({} if curve.high is None else {"high": pack(tenths_up(curve.high[after]))}),
    }


def _drawn(curve: Curve) -> dict[str, list[float]] | None:
    shown = curve.shown()
    if shown is None:
        return None
    shares = {"share": shown.certified / shown.images, "low": shown.low}
    shares |= {} if shown.high is None else {"high": shown.high}
    percent = {name: [round(100 * float(x), 3) for x in values] for name, values in shares.items()}
    return {"radius": [round(float(r), 6) for r in shown.radii], **percent}


def _mark(mark: Marker, cell: Cell) -> dict[str, Any]:
    ends = tenths_down(np.array([mark.low])), tenths_up(np.array([mark.high]))
    bounds = {"sample": cell.sample, "population": _percent(cell.population), "joint": _percent(cell.joint)}
    return {
        "count": mark.certified,
        "low": int(ends[0][0]),
        "high": int(ends[1][0]),
        "attainable": mark.attainable,
        **bounds,
    }


def _percent(bound: float | None) -> str | None:
    return None if bound is None else percent_down(bound)


def tenths_down(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return fractions in tenths of a percent, rounded down.

    >>> tenths_down(np.array([0.8529, 0.3])).tolist()
    [852, 300]
    """
    return np.rint(1000 * round_down(shares, 3)).astype(np.int64)


def tenths_up(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return fractions in tenths of a percent, rounded up.

    >>> tenths_up(np.array([0.8521, 0.3])).tolist()
    [853, 300]
    """
    return np.rint(1000 * round_up(shares, 3)).astype(np.int64)


def step_of(end: float) -> int:
    """Return a slider's step, in millionths, that cuts an axis into 400 to 1,000 parts.

    >>> step_of(1.25), step_of(0.6)
    (2000, 1000)
    """
    power = 10.0 ** math.floor(math.log10(end / 400))
    step = next(power * part for part in (5, 2, 1) if power * part <= end / 400)
    return max(1, round(step * MICRO))
