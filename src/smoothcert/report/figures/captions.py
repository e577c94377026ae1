"""Titles, warnings and explanations of the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from smoothcert.evidence import Run
from smoothcert.report.claims import PIPELINE
from smoothcert.report.curves import Curve
from smoothcert.report.figures.curves import Panel, SampleCounts, chosen
from smoothcert.report.figures.style import Words
from smoothcert.report.groups import SMALL
from smoothcert.report.units import GREY
from smoothcert.stats.rounding import full

_BANDS = "Bands: exact 95\u00a0% intervals, one radius at a time."
_BANDS_AT_LEAST = (
    "Bars: exact 95\u00a0% intervals at the radii of the run, one at a time. Bands: down to the lower end at other "
    "radii, which have no upper end."
)
UNITS = "r: L2 radius, in units of the [0, 1] pixel range."


def note(run: Run) -> str:
    """Return the warnings that precede every figure of this run."""
    found = []
    if run.spec.data.synthetic:
        found.append("Synthetic images, not of patients.")
    if run.stated.demonstration:
        found.append("Demonstration data.")
    if run.missing:
        found.append(f"Partial run: {run.missing:,} of {run.expected:,} results are missing.")
    if not run.sealed:
        found.append("Not sealed.")
    return " ".join(found)


def curve_words(run: Run, curves: Sequence[Curve]) -> Words:
    """Return the words of the figure of certified accuracy against radius."""
    drawn = any(each.shown() for each in curves)
    if not drawn:
        lines = "Dashed: the radii of the run."
    elif run.missing:
        lines = "Images without a result count as not certified, so every line and marker is only a lower limit."
    elif curves[0].exact:
        lines = "Lines: certified accuracy at every radius, up to R_max. Markers: the radii of the run (dashed)."
    else:
        lines = (
            "Markers: the radii of the run (dashed). Thin lines between them: at least this share, as sampling stops "
            "once these radii are decided."
        )
    limit = "R_max: largest radius that n_max samples can certify with any classifier; none beyond is attainable."
    title = f"Certified accuracy against L2 radius, k = {curves[0].k}"
    bands = ""
    if drawn and not run.missing:
        bands = f"{_BANDS if curves[0].exact else _BANDS_AT_LEAST} Intervals hold {run.stated.assumed}. "
        bands = f"No intervals: {run.no_interval}. " if run.no_interval else bands
    primary = run.spec.request.primary
    ring = "Ring: the primary entry, fixed before the run. " if primary and primary.k == curves[0].k else ""
    return Words(title, note(run), (f"{lines} {ring}{bands}{limit}", _facts(run)))


def class_words(run: Run, panels: Sequence[Panel]) -> Words:
    """Return the words of the figure of certified accuracy by class."""
    first, shown = panels[0], chosen(panels)
    present = [row for row in first.rows if row.images]
    attainable = any(panel.radius <= panel.r_max for panel in panels)
    few = attainable and any(first.rows[number].images < SMALL for number in shown)
    many = attainable and any(first.rows[number].images >= SMALL for number in shown)
    foot = [UNITS]
    if len(shown) < len(present):
        foot.append(
            f"The {len(shown)} lowest of {len(present):,} classes over all σ; as they were selected for being low, "
            "they would on average be higher on other images."
        )
    if few:
        foot.append(f"Open bars: fewer than {SMALL} images; certified/images, without percentage and interval.")
    if many and not run.missing:
        lines = f"Black lines: exact 95\u00a0% intervals, {run.stated.assumed}; one class at a time."
        foot.append(f"No intervals: {run.no_interval}." if run.no_interval else lines)
    if run.missing:
        foot.append("Images without a result count as not certified, so every bar is only a lower limit.")
    title = f"Certified accuracy by class at L2 radius r = {full(first.radius)}, k = {first.k}"
    return Words(title, note(run), (" ".join(foot), _facts(run)))


def samples_words(run: Run, levels: Sequence[SampleCounts]) -> Words:
    """Return the words of the figure of samples per image."""
    dashed = f"Dashed: {levels[0].fixed:,} samples, the number per image under fixed sampling."
    decided = " Only images with a result." if run.missing else ""
    return Words("Noise samples per image, by noise level σ", note(run), (dashed + decided, _facts(run)))


def units_words(run: Run, changes: Mapping[str, float]) -> Words:
    """Return the words of the figure of simple perturbations."""
    channels, height, width = run.spec.data.shape
    recorded = changes == {each.name: each.median for each in run.changes}
    over = f"the first {run.changes[0].images:,} images" if recorded and run.changes else "the images"
    foot = (
        f"Points: median over {over}. A certificate at r covers instances of a perturbation whose norm is below r, "
        f"not the kind of perturbation as such. Dashed: the radii of the run. Grey levels: of {GREY}.",
    )
    return Words(f"L2 radii in context, images of {height} × {width} × {channels}", note(run), foot)


def _facts(run: Run) -> str:
    request, data = run.spec.request, run.spec.data
    facts = [
        f"{data.images:,} image{'s' * (data.images != 1)}, up to n_max = {request.n_max:,} noise samples each, "
        f"α = {full(request.alpha)}, bound {request.bound}."
    ]
    if run.spec.denoised:
        facts.append(PIPELINE)
    if data.grouped:
        facts.append("The images come in groups; the intervals treat them as independent.")
    if not run.arithmetic_covered:
        facts.append(f"Computer arithmetic: {run.arithmetic}.")
    return " ".join(facts)
