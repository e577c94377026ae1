"""What a run over m images may come to, of which the pilot's images are a part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothcert.evidence.forecast import COVERAGE, Estimate
from smoothcert.planning.population import Population
from smoothcert.planning.profile import Trace
from smoothcert.planning.shares import FloatArray
from smoothcert.stats import Procedure, simulate

RUNS = 50
"""Runs simulated at each distribution of a trace."""
_DIGITS = 9


@dataclass(frozen=True, eq=False)
class Simulation:
    """What one procedure did to each probability vector of a population.

    Attributes:
        certified: float (E, cells) 0 or 1, cells in the order of the procedure's k and radii.
        samples: float (E,): noisy copies, selection included.
    """

    certified: FloatArray
    samples: FloatArray


def simulated(behind: Population, procedure: Procedure, rng: np.random.Generator) -> Simulation:
    """Simulate a procedure once on every vector."""
    done = simulate(behind.vectors, behind.labels, procedure, rng)
    return Simulation(done.certified.reshape(len(behind.labels), -1).astype(float), done.samples.astype(float))


def certified_share(behind: Population, effect: FloatArray, trace: Trace, m: int, rng: np.random.Generator) -> Estimate:
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
        own = np.clip(behind.votes.posterior(mixture) @ effect, 0, 1)
        pilot = rng.binomial(behind.votes.numbers, own, (RUNS, len(own))).sum(axis=1)
        others = rng.binomial(m - behind.votes.images, min(1.0, max(0.0, float(mixture @ effect))), RUNS)
        runs.append((pilot + others) / m)
    return _estimate(float(behind.best @ effect), np.array(runs), trace.weights)


def mean_copies(behind: Population, samples: FloatArray, trace: Trace, m: int, rng: np.random.Generator) -> Estimate:
    """Forecast the mean copies an image of a run over m >= N images; samples float (E,) of the vectors."""
    usual = float(behind.weights(behind.best) @ samples)
    away = samples - usual  # small numbers keep the digits of their squares
    effect, squares = behind.at_points(np.stack([away, away**2], axis=1))
    runs = []
    for mixture in trace.mixtures:
        own, numbers = behind.votes.posterior(mixture), behind.votes.numbers
        mean, square = own @ effect, own @ squares
        spread = np.sqrt(numbers @ np.maximum(square - mean**2, 0))
        pilot = numbers @ mean + spread * rng.standard_normal(RUNS)
        others = rng.multinomial(m - behind.votes.images, behind.weights(mixture), RUNS) @ away
        runs.append(usual + (pilot + others) / m)
    # few images are not normal: no run takes fewer copies than every one of its images takes at least
    return _estimate(usual, np.clip(runs, samples.min(), samples.max()), trace.weights)


def _estimate(value: float, runs: FloatArray, weights: NDArray[np.float64]) -> Estimate:
    """Return the forecast with the interval of simulated runs (Q, RUNS), each row of one weight."""
    values = runs.ravel()
    order = np.argsort(values)
    below = np.cumsum(np.repeat(weights, runs.shape[1])[order]) / runs.shape[1]
    tail = (1 - COVERAGE) / 2
    ends = np.minimum(np.searchsorted(below, [tail, 1 - tail]), len(order) - 1)
    low, high = values[order[ends]].round(_DIGITS)
    kept = round(value, _DIGITS)
    return Estimate(kept, min(float(low), kept), max(float(high), kept))
