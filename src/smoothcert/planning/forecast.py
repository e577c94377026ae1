"""The forecast of a run over m images from a pilot, with prediction intervals.

A forecast is a mean over images, `effect @ mixture`. Its profile likelihood is traced: for each value of the mean, the
mixing distribution with that mean that maximises the likelihood of the votes. Twice the loss of log-likelihood is taken
as chi-square with one degree of freedom (as for the empirical likelihood of a mean: Owen, Biometrika 75, 1988,
doi:10.1093/biomet/75.2.237), so each point of the trace has a signed root s, and the trace is a confidence distribution
with s standard normal. Where the votes cannot distinguish two distributions, the trace jumps across the possible range.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from smoothcert.formats.plan import COVERAGE, EntryForecast, Estimate, LevelForecast, Rate
from smoothcert.planning.attainable import sufficient
from smoothcert.planning.population import FloatArray, IntArray, Population, Seen, climb, estimate_population
from smoothcert.stats import Procedure, r_max, simulate

_ROOTS = (0.4, 1.0, 2.0, 3.2)  # signed roots aimed at, on either side
_AIMS, _ROUNDS = 3, 400
_NEAR = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.25, 0.4)
_BETWEEN = np.array([0.0, *_NEAR, 0.5, *(1 - near for near in reversed(_NEAR))])
"""Positions on a line between two traced points, dense at its ends, where a trace may jump."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Distributions along one profile, from the lowest mean to the highest.

    Attributes:
        mixtures: float (Q, points), rows summing to one.
        weights: float (Q,): confidence mass of each, summing to one.
    """

    mixtures: FloatArray
    weights: FloatArray


def traces(votes: Seen, best: FloatArray, effects: FloatArray) -> list[Trace]:
    """Trace the profile likelihood of several means.

    Args:
        votes: likelihood of the pilot's votes.
        best: float (points,): `mixture(votes)`.
        effects: float (F, points) in [0, 1]: the quantity that is averaged, at each point.

    Returns:
        One trace per effect.
    """
    both = np.repeat(np.concatenate([effects, 1 - effects]), len(_ROOTS), axis=0)
    aims = np.tile(_ROOTS, 2 * len(effects))
    spread = both**2 @ best - (both @ best) ** 2
    pull = aims / np.sqrt(votes.images * (np.maximum(spread, 0) + 1 / votes.images))
    found = np.tile(0.9 * best + 0.1 / len(best), (len(both), 1))
    for _ in range(_AIMS):
        found = climb(votes, found, pull[:, None] * both, _ROUNDS)
        roots = np.sqrt(2 * np.maximum(_loss(votes, best, found), 1e-6))
        pull = pull * np.clip(aims / roots, 0.3, 3)
    up, down = np.split(found.reshape(-1, len(_ROOTS), len(best)), 2)
    return [
        _trace(votes, best, np.concatenate([low[::-1], best[None], high]), effect)
        for low, high, effect in zip(down, up, effects, strict=True)
    ]


def _loss(votes: Seen, best: FloatArray, found: FloatArray) -> FloatArray:
    """Return the loss of log-likelihood of each distribution against the best."""
    like = votes.likelihood
    lost: FloatArray = (np.log(like @ best) - np.log(found @ like.T)) @ votes.numbers
    return lost


def _trace(votes: Seen, best: FloatArray, points: FloatArray, effect: FloatArray) -> Trace:
    """Fill the gaps between traced points, along straight lines, and weigh each point by its signed root."""
    part = _BETWEEN[:, None]
    lines = [(1 - part) * a + part * b for a, b in pairwise(points)]
    filled = np.concatenate([*lines, points[-1:]])
    sign = np.sign(filled @ effect - best @ effect)
    roots = sign * np.sqrt(2 * np.maximum(_loss(votes, best, filled), 0))
    order = np.argsort(roots, kind="stable")
    return Trace(filled[order], _masses(roots[order]))


def _masses(roots: NDArray[np.float64]) -> FloatArray:
    """Return the standard normal mass around each of several increasing roots."""
    middles = (roots[1:] + roots[:-1]) / 2
    masses: FloatArray = np.diff(ndtr(np.concatenate([[-np.inf], middles, [np.inf]])))
    return masses


RUNS = 50
"""Number of runs simulated per distribution of a trace."""
_DIGITS = 9


@dataclass(frozen=True, eq=False)
class Simulation:
    """Outcome of one procedure for each probability vector of a population.

    Attributes:
        certified: float (E, entries), 0 or 1; entries in the order of the procedure's k and radii.
        samples: float (E,): noise samples, selection included.
    """

    certified: FloatArray
    samples: FloatArray


def simulated(population: Population, procedure: Procedure, rng: np.random.Generator) -> Simulation:
    """Simulate a procedure once on every vector."""
    done = simulate(population.vectors, population.labels, procedure, rng)
    return Simulation(done.certified.reshape(len(population.labels), -1).astype(float), done.samples.astype(float))


def certified_share(
    population: Population, effect: FloatArray, trace: Trace, m: int, rng: np.random.Generator
) -> Estimate:
    """Forecast the certified accuracy of a run over m >= N images.

    Args:
        behind: the population.
        effect: float (points,): probability of being certified at each point of the grid.
        trace: the distributions that explain the pilot's votes.
        m: images of the run: the N of the pilot, and m - N others.
        rng: source of randomness.
    """
    runs = []
    for mixture in trace.mixtures:
        own = np.clip(population.votes.posterior(mixture) @ effect, 0, 1)
        pilot = rng.binomial(population.votes.numbers, own, (RUNS, len(own))).sum(axis=1)
        others = rng.binomial(m - population.votes.images, min(1.0, max(0.0, float(mixture @ effect))), RUNS)
        runs.append((pilot + others) / m)
    return _estimate(float(population.best @ effect), np.array(runs), trace.weights)


def mean_samples(
    population: Population, samples: FloatArray, trace: Trace, m: int, rng: np.random.Generator
) -> Estimate:
    """Forecast the mean samples per image of a run over m >= N images; `samples` (E,) are those of the vectors."""
    usual = float(population.weights(population.best) @ samples)
    away = samples - usual  # small numbers keep the digits of their squares
    effect, squares = population.at_points(np.stack([away, away**2], axis=1))
    runs = []
    for mixture in trace.mixtures:
        own, numbers = population.votes.posterior(mixture), population.votes.numbers
        mean, square = own @ effect, own @ squares
        spread = np.sqrt(numbers @ np.maximum(square - mean**2, 0))
        pilot = numbers @ mean + spread * rng.standard_normal(RUNS)
        others = rng.multinomial(m - population.votes.images, population.weights(mixture), RUNS) @ away
        runs.append(usual + (pilot + others) / m)
    # few images are not normal: clip to the range that the images can have
    return _estimate(usual, np.clip(runs, samples.min(), samples.max()), trace.weights)


def _estimate(value: float, runs: FloatArray, weights: NDArray[np.float64]) -> Estimate:
    """Return the forecast with the interval of simulated runs (Q, RUNS); `weights` are those of the rows."""
    values = runs.ravel()
    order = np.argsort(values)
    below = np.cumsum(np.repeat(weights, runs.shape[1])[order]) / runs.shape[1]
    tail = (1 - COVERAGE) / 2
    ends = np.minimum(np.searchsorted(below, [tail, 1 - tail]), len(order) - 1)
    low, high = values[order[ends]].round(_DIGITS)
    kept = round(value, _DIGITS)
    return Estimate(kept, min(float(low), kept), max(float(high), kept))


_ROUNDING = 1e-9
"""Tolerance of a cumulative weight at one half."""


@dataclass(frozen=True, eq=False)
class Votes:
    """Votes of a pilot at one noise level.

    Attributes:
        counts: int (N, c): votes, the same number for each image.
        labels: int (N,): reference labels.
        rates: noise samples per second, the run's own precision first.
    """

    counts: IntArray
    labels: IntArray
    rates: tuple[Rate, ...] = ()

    @property
    def samples(self) -> int:
        """Votes per image."""
        return int(self.counts[0].sum())


@dataclass(frozen=True, eq=False)
class Level:
    """The forecast of one noise level, and the population behind it."""

    entries: tuple[EntryForecast, ...]
    level: LevelForecast
    population: Population


def forecast_level(votes: Votes, procedure: Procedure, m: int, rng: np.random.Generator) -> Level:
    """Forecast a run at one noise level over m images, which include those of the pilot.

    Args:
        votes: the pilot's votes.
        procedure: procedure of the run.
        m: images of the run, at least as many as in the pilot.
        rng: random number generator.
    """
    population = estimate_population(votes.counts, votes.labels, rng)
    rules = {name: with_stopping(procedure, name) for name in ("looks", "fixed")}
    done = {name: simulated(population, rule, rng) for name, rule in rules.items()}
    paths = _paths(population, done)
    own = "fixed" if procedure.plan.takes_all else "looks"
    places = [(k, r) for k in procedure.targets for r in procedure.radii]
    entries = []
    for i, (k, r) in enumerate(places):
        found = {name: _share(population, (done[name], rules[name], i), paths[i], m, rng) for name in rules}
        limit, needed = r_max(procedure.plan, k), sufficient(procedure.plan, k, r)
        entry = EntryForecast(procedure.plan.sigma, k, r, limit, needed, found["looks"], found["fixed"])
        entries.append(_as_far_as_resolved(entry, votes.samples))
    samples = {
        name: mean_samples(population, each.samples, path, m, rng)
        for (name, each), path in zip(done.items(), paths[len(places) :], strict=True)
    }
    level = LevelForecast(
        sigma=procedure.plan.sigma,
        looks=samples["looks"],
        looks_median=_median(population, done["looks"]),
        fixed=samples["fixed"],
        fixed_median=_median(population, done["fixed"]),
        taken=_taken(population, done[own]),
        rates=votes.rates,
    )
    return Level(tuple(entries), level, population)


def with_stopping(procedure: Procedure, stopping: str) -> Procedure:
    """Return a procedure with another stopping rule and the same n_max."""
    return replace(procedure, plan=procedure.plan.with_stopping(stopping))


def _paths(population: Population, done: dict[str, Simulation]) -> list[Trace]:
    """Return the traces of each entry (with looks), of the samples with looks, and of those with fixed sampling."""
    columns = [done["looks"].certified, *(each.samples[:, None] / each.samples.max() for each in done.values())]
    return traces(population.votes, population.best, population.at_points(np.concatenate(columns, axis=1)))


def _share(
    population: Population, at: tuple[Simulation, Procedure, int], path: Trace, m: int, rng: np.random.Generator
) -> Estimate | None:
    """Forecast one entry under one rule; None if its radius is not attainable."""
    done, procedure, i = at
    k, r = list(procedure.targets)[i // len(procedure.radii)], procedure.radii[i % len(procedure.radii)]
    if r > r_max(procedure.plan, k):
        return None
    effect: FloatArray = population.at_points(done.certified[:, [i]])[0]
    return certified_share(population, effect, path, m, rng)


def _as_far_as_resolved(entry: EntryForecast, samples: int) -> EntryForecast:
    """Remove the forecast of an entry that the pilot is too short to resolve; its interval stays."""
    if entry.telling(samples) is None:
        return entry
    looks, fixed = (each and replace(each, value=None) for each in (entry.looks, entry.fixed))
    return replace(entry, looks=looks, fixed=fixed)


def _taken(population: Population, done: Simulation) -> tuple[tuple[int, float], ...]:
    values, where = np.unique(done.samples, return_inverse=True)
    shares = np.bincount(where, population.weights(population.best), len(values))
    return tuple((int(n), round(float(share), 6)) for n, share in zip(values, shares, strict=True) if share >= 1e-6)


def _median(population: Population, done: Simulation) -> float:
    order = np.argsort(done.samples)
    below = np.cumsum(population.weights(population.best)[order])
    return float(done.samples[order[np.searchsorted(below, 0.5 - _ROUNDING)]])
