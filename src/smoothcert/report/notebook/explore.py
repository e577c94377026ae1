"""Results of stored votes under other settings, and samples needed for a radius at true probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Request, Spec
from smoothcert.evidence import Run
from smoothcert.evidence.line_store import columns_of, in_blocks, some_of
from smoothcert.evidence.outcomes import derived, line_tallies, plan_of, seen
from smoothcert.formats.line import Line
from smoothcert.report.notebook.facts import rows
from smoothcert.report.results_table import Table
from smoothcert.stats import Bounds, Plan, Procedure, power, r_max, radius, samples_needed
from smoothcert.stats.radius import probabilities_at
from smoothcert.stats.rounding import format_down, full, percent_of
from smoothcert.stats.sequential import one_look
from smoothcert.stats.simulate import Expected, expected_samples

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Moves:
    """Certified accuracy under several values of one setting, everything else as in the run.

    Attributes:
        setting: its name.
        values: its values, as text.
        own: position of the value of the run among them, or None.
        limits: R_max at each value.
        certified: at each value, images certified-correct at each radius of the run; None if it is not attainable.
        images: m, all images of the run.
        radii: the radii of the run.
    """

    setting: str
    values: tuple[str, ...]
    own: int | None
    limits: tuple[float, ...]
    certified: tuple[tuple[int | None, ...], ...]
    images: int
    radii: tuple[float, ...]

    def table(self, **more: Sequence[object]) -> Table:
        """Return the table, one row per value; `more` are further columns by name (underscores become spaces).

        Counts at other values than that of the run are lower limits, as sampling was not planned for them.
        """
        headings = (
            self.setting,
            *(name.replace("_", " ") for name in more),
            "R_max",
            *(f"r = {full(r)}" for r in self.radii),
        )
        found = [
            (
                f"{value} (this run)" if i == self.own else value,
                *(column[i] for column in more.values()),
                format_down(self.limits[i], 4),
                *("not attainable" if s is None else self._share(s, i == self.own) for s in self.certified[i]),
            )
            for i, value in enumerate(self.values)
        ]
        return rows(headings, found)

    def _share(self, s: int, own: bool) -> str:
        return f"{'' if own else '>= '}{percent_of(s, self.images)} % ({s:,})"


def moves(run: Run, entry: tuple[float, int], setting: str, values: Mapping[str, Mapping[str, Any]], own: str) -> Moves:
    """Return certified accuracy from the stored votes under other settings.

    Sampling stopped when the radii of the run were decided under its own settings, so the counts are "at least".

    Args:
        run: the run, complete or partial.
        entry: (sigma, k); k applies unless it varies.
        setting: the setting that varies.
        values: for each value, as text, the changes: `k`, `looks` (the first ones of the run) or fields of the request.
        own: the value of the run.
    """
    names, variants = tuple(values), [_variant(run.spec, entry[1], dict(changes)) for changes in values.values()]
    found = _counted(run, entry[0], variants)
    return Moves(
        setting=setting,
        values=names,
        own=names.index(own) if own in names else None,
        limits=tuple(limit for limit, _ in found),
        certified=tuple(counts for _, counts in found),
        images=run.spec.data.images,
        radii=run.spec.request.radius,
    )


def bound_change(request: Request, bound: str, k: int) -> dict[str, Any]:
    """Return the change of settings that evaluates the votes of a run with another bound, for the same class."""
    if bound == request.bound:
        return {}
    return {"bound": bound, "target": request.target_of(k), "stop": None, "price": None}


def _variant(spec: Spec, k: int, changes: dict[str, Any]) -> tuple[Spec, int]:
    k, looks = changes.pop("k", k), changes.pop("looks", spec.looks)
    return spec.model_copy(update={"looks": looks, "request": spec.request.model_copy(update=changes)}), k


def _counted(
    run: Run, sigma: float, variants: Sequence[tuple[Spec, int]]
) -> list[tuple[float, tuple[int | None, ...]]]:
    """Return R_max and images certified-correct at each radius for each spec and k, in one pass over the lines."""
    lines, radii, most = run.ledger.at(sigma), run.spec.request.radius, max(k for _, k in variants)
    counts = np.zeros((len(variants), len(radii)), dtype=np.int64)
    for _, block in in_blocks(lines):
        votes = seen(block, columns_of(block), len(run.spec.looks), most)
        for i, (spec, k) in enumerate(variants):
            found = derived(spec, votes, sigma, (k,))[k]
            counts[i] += [int(found.certified_correct(r).sum()) for r in radii]
    limits = [r_max(plan_of(spec, sigma), k) for spec, k in variants]
    return [
        (limit, tuple(s if r <= limit else None for s, r in zip(row, radii, strict=True)))
        for limit, row in zip(limits, counts.tolist(), strict=True)
    ]


WANTED = 0.95
MARGINS = (0.5, 0.2, 0.1, 0.05)
"""Margins of the tables: how far the radius of unlimited samples exceeds the target radius, in units of sigma."""
_POINTS, _PEAKS, _IMAGES, _CLOSER = (
    25,
    80,
    30,
    300,
)
"""Points of lines, points of a curve, simulated images at each point, and at each row of a table."""
POINTS = 20_000
"""Maximum number of images that are read and drawn."""
_RIVALS = 30  # weaker ones get too few votes to matter


@dataclass(frozen=True, eq=False)
class Needs:
    """Samples against the radius that unlimited samples would certify, at one sigma.

    Attributes:
        sigma: noise level.
        limit: R_max of the plan of the run.
        fixed: for each radius, float (2, p): radii that unlimited samples would certify, and the samples that a single
            look with Cohen's bound needs there; infinite if no number suffices.
        reach: float (q,): radii that unlimited samples would certify.
        expected: the samples that the procedure of the run takes at each reach.
        images: float (m, 2): for each image the radius at its observed vote shares, and the samples it took.
    """

    sigma: float
    limit: float
    fixed: dict[float, FloatArray]
    reach: FloatArray
    expected: Expected
    images: FloatArray


def needs(run: Run, sigma: float, k: int, images: int = _IMAGES) -> Needs:
    """Return the samples needed at one sigma and k.

    Args:
        run: the run, complete or partial.
        sigma: one of its noise levels.
        k: one of its k; its R_max must be above 0.
        images: simulated images at each point of the curve.
    """
    plan, radii = plan_of(run.spec, sigma), run.spec.request.radius
    limit = r_max(plan, k)
    reach = np.linspace(0.02, 1.05, _PEAKS) * limit
    at = probabilities_at(reach / sigma, plan.classes, k, observed_split(run, sigma))
    expected = expected_samples(at, procedure_of(run, sigma), np.random.default_rng(0), images)
    fixed = {r: _fixed(plan, k, r, limit) for r in radii if r < limit}
    return Needs(sigma, limit, fixed, reach, expected, observed_points(run, sigma, k))


def _fixed(plan: Plan, k: int, r: float, limit: float) -> FloatArray:
    reach = r + np.geomspace(0.002, 1, _POINTS) * max(limit - r, 0.1 * r)
    at = probabilities_at(reach / plan.sigma, plan.classes, k)
    return np.stack([reach, samples_needed(at, r, one_look(plan, "cohen"), k, WANTED)])


def procedure_of(run: Run, sigma: float) -> Procedure:
    """Return the procedure of a run at one noise level."""
    request = run.spec.request
    return Procedure(plan_of(run.spec, sigma), request.targets, request.radius, request.n0)


def sampled(run: Run, sigma: float) -> Iterator[Line]:
    """Yield the lines with looks of one noise level, or a random subset if there are more than `POINTS`.

    The subset follows from the seed of the run, which was fixed before the first vote.
    """
    lines = run.ledger.at(sigma)
    places = np.flatnonzero(columns_of(lines).looks)
    if len(places) > POINTS:
        places = np.sort(np.random.default_rng(run.spec.seed).choice(places, POINTS, replace=False))
    yield from some_of(lines, places)


def observed_split(run: Run, sigma: float) -> FloatArray:
    """Return the mean shares of the rivals among votes that miss the label, the strongest rival first.

    For many images a random subset is read (`sampled`).

    Returns:
        float (s,) with sum 1; an equal split among the largest k of the run if too few rivals have votes.
    """
    most = max(run.spec.request.k)
    found = np.zeros(run.spec.classes - 1)
    for line in sampled(run, sigma):
        votes = sorted((n for c, n in line.looks[-1][1].items() if c != line.label), reverse=True)
        rivals = np.array(votes, dtype=np.float64)
        found[: len(rivals)] += rivals / max(rivals.sum(), 1)
    found = found[:_RIVALS]
    if np.count_nonzero(found) < most:
        return np.full(most, 1 / most)
    return np.asarray(found[found > 0] / found.sum())


def observed_points(run: Run, sigma: float, k: int) -> FloatArray:
    """Return for each image with looks the radius at its observed vote shares, and its number of samples.

    For many images a random subset is read (`sampled`).

    Returns:
        float (m, 2): the radius, clipped to [0, R_max], and the samples, selection included.
    """
    plan = plan_of(run.spec, sigma)
    last = [replace(line, looks=line.looks[-1:]) for line in sampled(run, sigma)]
    tally = line_tallies(last, 1, k)
    n = tally.n[:, 0]
    shares = Bounds(1 - tally.label_votes[:, 0] / n, tally.rivals[:, 0] / n[:, None])
    samples = [line.samples for line in last]
    return np.stack([np.clip(radius(shares, sigma), 0, max(r_max(plan, k), 0)), samples], axis=1)


def settings_table(plan: Plan, k: int, r: float) -> Table:
    """Return the samples that a single look needs at other alphas, k, bounds and numbers of classes, by margin."""
    run = replace(one_look(plan), looks=plan.looks[-1:])
    found = [(f"alpha {full(alpha)}", replace(run, alpha=alpha), k) for alpha in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)]
    found += [(f"k = {j}", run, j) for j in sorted({1, 3, 5, k}) if j < plan.classes]
    wide = replace(run, classes=max(k + 1, 1000))
    found += [("cohen, any number of classes", replace(wide, bound="cohen"), k)]
    found += [("rankcp, 3 classes or more", replace(wide, bound="rankcp"), k)]
    found += [(f"simuem, {c:,} classes", replace(run, bound="simuem", classes=c), k) for c in (8, 1000) if c > k]
    margins = MARGINS[:3]
    table = [(name, *_samples_at(margins, each, j, r)) for name, each, j in found]
    return rows(("setting", *(f"margin {margin:g}" for margin in margins)), table)


def _samples_at(margins: Sequence[float], plan: Plan, k: int, r: float) -> list[str]:
    at = probabilities_at(r / plan.sigma + np.array(margins), plan.classes, k)
    return [printed(n) for n in samples_needed(at, r, plan, k, WANTED, np.random.default_rng(0))]


def printed(samples: float) -> str:
    """Return a number of samples, or "none" if no number suffices."""
    return f"{samples:,.0f}" if np.isfinite(samples) else "none"


def margin_table(plan: Plan, radii: Sequence[float]) -> Table:
    """Return the samples that a single look with Cohen's bound needs at k = 1, by margin and radius."""
    cohen = one_look(plan, "cohen")
    columns = [_samples_at(MARGINS, cohen, 1, r) for r in radii]
    found = [(f"{margin:g}", *(column[i] for column in columns)) for i, margin in enumerate(MARGINS)]
    return rows(("margin / sigma", *(f"r = {full(r)}" for r in radii)), found)


def stopping_table(plan: Plan, k: int, r: float) -> Table:
    """Return fixed and sequential sampling for one radius: samples and probability of a certificate, by margin."""
    margins, rng = (-0.5, -0.2, 0.0, *sorted(MARGINS), 1.0), np.random.default_rng(0)
    at = probabilities_at(r / plan.sigma + np.array(margins), plan.classes, k)
    looks = expected_samples(at, Procedure(plan, {k: "label"}, (r,)), rng, _CLOSER)
    fixed = [float(power(plan.looks[-1], row, r, one_look(plan), k, rng)) for row in at]
    found = [
        (
            f"{margin:g}",
            f"{looks.mean[i]:,.0f}",
            f"{looks.high[i]:,.0f}",
            _share(looks.power[i, 0, 0]),
            _share(fixed[i]),
        )
        for i, margin in enumerate(margins)
    ]
    headings = ("margin / sigma", "mean samples, looks", "90 % take at most", "certified, looks", "certified, fixed")
    return rows(headings, found)


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"
