"""Attainable radii: what a sampling budget certifies with unanimous votes, and the label probability needed."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from functools import partial

import numpy as np

from smoothcert.config import Request
from smoothcert.evidence.outcomes import planned
from smoothcert.formats.plan import AttainableRadius, Power
from smoothcert.stats import Plan, Procedure, r_max, rule_of, samples_needed, upper_bound
from smoothcert.stats.radius import probabilities_at
from smoothcert.stats.sequential import one_look
from smoothcert.stats.simulate import expected_samples

MARGINS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Margins of the true radius over r, in units of sigma."""
MOST_VOTES = 10**7
_FAIL = 0.05  # 95 % power
SIMULATED = 4000
"""Images simulated for the power of a procedure; its standard error is at most 0.8 %."""


def procedure_of(request: Request, sigma: float, classes: int, eta: float = 0.0) -> Procedure:
    """Return the procedure of a run at one noise level."""
    return Procedure(planned(request, classes, sigma, eta), request.targets, request.radius, request.n0)


def attainable_radius(procedure: Procedure, k: int, r: float) -> AttainableRadius:
    """Return what a procedure can certify at one k and radius."""
    plan, probability = procedure.plan, sufficient(procedure.plan, k, r)
    return AttainableRadius(
        sigma=plan.sigma,
        k=k,
        radius=r,
        r_max=r_max(plan, k),
        votes=_unanimous(plan, k, r),
        look=_first_look(plan, k, r),
        probability=probability,
        power=None if probability is None else _power(procedure, k, r, probability),
    )


def _power(procedure: Procedure, k: int, r: float, probability: float) -> float:
    """Return the share of images with a label probability that a whole procedure certifies, in the hardest case."""
    vector = np.zeros(procedure.plan.classes)
    vector[0], vector[1 : k + 1] = probability, (1 - probability) / k
    asked = replace(procedure, radii=tuple(dict.fromkeys((*procedure.radii, r))))
    found = expected_samples(vector[None], asked, np.random.default_rng(0), SIMULATED)
    return float(found.power[0, list(asked.targets).index(k), asked.radii.index(r)])


def sufficient(plan: Plan, k: int, r: float) -> float | None:
    """Return the label probability from which on r is certified with 95 % power, rounded up; None if not attainable.

    Computed for each look alone; the smallest is returned, as further looks only add power. The misses are divided
    equally among the k strongest rivals; for k = 1 the power is then exact.
    """
    rule, found = rule_of(plan, k), []
    for n in plan.looks:
        votes = bisect_left(range(n + 1), True, key=partial(rule.kept, r, n))
        if 0 < votes <= n:
            found.append(float(upper_bound(votes - 1, n, _FAIL)))
    return min(found, default=None)


def _unanimous(plan: Plan, k: int, r: float) -> int | None:
    """Return the unanimous votes that certify r in one look with all of alpha."""
    rule = rule_of(plan, k)
    votes = bisect_left(range(MOST_VOTES + 1), True, lo=1, key=lambda n: rule.kept(r, n, n, alone=True))
    return votes if votes <= MOST_VOTES else None


def _first_look(plan: Plan, k: int, r: float) -> int | None:
    rule = rule_of(plan, k)
    return next((n for n in plan.looks if rule.kept(r, n, n)), None)


def powers(procedure: Procedure, k: int, r: float, rng: np.random.Generator) -> list[Power]:
    """Return the votes that one look needs for 95 % power, one row per margin."""
    plan = procedure.plan
    chances = probabilities_at(r / plan.sigma + np.array(MARGINS), plan.classes, k)
    votes = samples_needed(chances, r, one_look(plan), k, 1 - _FAIL, rng)
    rows = zip(MARGINS, chances[:, 0], votes, strict=True)
    return [Power(plan.sigma, k, r, margin, float(p), int(n) if np.isfinite(n) else None) for margin, p, n in rows]
