"""Everything the page's script needs, derived once: curves, classes and images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.evidence.results import Cell
from smoothcert.report.curves import curve_of, reach
from smoothcert.report.page.by_class import class_records
from smoothcert.report.page.columns import MICRO
from smoothcert.report.page.images import HASH, certificate_columns, image_columns, level_columns, slots_of
from smoothcert.report.page.lines import line_record, step_of
from smoothcert.report.units import units
from smoothcert.spec import Spec
from smoothcert.stats.rounding import full, round_up

_UNSAFE = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&'"})


def page_data(run: Run, cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the data of the page as a plain record.

    Args:
        run: the run, complete or partial.
        cells: its results table.
    """
    spec, request = run.spec, run.spec.request
    lines = {float(sigma): run.ledger.at(sigma) for sigma in request.sigma}
    found = {(sigma, k): run.certificates(sigma, k) for sigma in lines for k in request.k}
    table = {(cell.sigma, cell.k, cell.radius): cell for cell in cells}
    curves = {place: curve_of(spec, outcomes) for place, outcomes in found.items()}
    by_k = [[curves[sigma, k] for sigma in lines] for k in request.k]
    end = max(reach(each) for each in by_k)
    return {
        **_settings(run),
        "reach": round(end * MICRO),
        "step": step_of(end),
        "curves": [[line_record(each, table) for each in curves] for curves in by_k],
        "tables": class_records(spec, found),
        "columns": image_columns(spec, run.ledger.lines),
        "levels": [level_columns(spec, each) for each in lines.values()],
        "certificates": [[certificate_columns(spec, found[s, k]) for s in lines] for k in request.k],
    }


def _settings(run: Run) -> dict[str, Any]:
    spec, request = run.spec, run.spec.request
    return {
        "images": spec.data.images,
        "missing": run.missing,
        "sigmas": [full(sigma) for sigma in request.sigma],
        "ks": list(request.k),
        "byPrediction": [request.target_of(k) == "prediction" for k in request.k],
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
    """Return a radius of the spec; in millionths it is rounded up, so that no count is taken for a larger radius."""
    micro = round(round_up(r) * MICRO)
    return {"text": full(r), "micro": micro, "whole": micro / MICRO == r}


def _grey(spec: Spec) -> dict[str, Any]:
    """Return what an L2 radius of 1 is in grey levels."""
    one = units(1.0, spec.data.shape)
    return {"rms": one.rms, "patch": one.patch}


def script_safe(record: dict[str, Any]) -> str:
    """Return JSON that cannot end a script element or begin markup, whatever strings it holds.

    >>> script_safe({"name": "</script><!--"})
    '{"name":"\\\\u003c/script\\\\u003e\\\\u003c!--"}'
    """
    text = json.dumps(record, separators=(",", ":"), allow_nan=False)
    return text.translate(_UNSAFE)
