"""The cost of a run, from its ledger: noise samples, time, energy, and savings of early stopping.

Also the basis of cost scenarios: the measured rate with its spread, energy, samples and abstention.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from smoothcert.config import Production
from smoothcert.evidence.events import ENERGY, Event
from smoothcert.evidence.line_store import columns_of
from smoothcert.evidence.outcomes import TOGETHER, mean, padded, prediction_estimate
from smoothcert.evidence.run import Run
from smoothcert.formats.cost import CERTIFY, CERTIFY_MOST, PREDICT, PREDICT_MOST, Basis
from smoothcert.formats.line import Line
from smoothcert.stats import prediction_looks
from smoothcert.stats.rounding import format_down


@dataclass(frozen=True)
class Cost:
    """The cost of one noise level, or of all.

    Attributes:
        sigma: noise level; None for the whole run.
        images: images decided.
        passes: noise samples classified, selection included, of images with a ledger line.
        fixed_passes: noise samples that fixed sampling (n0 + n_max per image) takes for the same images.
        seconds: device time recorded in the ledger.
    """

    sigma: float | None
    images: int
    passes: int
    fixed_passes: int
    seconds: float

    @property
    def times_fewer(self) -> str:
        """How many times fewer noise samples than fixed sampling, as printed."""
        return times_fewer(self.fixed_passes, self.passes)

    @property
    def rate(self) -> float:
        """Noise samples per second; 0 if no time was recorded."""
        return self.passes / self.seconds if self.seconds > 0 else 0.0


def times_fewer(fixed: int, drawn: int) -> str:
    """Format how many times fewer noise samples were drawn than by fixed sampling: one decimal, rounded down.

    >>> times_fewer(1_201_200_000, 159_079_231), times_fewer(0, 0)
    ('7.5', '1.0')
    """
    return f"{float(format_down(Fraction(fixed, drawn) if drawn else 1.0, 1)):,.1f}"


def costs(run: Run) -> list[Cost]:
    """Return the cost of each noise level of a run, and that of all together as the last item."""
    each = [_cost(run, sigma) for sigma in run.spec.request.sigma]
    total = Cost(
        None,
        sum(one.images for one in each),
        sum(one.passes for one in each),
        sum(one.fixed_passes for one in each),
        sum(one.seconds for one in each),
    )
    return [*each, total]


def _cost(run: Run, sigma: float) -> Cost:
    level = columns_of(run.ledger.at(sigma))
    fixed = len(level) * run.spec.request.max_samples
    return Cost(float(sigma), len(level), int(level.samples.sum()), fixed, level.total_seconds())


PARTS = 10
"""Consecutive parts of a noise level whose rates give the spread."""
NOT_METERED = "not recorded in this run"


@dataclass(frozen=True)
class Energy:
    """Energy of the metered noise samples.

    Attributes:
        joules: total; None if nothing was metered.
        samples: noise samples whose energy was metered.
        source: "NVML" or "RAPL", or why it is unknown.
    """

    joules: float | None
    samples: int
    source: str

    @property
    def each(self) -> float | None:
        """Joules per noise sample."""
        return self.joules / self.samples if self.joules is not None and self.samples else None


def basis_of(run: Run, production: Production) -> Basis:
    """Return what scenarios are extrapolated from: a pure function of ledger, events and settings.

    Args:
        run: the run, complete or partial, with at least one decided image.
        production: maximum samples and alpha of a prediction.
    """
    request, recipe = run.spec.request, run.spec.recipe
    primary = [request.primary.sigma] if request.primary else []
    sigma = next((float(s) for s in (*primary, *request.sigma) if run.ledger.at(s)), float(request.sigma[0]))
    lines, total = run.ledger.at(sigma), costs(run)[-1]
    rate = rate_of(lines)
    energy, whole = energy_of(run.events, sigma), energy_of(run.events)
    samples_mean, error = mean(columns_of(lines).samples)
    shared = max(1, recipe.batch_size // TOGETHER)
    chances = run.pairwise_probabilities(sigma)
    silent, drawn = prediction_estimate(chances, production, min(shared, production.votes)) if lines else (None, None)
    samples = [columns_of(run.ledger.at(s)).samples for s in request.sigma]
    levels = [mean(each)[1] * len(each) for each in samples]
    return Basis(
        sigma=sigma,
        device=recipe.device,
        precision=recipe.precision,
        rate=rate[0],
        rate_low=rate[1],
        rate_high=rate[2],
        joules=energy.each or whole.each,
        energy_source=whole.source,
        copies=samples_mean,
        images=run.expected,
        passes=total.passes,
        seconds=total.seconds,
        abstention=silent and silent[0],
        prediction_copies=drawn and drawn[0],
        origin="run",
        copies_error=error,
        copies_most=request.max_samples,
        passes_error=float(sum(levels)),
        abstention_error=silent[1] if silent else 0.0,
        prediction_error=drawn[1] if drawn else 0.0,
        done=len(run.ledger.lines) / run.expected,
        joules_run=whole.joules,
        metered=whole.samples,
        batch=recipe.batch_size,
        alone=_alone(run, sigma, production) if lines else {},
    )


def _alone(run: Run, sigma: float, production: Production) -> dict[str, float]:
    """Return the samples that a single study waits for, by task: each look is padded to whole batches."""
    size, spec, lines = run.spec.recipe.batch_size, run.spec, run.ledger.at(sigma)
    first = sum(lines[0].selection.values()) if lines[0].selection else 0
    steps = (first, *(first + n for n in spec.looks))
    samples = np.array([padded(steps[: 1 + taken], size) for taken in range(len(steps))])
    certified = samples[np.minimum(columns_of(lines).looks, len(spec.looks))]
    looks = prediction_looks(production.votes, production.alpha, min(size, production.votes))
    share = padded(looks, size) / production.votes
    drawn = prediction_estimate(run.pairwise_probabilities(sigma), production, min(size, production.votes))[1][0]
    return {
        PREDICT: drawn * share,
        PREDICT_MOST: float(padded(looks, size)),
        CERTIFY: float(np.mean(certified)),
        CERTIFY_MOST: float(padded(steps, size)),
    }


def rate_of(lines: Sequence[Line]) -> tuple[float, float, float] | tuple[None, None, None]:
    """Return the noise samples per second of some lines, and the lowest and highest rate of ten consecutive parts.

    Three times None if no time or no sample was recorded.
    """
    columns = columns_of(lines)
    seconds, samples = columns.total_seconds(), int(columns.samples.sum())
    if seconds <= 0 or samples == 0:
        return None, None, None
    rate = samples / seconds
    order = columns.time_order()
    bounds = np.linspace(0, len(order), min(PARTS, len(order)) + 1).astype(int)
    parts = [columns.of(order[a:b]) for a, b in pairwise(bounds)]
    timed = [(int(part.samples.sum()), part.total_seconds()) for part in parts]
    rates = [rate, *(drawn / taken for drawn, taken in timed if taken > 0 and drawn > 0)]
    return rate, min(rates), max(rates)


def energy_of(events: Iterable[Event], sigma: float | None = None) -> Energy:
    """Sum the energy that a run recorded, at one noise level or at all."""
    found = [event.facts for event in events if event.event == ENERGY and sigma in (None, event.facts.get("sigma"))]
    metered = [facts for facts in found if facts.get("joules") is not None]
    if not metered:
        return Energy(None, 0, str(found[-1]["source"]) if found else NOT_METERED)
    sources = dict.fromkeys(str(facts["source"]) for facts in metered)
    joules, samples = (sum(facts[name] for facts in metered) for name in ("joules", "copies"))
    return Energy(float(joules), int(samples), ", ".join(sources))
