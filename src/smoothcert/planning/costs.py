"""What each entry of a run costs, and what a price changes: by simulation on the population behind a pilot.

All procedures are simulated on the same votes, so that their differences are not those of different votes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from smoothcert.formats.plan import EntryCost, PriceEffect
from smoothcert.planning.population import FloatArray, Population
from smoothcert.stats import Procedure, r_max
from smoothcert.stats.simulate import Simulated, simulate_together

IMAGES = 1000
"""Images drawn from the population."""
PRICES = (1, 2, 3, 5)
"""Samples that one certificate is worth, in n_max."""


def entry_costs(population: Population, procedure: Procedure, rng: np.random.Generator) -> list[EntryCost]:
    """Return the samples of a run with each entry alone, and those saved by leaving it out.

    An image is sampled until the last of its entries is decided, so a run takes the most samples that one of its
    entries takes alone.

    Args:
        population: the population behind the pilot.
        procedure: procedure of the run at one noise level.
        rng: random number generator.
    """
    plan, places = procedure.plan, [(k, r) for k in procedure.targets for r in procedure.radii]
    alone = [replace(procedure, targets={k: procedure.targets[k]}, radii=(r,)) for k, r in places]
    attainable = [r <= r_max(plan, k) for k, r in places]
    runs = _simulated(population, [each for each, can in zip(alone, attainable, strict=True) if can], rng)
    samples = np.array([run.samples for run in runs], dtype=np.float64).reshape(len(runs), -1)
    found, row = [], 0
    for (k, r), can in zip(places, attainable, strict=True):
        others = np.delete(samples, row, axis=0) if can else samples
        left = others.max(axis=0).mean() if len(others) else 0.0
        saved = samples.max(axis=0).mean() - left if can else 0.0
        found.append(EntryCost(plan.sigma, k, r, float(samples[row].mean()) if can else None, float(saved)))
        row += can
    return found


def price_effects(population: Population, procedure: Procedure, rng: np.random.Generator) -> list[PriceEffect]:
    """Return the samples and the certified accuracy lost at several prices, against futility.

    Args:
        population: the population behind the pilot.
        procedure: procedure of the run at one noise level; it takes looks.
        rng: random number generator.

    Returns:
        Futility, then increasing prices; nothing if no radius is attainable.
    """
    plan, n_max = procedure.plan, procedure.plan.looks[-1]
    limit = max(r_max(plan, k) for k in procedure.targets)
    procedure = replace(procedure, radii=tuple(r for r in procedure.radii if r <= limit))
    if not procedure.radii:
        return []
    now = plan.price if plan.stop == "worth" else None
    prices = sorted({*(float(n * n_max) for n in PRICES), *([now] if now else [])})
    plans = [replace(plan, stop="futility"), *(replace(plan, stop="worth", price=price) for price in prices)]
    runs = _simulated(population, [replace(procedure, plan=each) for each in plans], rng)
    usual = _shares(runs[0])
    rows = []
    for price, run in zip((None, *prices), runs, strict=True):
        lost = usual - _shares(run)
        chosen = plan.stop != "never" and price == now
        rows.append(
            PriceEffect(plan.sigma, price, float(run.samples.mean()), float(lost.mean()), float(lost.max()), chosen)
        )
    return rows


def _simulated(population: Population, procedures: list[Procedure], rng: np.random.Generator) -> list[Simulated]:
    if not procedures:
        return []
    chosen = rng.choice(len(population.labels), IMAGES, p=population.weights(population.best))
    return simulate_together(population.vectors[chosen], population.labels[chosen], procedures, rng)


def _shares(run: Simulated) -> FloatArray:
    """Return the certified accuracy of each entry."""
    shares: FloatArray = run.certified.mean(axis=0).ravel()
    return shares
