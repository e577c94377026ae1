"""What a pilot says about cost: the basis that scenarios are extrapolated from, before a run has measured anything."""

from __future__ import annotations

import numpy as np

from smoothcert.evidence import Basis
from smoothcert.evidence.estimate import TOGETHER, duel, expected
from smoothcert.evidence.forecast import Estimate, Forecast
from smoothcert.planning.forecast import Level
from smoothcert.planning.population import Population
from smoothcert.planning.shares import FloatArray
from smoothcert.spec import Production, Request


def basis(
    request: Request, forecast: Forecast, levels: dict[float, Level], energy_source: str, production: Production
) -> Basis:
    """Return the basis of cost scenarios at the primary noise level, or the first.

    Args:
        request: what a run would be asked.
        forecast: the forecast of all noise levels.
        levels: the populations behind it.
        energy_source: where the energy is from, or why it is unknown.
        production: votes and alpha of a prediction.
    """
    sigma = float(request.primary.sigma if request.primary else request.sigma[0])
    own = next(level for level in forecast.levels if level.sigma == sigma)
    seconds = [forecast.seconds(level).value or 0.0 for level in forecast.levels]
    copies, all_copies = forecast.copies(own), [forecast.copies(level) for level in forecast.levels]
    silent, drawn = served(levels[sigma].behind, production, forecast.pilot.batch)
    rate = own.rates[0]
    return Basis(
        sigma=sigma,
        device=forecast.pilot.device,
        precision=forecast.pilot.precision,
        rate=rate.median,
        rate_low=rate.low,
        rate_high=rate.high,
        joules=rate.joules,
        energy_source=energy_source,
        copies=copies.value or 0.0,
        images=forecast.images * len(forecast.levels),
        passes=round(sum(forecast.images * (each.value or 0.0) for each in all_copies)),
        seconds=sum(seconds),
        abstention=silent,
        prediction_copies=drawn,
        origin="pilot",
        copies_error=_error(copies),
        copies_most=request.most_copies,
        passes_error=sum(forecast.images * _error(each) for each in all_copies),
        batch=forecast.pilot.batch,
    )


def _error(estimate: Estimate) -> float:
    """Return the standard error that an interval of two on either side comes from."""
    return (estimate.high - estimate.low) / 4


def served(behind: Population, production: Production, batch: int) -> tuple[float, float]:
    """Return the share of images on which adaptive prediction abstains, and the mean copies it takes; estimates."""
    ranked: FloatArray = np.sort(behind.vectors, axis=1)[:, ::-1]
    first = min(max(1, batch // TOGETHER), production.votes)
    weights, chances = behind.weights(behind.best), duel(ranked[:, 0], ranked[:, 1], 1.0)
    silent, copies = (float(weights @ each) for each in expected(chances, production, first))
    return silent, copies
