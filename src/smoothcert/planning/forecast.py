"""From the votes of a pilot to the forecast of a run at one noise level."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from smoothcert.evidence.forecast import CellForecast, Estimate, LevelForecast, Rate
from smoothcert.planning.outcomes import Simulation, Trace, certified_share, mean_copies, simulated, traces
from smoothcert.planning.population import FloatArray, IntArray, Population, population
from smoothcert.planning.reach import sufficient
from smoothcert.stats import Plan, Procedure, r_max, schedule
from smoothcert.stats.sequential import FIRST_LOOK

_ROUNDING = 1e-9
"""Below one half by no more than this, a sum of weights is one half."""


@dataclass(frozen=True, eq=False)
class Votes:
    """Votes of a pilot at one noise level.

    Attributes:
        counts: int (N, c): votes, the same number for each image.
        labels: int (N,): reference labels.
        rates: noisy copies a second, the run's own precision first.
    """

    counts: IntArray
    labels: IntArray
    rates: tuple[Rate, ...] = ()

    @property
    def copies(self) -> int:
        """Votes an image."""
        return int(self.counts[0].sum())


@dataclass(frozen=True, eq=False)
class Level:
    """The forecast of one noise level, and the population it rests on."""

    cells: tuple[CellForecast, ...]
    level: LevelForecast
    behind: Population


def forecast_level(votes: Votes, procedure: Procedure, m: int, rng: np.random.Generator) -> Level:
    """Forecast a run over m images at one noise level, of which the pilot's are a part.

    Args:
        votes: the pilot's votes.
        procedure: what the run asks of each image's votes.
        m: images of the run, at least as many as in the pilot.
        rng: source of randomness.
    """
    behind = population(votes.counts, votes.labels, rng)
    rules = {name: with_stopping(procedure, name) for name in ("looks", "fixed")}
    done = {name: simulated(behind, rule, rng) for name, rule in rules.items()}
    paths = _paths(behind, done)
    own = "fixed" if len(procedure.plan.looks) == 1 else "looks"
    places = [(k, r) for k in procedure.targets for r in procedure.radii]
    cells = []
    for i, (k, r) in enumerate(places):
        found = {name: _share(behind, (done[name], rules[name], i), paths[i], m, rng) for name in rules}
        limit, needed = r_max(procedure.plan, k), sufficient(procedure.plan, k, r)
        cell = CellForecast(procedure.plan.sigma, k, r, limit, needed, found["looks"], found["fixed"])
        cells.append(_as_far_as_told(cell, votes.copies))
    copies = {
        name: mean_copies(behind, each.samples, path, m, rng)
        for (name, each), path in zip(done.items(), paths[len(places) :], strict=True)
    }
    level = LevelForecast(
        sigma=procedure.plan.sigma,
        looks=copies["looks"],
        looks_median=_median(behind, done["looks"]),
        fixed=copies["fixed"],
        fixed_median=_median(behind, done["fixed"]),
        taken=_taken(behind, done[own]),
        rates=votes.rates,
    )
    return Level(tuple(cells), level, behind)


def with_stopping(procedure: Procedure, stopping: str) -> Procedure:
    """Return a procedure with another stopping rule and the same largest number of copies."""
    plan: Plan = procedure.plan
    return replace(procedure, plan=replace(plan, looks=schedule(plan.looks[-1], _possible(plan, stopping))))


def _possible(plan: Plan, stopping: str) -> str:
    """Below the first of sequential looks a run has one look."""
    return "fixed" if plan.looks[-1] < FIRST_LOOK else stopping


def _paths(behind: Population, done: dict[str, Simulation]) -> list[Trace]:
    """Return the traces of each cell (under looks), of the copies under looks, and of those under a fixed number."""
    columns = [done["looks"].certified, *(each.samples[:, None] / each.samples.max() for each in done.values())]
    return traces(behind.votes, behind.best, behind.at_points(np.concatenate(columns, axis=1)))


def _share(
    behind: Population, at: tuple[Simulation, Procedure, int], path: Trace, m: int, rng: np.random.Generator
) -> Estimate | None:
    """Forecast one cell under one rule; None where its radius is not attainable."""
    done, procedure, i = at
    k, r = list(procedure.targets)[i // len(procedure.radii)], procedure.radii[i % len(procedure.radii)]
    if r > r_max(procedure.plan, k):
        return None
    effect: FloatArray = behind.at_points(done.certified[:, [i]])[0]
    return certified_share(behind, effect, path, m, rng)


def _as_far_as_told(cell: CellForecast, copies: int) -> CellForecast:
    """Take the forecast out of a cell that so short a pilot cannot tell; its interval stays."""
    if cell.telling(copies) is None:
        return cell
    looks, fixed = (each and replace(each, value=None) for each in (cell.looks, cell.fixed))
    return replace(cell, looks=looks, fixed=fixed)


def _taken(behind: Population, done: Simulation) -> tuple[tuple[int, float], ...]:
    values, where = np.unique(done.samples, return_inverse=True)
    shares = np.bincount(where, behind.weights(behind.best), len(values))
    return tuple((int(n), round(float(share), 6)) for n, share in zip(values, shares, strict=True) if share >= 1e-6)


def _median(behind: Population, done: Simulation) -> float:
    order = np.argsort(done.samples)
    below = np.cumsum(behind.weights(behind.best)[order])
    return float(done.samples[order[np.searchsorted(below, 0.5 - _ROUNDING)]])
