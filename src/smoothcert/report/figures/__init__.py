"""The figures of a run, from its votes, as SVG and PNG. No torch; drawing needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smoothcert.errors import InputError
from smoothcert.evidence import Run
from smoothcert.evidence.directory import write_json
from smoothcert.report.curves import Curve, curve
from smoothcert.report.figures.captions import class_words, curve_words, samples_words, units_words
from smoothcert.report.figures.curves import (
    Copies,
    Panel,
    copies,
    draw_classes,
    draw_curves,
    draw_samples_figure,
    panel,
)
from smoothcert.report.figures.data import plotted, record
from smoothcert.report.figures.images import draw_units
from smoothcert.report.figures.style import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["class_figure", "curve_figure", "figure_data", "samples_figure", "units_figure", "write_figures"]


def curve_figure(run: Run, k: int) -> Figure:
    """Draw certified accuracy against radius: a line a sigma, markers at the radii of the run, end marks at R_max.

    Args:
        run: the run, complete or partial.
        k: one of its k.

    Raises:
        SpecError: the run has no such k.
        MissingExtraError: matplotlib is not installed.
    """
    return _curves(run, [curve(run, sigma, k) for sigma in run.spec.request.sigma])


def class_figure(run: Run, k: int, radius: float | None = None) -> Figure:
    """Draw certified accuracy by class at one radius: a panel a sigma, open bars for classes of few images.

    Args:
        run: the run, complete or partial.
        k: one of its k.
        radius: L2 radius >= 0, in units of the [0, 1] range; left out, that of the primary
            cell, or the smallest of the run.

    Raises:
        SpecError: the run has no such k, or the radius is negative.
        MissingExtraError: matplotlib is not installed.
    """
    r = run.spec.request.first_radius if radius is None else radius
    return _classes(run, [panel(run, sigma, k, r) for sigma in run.spec.request.sigma])


def samples_figure(run: Run) -> Figure:
    """Draw how many noisy copies the images took: a distribution a sigma.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    return _copies(run, [copies(run, sigma) for sigma in run.spec.request.sigma])


def units_figure(run: Run, changes: Mapping[str, float]) -> Figure:
    """Draw what an L2 radius is for images of this shape: the norms of simple changes, with the radii of the run.

    Args:
        run: the run.
        changes: median L2 norm of each change, by its name, in units of the [0, 1] range; at least one.

    Raises:
        InputError: there is no change, or a norm is negative or not finite.
        MissingExtraError: matplotlib is not installed.
    """
    if not changes or not all(0 <= norm < float("inf") for norm in changes.values()):
        raise InputError(f"Expected changes with L2 norms of 0 or more, got {dict(changes)}.")
    return draw_units(changes, run.spec, units_words(run, changes))


def figure_data(run: Run, changes: Mapping[str, float] | None = None, radius: float | None = None) -> dict[str, Any]:
    """Return the numbers all figures draw, as in `figure_data.json`.

    Args:
        run: the run, complete or partial.
        changes: as for `units_figure`; left out, those the run recorded.
        radius: as for `class_figure`.

    Raises:
        SpecError: the radius is negative.
    """
    return record(run, plotted(run, changes, radius))


def write_figures(
    run: Run, folder: Path, changes: Mapping[str, float] | None = None, radius: float | None = None
) -> list[Path]:
    """Write every figure as SVG and PNG, and the numbers they draw; the same run gives the same bytes.

    Args:
        run: the run, complete or partial.
        folder: where to; it is made where it is missing.
        changes: as for `units_figure`; left out, those the run recorded. Without any, that figure is not drawn.
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
    figures["samples"] = _copies(run, drawn.copies)
    if drawn.changes:
        figures["image_units"] = units_figure(run, drawn.changes)
    numbers = folder / "figure_data.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [path for name, figure in figures.items() for path in save(figure, folder, name)]
        write_json(numbers, record(run, drawn))
    except OSError as error:
        raise InputError(f"Cannot write the figures to {folder}: {error.strerror}.") from None
    return [*paths, numbers]


def _curves(run: Run, curves: Sequence[Curve]) -> Figure:
    return draw_curves(curves, curve_words(run, curves), bands=not run.missing, primary=run.spec.request.primary)


def _classes(run: Run, panels: Sequence[Panel]) -> Figure:
    return draw_classes(panels, class_words(run, panels), whiskers=not run.missing)


def _copies(run: Run, levels: Sequence[Copies]) -> Figure:
    return draw_samples_figure(levels, samples_words(run, levels))
