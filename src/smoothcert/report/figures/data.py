"""The numbers that the figures draw, derived once, and their record, so that a check can derive them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from smoothcert.evidence import Run
from smoothcert.formats.results import CONFIDENCE
from smoothcert.report.curves import Curve, curve
from smoothcert.report.figures.curves import Copies, Panel, chosen, copies, panel


@dataclass(frozen=True)
class Plotted:
    """Everything the figures of a run draw.

    Attributes:
        curves: for each k, a curve a sigma.
        panels: for each k, the classes at one radius, a panel a sigma.
        copies: noisy copies, one distribution a sigma.
        changes: median L2 norm of simple changes of the images, by name; may be empty.
    """

    curves: dict[int, tuple[Curve, ...]]
    panels: dict[int, tuple[Panel, ...]]
    copies: tuple[Copies, ...]
    changes: dict[str, float]


def plotted(run: Run, changes: Mapping[str, float] | None = None, radius: float | None = None) -> Plotted:
    """Derive what the figures draw.

    Args:
        run: the run, complete or partial.
        changes: median L2 norm of simple changes of the images, by name, in units of the [0, 1] range; left out, those
            the run recorded.
        radius: L2 radius of the figures by class; left out, that of the primary cell, or the smallest of the run.

    Raises:
        SpecError: the radius is negative.
    """
    request, r = run.spec.request, run.spec.request.first_radius if radius is None else radius
    recorded = {each.name: each.median for each in run.changes}
    return Plotted(
        curves={k: tuple(curve(run, sigma, k) for sigma in request.sigma) for k in request.k},
        panels={k: tuple(panel(run, sigma, k, r) for sigma in request.sigma) for k in request.k},
        copies=tuple(copies(run, sigma) for sigma in request.sigma),
        changes=recorded if changes is None else dict(changes),
    )


def record(run: Run, drawn: Plotted) -> dict[str, Any]:
    """Return `figure_data.json` as a plain record.

    Counts at radii that are not attainable are None: they say nothing. A line that is only "at least" has no `high`.
    """
    return {
        "spec_sha256": run.spec.sha256(),
        "ledger_sha256": run.ledger.sha256(),
        "lines": len(run.ledger.lines),
        "missing": run.missing,
        "synthetic": run.spec.data.synthetic,
        "confidence": CONFIDENCE,
        "curves": [_curve(each) for curves in drawn.curves.values() for each in curves],
        "classes": [_panel(each, chosen(panels)) for panels in drawn.panels.values() for each in panels],
        "samples": [asdict(level) for level in drawn.copies],
        "image_units": drawn.changes,
    }


def _curve(curve: Curve) -> dict[str, Any]:
    shown = curve.shown()
    line = {name: getattr(shown, name).tolist() for name in ("radii", "certified", "low")} if shown else None
    if line and shown and shown.high is not None:
        line["high"] = shown.high.tolist()
    grid = [asdict(mark) if mark.attainable else {"radius": mark.radius, "attainable": False} for mark in curve.grid]
    facts = {name: getattr(curve, name) for name in ("sigma", "k", "images", "r_max", "exact")}
    return {**facts, "line": line, "grid": grid}


def _panel(panel: Panel, shown: list[int]) -> dict[str, Any]:
    facts = {name: getattr(panel, name) for name in ("sigma", "k", "radius", "r_max")}
    rows = [row.record() for row in panel.rows]
    return {**facts, "shown": shown, "rows": rows}
