"""What another alpha, n_max, k or stopping rule would do, all other settings as they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from smoothcert.evidence.forecast import RESOLVED
from smoothcert.evidence.outlook import Change
from smoothcert.planning.forecast import Level
from smoothcert.planning.reach import sufficient
from smoothcert.spec import Request
from smoothcert.stats import Plan, Procedure, r_max, schedule, simulate
from smoothcert.stats.plan import FIRST_LOOK

ALPHAS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
BUDGETS = (1_000, 10_000, 100_000, 1_000_000)
DRAWN = 400
"""Images drawn from the population for these forecasts, the same for every setting."""


@dataclass(frozen=True)
class _Variant:
    setting: str
    value: str
    procedure: Procedure
    k: int
    now: bool


def changes(request: Request, procedure: Procedure, pilot: Level | None, copies: int, seed: int) -> list[Change]:
    """Return what other settings do at one noise level.

    Args:
        request: the settings as they are.
        procedure: the procedure they lead to.
        pilot: forecast of the level, or None without a pilot.
        copies: votes of a pilot image.
        seed: of the simulation; the same for all levels and settings, so that differences show.
    """
    r = request.first_radius
    return [_change(variant, r, pilot, copies, seed) for variant in _variants(request, procedure)]


def _variants(request: Request, procedure: Procedure) -> Iterator[_Variant]:
    plan, k = procedure.plan, request.first_k
    for alpha in sorted({*ALPHAS, request.alpha}, reverse=True):
        changed = replace(plan, alpha=alpha)
        yield _Variant("alpha", f"{alpha:g}", replace(procedure, plan=changed), k, alpha == request.alpha)
    for n_max in sorted({*BUDGETS, request.n_max}):
        looks = schedule(n_max, request.stopping)
        yield _Variant(
            "n_max", f"{n_max:,}", replace(procedure, plan=replace(plan, looks=looks)), k, looks == plan.looks
        )
    for other in request.k:
        alone = replace(procedure, targets={other: request.target_of(other)})
        yield _Variant("k", str(other), alone, other, other == k)
    if request.n_max >= FIRST_LOOK:
        for stopping in ("looks", "fixed"):
            looks = schedule(request.n_max, stopping)
            other_rule = replace(procedure, plan=replace(plan, looks=looks))
            yield _Variant("stopping", stopping, other_rule, k, stopping == request.stopping)


def _change(variant: _Variant, r: float, pilot: Level | None, copies: int, seed: int) -> Change:
    plan, k = variant.procedure.plan, variant.k
    limit = r_max(plan, k)
    certified, mean = (None, None) if pilot is None else _forecast(variant, r, pilot, seed)
    places = product(variant.procedure.targets, variant.procedure.radii)
    told = {place: _told(plan, *place, copies) for place in places}
    return Change(
        setting=variant.setting,
        value=variant.value,
        sigma=plan.sigma,
        r_max=limit,
        radius=r,
        certified=certified if told[k, r] else None,
        copies=mean,
        now=variant.now,
        told=False not in told.values(),
    )


def _forecast(variant: _Variant, r: float, pilot: Level, seed: int) -> tuple[float, float]:
    """Return certified accuracy at one cell, and mean copies, over images drawn from the population."""
    rng, behind = np.random.default_rng(seed), pilot.behind
    chosen = rng.choice(len(behind.labels), DRAWN, p=behind.weights(behind.best))
    procedure = variant.procedure
    done = simulate(behind.vectors[chosen], behind.labels[chosen], procedure, rng)
    place = list(procedure.targets).index(variant.k), procedure.radii.index(r)
    return float(done.certified[:, place[0], place[1]].mean()), float(done.samples.mean())


def _told(plan: Plan, k: int, r: float, copies: int) -> bool | None:
    """Whether a pilot of so many votes tells images that are certified from others; None: not attainable."""
    needed = sufficient(plan, k, r)
    return None if r > r_max(plan, k) or needed is None else needed <= 1 - RESOLVED / copies
