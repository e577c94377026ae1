"""Titles, warnings and explanations of the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from smoothcert.evidence import Run
from smoothcert.report.curves import Curve
from smoothcert.report.figures.curves import Copies, Panel, chosen
from smoothcert.report.figures.style import Words
from smoothcert.report.groups import SMALL
from smoothcert.report.units import GREY
from smoothcert.stats.rounding import full

_BANDS = "Bands: exact 95\u00a0% intervals, one radius at a time."
_BANDS_AT_LEAST = (
    "Bars: exact 95\u00a0% intervals at the radii of the run, one at a time. Bands: down to the lower end elsewhere; "
    "there is no upper one."
)
UNITS = "r: L2 radius, in units of the [0, 1] pixel range."


def note(run: Run) -> str:
    """Return what a reader must know before reading any figure of this run."""
    found = []
    if run.spec.data.synthetic:
        found.append("Synthetic images: drawn, not photographed; of no patient.")
    if run.missing:
        found.append(f"Partial run: {run.missing:,} of {run.expected:,} results are missing.")
    if not run.sealed:
        found.append("Not sealed.")
    return " ".join(found)


def curve_words(run: Run, curves: Sequence[Curve]) -> Words:
    """Return the words around certified accuracy against radius."""
    drawn = any(each.shown() for each in curves)
    if not drawn:
        lines = "Dashed: the radii of the run."
    elif run.missing:
        lines = "Images without a result count as not certified, so every line and marker is only a lower limit."
    elif curves[0].exact:
        lines = "Lines: certified accuracy at every radius, up to R_max. Markers: the radii of the run (dashed)."
    else:
        lines = (
            "Markers: the radii of the run (dashed). Thin lines between them: at least so much, as sampling stops "
            "once these radii are decided."
        )
    limit = "R_max: largest radius so many copies can certify; beyond it nothing is attainable, with any classifier."
    title = f"Certified accuracy against L2 radius, k = {curves[0].k}"
    bands = ""
    if drawn and not run.missing:
        bands = f"{_BANDS if curves[0].exact else _BANDS_AT_LEAST} "
    primary = run.spec.request.primary
    ring = "Ring: the primary cell, fixed before the run. " if primary and primary.k == curves[0].k else ""
    return Words(title, note(run), (f"{lines} {ring}{bands}{limit}", _facts(run)))


def class_words(run: Run, panels: Sequence[Panel]) -> Words:
    """Return the words around certified accuracy by class."""
    first, shown = panels[0], chosen(panels)
    present = [row for row in first.rows if row.images]
    attainable = any(panel.radius <= panel.r_max for panel in panels)
    few = attainable and any(first.rows[number].images < SMALL for number in shown)
    many = attainable and any(first.rows[number].images >= SMALL for number in shown)
    foot = [UNITS]
    if len(shown) < len(present):
        foot.append(
            f"The {len(shown)} lowest of {len(present):,} classes, all σ together; picked for being low, they would on "
            "average do better on other images."
        )
    if few:
        foot.append(f"Open bars: fewer than {SMALL} images; certified/images, without percentage and interval.")
    if many and not run.missing:
        foot.append("Black lines: exact 95\u00a0% intervals, one class at a time.")
    if run.missing:
        foot.append("Images without a result count as not certified, so every bar is only a lower limit.")
    title = f"Certified accuracy by class at L2 radius r = {full(first.radius)}, k = {first.k}"
    return Words(title, note(run), (" ".join(foot), _facts(run)))


def samples_words(run: Run, levels: Sequence[Copies]) -> Words:
    """Return the words around the numbers of noisy copies."""
    dashed = f"Dashed: {levels[0].fixed:,} copies, what an image takes under fixed sampling."
    decided = " Images with a result only." if run.missing else ""
    return Words("Noisy copies an image took, by noise level σ", note(run), (dashed + decided, _facts(run)))


def units_words(run: Run, changes: Mapping[str, float]) -> Words:
    """Return the words around the norms of simple changes."""
    channels, height, width = run.spec.data.shape
    recorded = changes == {each.name: each.median for each in run.changes}
    over = f"the first {run.changes[0].images:,} images" if recorded and run.changes else "the images"
    foot = (
        f"Points: median over {over}. A certificate at r covers those instances of a change whose norm is below r, "
        f"not the kind of change as such. Dashed: the radii of the run. Grey levels: of {GREY}.",
    )
    return Words(f"What an L2 radius is for images of {height} × {width} × {channels}", note(run), foot)


def _facts(run: Run) -> str:
    request, data = run.spec.request, run.spec.data
    facts = [
        f"{data.images:,} image{'s' * (data.images != 1)}, up to n_max = {request.n_max:,} noisy copies each, "
        f"α = {full(request.alpha)}, bound {request.bound}."
    ]
    if data.grouped:
        facts.append("The images come in groups; the intervals treat them as independent.")
    if not run.arithmetic_covered:
        facts.append(f"Computer arithmetic: {run.arithmetic}.")
    return " ".join(facts)
