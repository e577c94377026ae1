"""Do the numbers follow from the votes: bounds, decisions and results, by two independent implementations?"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert.evidence import (
    Ledger,
    Line,
    Outcomes,
    RunDirectory,
    Votes,
    line_tallies,
    outcomes,
    results_record,
    winner,
)
from smoothcert.spec import Spec
from smoothcert.stats import Bounds, Plan, bounds, r_max
from smoothcert.verify import plain


@dataclass(frozen=True)
class Recomputed:
    """What was recomputed at one sigma and k."""

    bounds: int
    decisions: int
    faults: tuple[str, ...]


def check_plan(spec: Spec) -> Iterator[str]:
    """Yield where looks, or the total-variation terms of integer noise, are not what the request leads to."""
    request = spec.request
    if spec.looks != plain.schedule(request.n_max, request.stopping):
        yield f"spec.json: looks {spec.looks} are not those of n_max = {request.n_max}, {request.stopping}"
    for model in spec.models:
        values = spec.data.shape[0] * spec.data.shape[1] * spec.data.shape[2]
        wanted = values * plain.thresholds(model.sigma, spec.data.levels) * 2.0**-64 if request.noise == "grid" else 0.0
        if not abs(model.eta - wanted) <= 1e-3 * wanted:
            yield f"spec.json: the total-variation term at sigma {model.sigma:g} is {model.eta:.3g}, not {wanted:.3g}"


def check_numbers(spec: Spec, lines: Sequence[Line], sigma: float, k: int) -> Recomputed:
    """Recompute bounds and decisions of one sigma and k by both implementations.

    SciPy claims the bounds; plain Python evaluates the binomial tail at each of them, takes the running minima and
    decides every radius anew.
    """
    if not lines:
        return Recomputed(0, 0, ())
    found = outcomes(spec, lines, sigma, k)
    plan, limit = found.plan, r_max(found.plan, k)
    levels = plain.levels(spec.looks, spec.request.alpha)
    claimed = bounds(line_tallies(lines, len(spec.looks), k), np.array(plan.levels), k, plan.bound, plan.classes)
    decided = {r: found.certified_correct(r) for r in spec.request.radius}
    faults: list[str] = []
    checked = 0
    for i, line in enumerate(lines):
        name = f"sigma {sigma:g}, image {line.index}, k {k}"
        q, rivals, count, wrong = _walk(plan, line, _Claimed(claimed, i, levels), k)
        checked += count
        faults += [f"{name}: {reason}" for reason in wrong]
        faults += [f"{name}: {reason}" for reason in _against(found, i, (q, rivals), limit)]
        for r in spec.request.radius:
            if not _agrees(spec, line, k, (q, rivals, plan, r), bool(decided[r][i])):
                faults.append(f"{name}: the two implementations decide r = {r:g} differently")
    return Recomputed(checked, len(lines) * len(decided), tuple(faults))


@dataclass(frozen=True)
class _Claimed:
    """The bounds SciPy claims for one image, and the levels as plain Python computes them."""

    bounds: Bounds
    row: int
    levels: tuple[float, ...]


def _walk(plan: Plan, line: Line, claimed: _Claimed, k: int) -> tuple[float, list[float], int, list[str]]:
    """Go through the looks of one line, checking each claimed bound; return the running bounds."""
    best, best_rivals, checked, faults = 1.0, [1.0] * k, 0, []
    for j, (n, votes) in enumerate(line.looks):
        q, rivals = float(claimed.bounds.q[claimed.row, j]), [float(u) for u in claimed.bounds.u[claimed.row, j]]
        for u, x, level in _claims(plan, (q, rivals), (n, votes, line.label), claimed.levels[j]):
            checked += 1
            if not plain.is_upper_bound(u, x, n, level):
                faults.append(f"look {n}: {u:.9g} is not the upper confidence bound of {x} votes")
        best = min(best, q)
        best_rivals = [min(pair) for pair in zip(best_rivals, rivals, strict=True)]
    return best, best_rivals, checked, faults


def _claims(
    plan: Plan, claimed: tuple[float, list[float]], votes: tuple[int, Votes, int], level: float
) -> Iterator[tuple[float, int, float]]:
    """Yield (claimed bound, successes, level) of every confidence bound of one look, its level written out anew."""
    (q, rivals), (n, counts, label), k = claimed, votes, len(claimed[1])
    miss = n - counts.get(label, 0)
    if plan.bound == "cohen" or (plan.bound == "rankcp" and plan.classes == 2):
        yield q, miss, level
        return
    mine, each = (0.7 * level, 0.3 * level / k) if plan.bound == "rankcp" else (level / plan.classes,) * 2
    yield q, miss, mine
    ranked = sorted((count for c, count in counts.items() if c != label), reverse=True)
    for j, u in enumerate(rivals):
        yield u, ranked[j] if j < len(ranked) else 0, each


def _against(found: Outcomes, i: int, walked: tuple[float, list[float]], limit: float) -> Iterator[str]:
    q, rivals = walked
    if q != found.bounds.q[i] or rivals != found.bounds.u[i].tolist():
        yield "the running bounds differ"
    if found.radius[i] > limit + 1e-9:
        yield "the radius is above R_max"


def _agrees(spec: Spec, line: Line, k: int, at: tuple[float, list[float], Plan, float], decided: bool) -> bool:
    q, rivals, plan, r = at
    wrong = spec.request.target_of(k) == "prediction" and winner(line) != line.label
    margin = plain.margin(q, rivals, r / plan.sigma, plan.eta)
    return abs(margin) < 1e-9 or decided == (margin > 0 and not wrong)


def check_results(run: RunDirectory, spec: Spec, ledger: Ledger) -> Iterator[str]:
    """Compare `results/results.json`, where there is one, with what the votes say."""
    path = run.results / "results.json"
    if not path.is_file():
        return
    try:
        printed = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        yield "results/results.json cannot be read"
        return
    computed = json.loads(json.dumps(results_record(spec, ledger)))
    if printed == computed:
        return
    ours, theirs = computed.get("cells", []), printed.get("cells", []) if isinstance(printed, dict) else []
    for mine, other in zip(ours, theirs, strict=False):
        names = [name for name in mine if not isinstance(other, dict) or other.get(name) != mine[name]]
        if names:
            place = f"sigma {mine['sigma']:g}, k {mine['k']}, r {mine['radius']:g}"
            yield f"results/results.json: {place}: {names[0]} is not what the votes give"
            return
    yield "results/results.json is not what the votes give"
