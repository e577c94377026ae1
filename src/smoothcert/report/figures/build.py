"""Build the figures of a run from its votes, and the record of the numbers that they draw.

A check derives the same record again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smoothcert.errors import InputError
from smoothcert.evidence import Run
from smoothcert.evidence.directory import write_json
from smoothcert.formats.results import CONFIDENCE
from smoothcert.report.curves import Curve, curve
from smoothcert.report.figures.captions import class_words, curve_words, samples_words, units_words
from smoothcert.report.figures.curves import (
    Panel,
    SampleCounts,
    chosen,
    draw_classes,
    draw_curves,
    draw_samples_figure,
    panel,
    sample_counts,
)
from smoothcert.report.figures.images import draw_units
from smoothcert.report.figures.style import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curve_figure(run: Run, k: int) -> Figure:
    """Draw certified accuracy against radius: one line per sigma, markers at the radii of the run, ticks at R_max.

    Args:
        run: the run, complete or partial.
        k: one of its k.

    Raises:
        SpecError: the run has no such k.
        MissingExtraError: matplotlib is not installed.
    """
    return _curves(run, [curve(run, sigma, k) for sigma in run.spec.request.sigma])


def class_figure(run: Run, k: int, radius: float | None = None) -> Figure:
    """Draw certified accuracy by class at one radius: one panel per sigma, open bars for classes of few images.

    Args:
        run: the run, complete or partial.
        k: one of its k.
        radius: L2 radius >= 0, in units of the [0, 1] range. Default: of the primary entry, else the smallest of the
            run.

    Raises:
        SpecError: the run has no such k, or the radius is negative.
        MissingExtraError: matplotlib is not installed.
    """
    r = run.spec.request.first_radius if radius is None else radius
    return _classes(run, [panel(run, sigma, k, r) for sigma in run.spec.request.sigma])


def samples_figure(run: Run) -> Figure:
    """Draw the noise samples per image, one distribution per sigma.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _samples(run, [sample_counts(run, sigma) for sigma in run.spec.request.sigma])


def units_figure(run: Run, changes: Mapping[str, float]) -> Figure:
    """Draw the norms of simple perturbations of the images beside the radii of the run.

    Args:
        run: the run.
        changes: median L2 norm of each perturbation by name, in units of the [0, 1] range; at least one.

    Raises:
        InputError: `changes` is empty, or a norm is negative or not finite.
        MissingExtraError: matplotlib is not installed.
    """
    if not changes or not all(0 <= norm < float("inf") for norm in changes.values()):
        raise InputError(f"Expected perturbations with L2 norms of 0 or more, got {dict(changes)}.", code="E-INPUT-034")
    return draw_units(changes, run.spec, units_words(run, changes))


def figure_data(run: Run, changes: Mapping[str, float] | None = None, radius: float | None = None) -> dict[str, Any]:
    """Return the numbers of all figures, as in `figure_data.json`.

    Args:
        run: the run, complete or partial.
        changes: as for `units_figure`. Default: those that the run recorded.
        radius: as for `class_figure`.

    Raises:
        SpecError: the radius is negative.
    """
    return record(run, plotted(run, changes, radius))


def write_figures(
    run: Run, folder: Path, changes: Mapping[str, float] | None = None, radius: float | None = None
) -> list[Path]:
    """Write every figure as SVG and PNG, and their numbers; the same run gives the same bytes.

    Args:
        run: the run, complete or partial.
        folder: the folder, created if it does not exist.
        changes: as for `units_figure`. Default: those that the run recorded; without any, that figure is not drawn.
        radius: as for `class_figure`.

    Returns:
        The files: curve_k*, classes_k*, samples and image_units, each as .svg and .png, and figure_data.json.

    Raises:
        InputError: the folder cannot be written, or changes or radius are out of range.
        MissingExtraError: matplotlib is not installed.
    """
    drawn = plotted(run, changes, radius)
    figures = {f"curve_k{k}": _curves(run, curves) for k, curves in drawn.curves.items()}
    figures |= {f"classes_k{k}": _classes(run, panels) for k, panels in drawn.panels.items()}
    figures["samples"] = _samples(run, drawn.samples)
    if drawn.changes:
        figures["image_units"] = units_figure(run, drawn.changes)
    numbers = folder / "figure_data.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [path for name, figure in figures.items() for path in save(figure, folder, name)]
        write_json(numbers, record(run, drawn))
    except OSError as error:
        raise InputError(f"Cannot write the figures to {folder}: {error.strerror}.", code="E-INPUT-035") from None
    return [*paths, numbers]


def _intervals(run: Run) -> bool:
    """Whether intervals over images are drawn."""
    return not run.missing and run.no_interval is None


def _curves(run: Run, curves: Sequence[Curve]) -> Figure:
    return draw_curves(curves, curve_words(run, curves), bands=_intervals(run), primary=run.spec.request.primary)


def _classes(run: Run, panels: Sequence[Panel]) -> Figure:
    return draw_classes(panels, class_words(run, panels), whiskers=_intervals(run))


def _samples(run: Run, levels: Sequence[SampleCounts]) -> Figure:
    return draw_samples_figure(levels, samples_words(run, levels))


@dataclass(frozen=True)
class Plotted:
    """The numbers that the figures of a run draw.

    Attributes:
        curves: for each k, one curve per sigma.
        panels: for each k, the classes at one radius, one panel per sigma.
        samples: noise samples per image, one distribution per sigma.
        changes: median L2 norm of simple perturbations of the images, by name; may be empty.
    """

    curves: dict[int, tuple[Curve, ...]]
    panels: dict[int, tuple[Panel, ...]]
    samples: tuple[SampleCounts, ...]
    changes: dict[str, float]


def plotted(run: Run, changes: Mapping[str, float] | None = None, radius: float | None = None) -> Plotted:
    """Derive the numbers that the figures draw.

    Args:
        run: the run, complete or partial.
        changes: as for `units_figure`. Default: those that the run recorded.
        radius: L2 radius of the figures by class. Default: of the primary entry, else the smallest of the run.

    Raises:
        SpecError: the radius is negative.
    """
    request, r = run.spec.request, run.spec.request.first_radius if radius is None else radius
    recorded = {each.name: each.median for each in run.changes}
    return Plotted(
        curves={k: tuple(curve(run, sigma, k) for sigma in request.sigma) for k in request.k},
        panels={k: tuple(panel(run, sigma, k, r) for sigma in request.sigma) for k in request.k},
        samples=tuple(sample_counts(run, sigma) for sigma in request.sigma),
        changes=recorded if changes is None else dict(changes),
    )


def record(run: Run, drawn: Plotted) -> dict[str, Any]:
    """Return `figure_data.json` as a plain record.

    Counts at radii that are not attainable are None. A line that is only "at least" has no `high`.
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
        "samples": [asdict(level) for level in drawn.samples],
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
