"""The data of the page's script: curves, certified accuracy by class, images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Spec
from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.evidence.outcomes import Outcomes
from smoothcert.formats.results import Entry
from smoothcert.report.curves import Curve, Marker, curve_of, reach
from smoothcert.report.groups import class_rows_of, in_words
from smoothcert.report.html_report.images import (
    HASH,
    MICRO,
    certificate_columns,
    image_columns,
    level_columns,
    micro_down,
    pack,
    slots_of,
)
from smoothcert.report.results_table import kept
from smoothcert.report.units import units
from smoothcert.stats.rounding import format_down, full, percent_down, round_down, round_up


def class_records(
    spec: Spec, found: Mapping[tuple[float, int], Outcomes], intervals: bool = True
) -> list[dict[str, Any]]:
    """Return certified images and printed shares of each class for each k and radius, one column per sigma.

    Args:
        spec: the locked spec.
        found: certificates by sigma and k.
        intervals: whether intervals over images are given.

    Returns:
        k, r (position of the radius in the spec), counts and texts (for each sigma, one value per class).
    """
    return [
        _record(spec, found, (k, place), intervals) for k in spec.request.k for place in range(len(spec.request.radius))
    ]


def _record(
    spec: Spec, found: Mapping[tuple[float, int], Outcomes], at: tuple[int, int], intervals: bool
) -> dict[str, Any]:
    k, place = at
    columns = [
        class_rows_of(spec, found[float(s), k], spec.request.radius[place], intervals) for s in spec.request.sigma
    ]
    return {
        "k": k,
        "r": place,
        "counts": [[row.certified if row.attainable else None for row in rows] for rows in columns],
        "texts": [[in_words(row) for row in rows] for rows in columns],
    }


STEPS = 20_000
"""Maximum number of steps of a curve on the page."""
Entries = Mapping[tuple[float, int, float], Entry]
"""Entries by sigma, k and radius."""


def line_record(curve: Curve, entries: Entries) -> dict[str, Any]:
    """Return one curve: its drawing, its markers, and its exact steps.

    `steps` contains, for each i, the images certified at every radius r with radii[i-1] < r <= radii[i], in millionths,
    and the exact 95 % interval of their share in tenths of a percent, lower ends rounded down and upper ends up. A
    curve that is not exact has no upper ends. A curve of more than `STEPS` steps is `thinned`: counts between kept
    steps are "at least", and each interval covers those of the steps it stands for.
    """
    return {
        "limit": int(micro_down(np.array([curve.r_max]))[0]),
        "limitText": format_down(curve.r_max, 4),
        "exact": curve.exact,
        "partial": any(entries[curve.sigma, curve.k, mark.radius].lines < curve.images for mark in curve.grid),
        "drawn": _drawn(curve),
        "grid": [_mark(mark, entries[curve.sigma, curve.k, mark.radius]) for mark in curve.grid],
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


def _mark(mark: Marker, entry: Entry) -> dict[str, Any]:
    ends = tenths_down(np.array([mark.low])), tenths_up(np.array([mark.high]))
    bounds = {"sample": entry.sample, "population": _percent(entry.population), "joint": _percent(entry.joint)}
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
    """Return the step of a slider, in millionths, that divides an axis into 400 to 1,000 parts.

    >>> step_of(1.25), step_of(0.6)
    (2000, 1000)
    """
    power = 10.0 ** math.floor(math.log10(end / 400))
    step = next(power * part for part in (5, 2, 1) if power * part <= end / 400)
    return max(1, round(step * MICRO))


_UNSAFE = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&'"})


def page_data(run: Run, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the data of the page as a plain record.

    Args:
        run: the run, complete or partial.
        entries: its results table.
    """
    spec, request = run.spec, run.spec.request
    lines = {float(sigma): run.ledger.at(sigma) for sigma in request.sigma}
    found = {(sigma, k): run.certificates(sigma, k) for sigma in lines for k in request.k}
    table = {(entry.sigma, entry.k, entry.radius): entry for entry in (kept(each, run) for each in entries)}
    curves = {place: curve_of(spec, outcomes) for place, outcomes in found.items()}
    by_k = [[curves[sigma, k] for sigma in lines] for k in request.k]
    end = max(reach(each) for each in by_k)
    return {
        **_settings(run),
        "reach": round(end * MICRO),
        "step": step_of(end),
        "curves": [[line_record(each, table) for each in curves] for curves in by_k],
        "tables": class_records(spec, found, run.no_interval is None),
        "columns": image_columns(spec, run.ledger.lines),
        "levels": [level_columns(spec, each) for each in lines.values()],
        "certificates": [[certificate_columns(spec, found[s, k]) for s in lines] for k in request.k],
    }


def _settings(run: Run) -> dict[str, Any]:
    spec, request = run.spec, run.spec.request
    return {
        "images": spec.data.images,
        "missing": run.missing,
        "noInterval": run.no_interval,
        "sigmas": [full(sigma) for sigma in request.sigma],
        "ks": list(request.k),
        "byPrediction": [request.target_of(k) == "prediction" for k in request.k],
        "namesWrong": [request.target_of(k) == "prediction" or request.bound == "betting" for k in request.k],
        "radii": [_radius(r) for r in request.radius],
        "classNames": [printable(name) for name in spec.data.class_names],
        "classImages": list(spec.data.class_counts),
        "alpha": full(request.alpha),
        "n0": request.n0,
        "looks": list(spec.looks),
        "slots": slots_of(spec),
        "hashBytes": HASH,
        **_grey(spec),
    }


def _radius(r: float) -> dict[str, Any]:
    """Return a radius of the spec, in millionths rounded up, so that no count is reported for a larger radius."""
    micro = round(round_up(r) * MICRO)
    return {"text": full(r), "micro": micro, "whole": micro / MICRO == r}


def _grey(spec: Spec) -> dict[str, Any]:
    """Return an L2 radius of 1 in grey levels."""
    one = units(1.0, spec.data.shape)
    return {"rms": one.rms, "patch": one.patch}


def script_safe(record: dict[str, Any]) -> str:
    """Return JSON that cannot end a script element or start markup, whatever strings it contains.

    >>> script_safe({"name": "</script><!--"})
    '{"name":"\\\\u003c/script\\\\u003e\\\\u003c!--"}'
    """
    text = json.dumps(record, separators=(",", ":"), allow_nan=False)
    return text.translate(_UNSAFE)
