"""`plan`: what can be certified, how many samples and images it needs, and what a run will show and cost."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from smoothcert.config import Production, Request
from smoothcert.config.plan import PlanSettings
from smoothcert.evidence.outcomes import TOGETHER, expected, pairwise_probability, planned
from smoothcert.evidence.run import Planned
from smoothcert.formats.cost import Basis
from smoothcert.formats.plan import RESOLVED, Change, Estimate, Forecast, Outlook, Width
from smoothcert.formats.results import CONFIDENCE
from smoothcert.import_factory import Consent
from smoothcert.planning.attainable import attainable_radius, powers, procedure_of, sufficient
from smoothcert.planning.costs import entry_costs, price_effects
from smoothcert.planning.forecast import Level, forecast_level
from smoothcert.planning.population import FloatArray, Population
from smoothcert.stats import Plan, Procedure, interval, lower_bound, population_bound, r_max, simulate
from smoothcert.stats.rounding import full
from smoothcert.stats.sequential import FIRST_LOOK

MOST_IMAGES = 10**7
DELTA = 1 - CONFIDENCE
"""Error probability of a population bound, as in the results of a run."""


def width(share: float, origin: str, m: int, alpha: float, target: float) -> Width:
    """Return the interval of a certified accuracy over m images, and the images that a target population bound needs.

    Args:
        share: certified accuracy, in [0, 1].
        origin: where the share comes from, as text.
        m: images, >= 1.
        alpha: error probability of one certificate.
        target: population bound to reach, in (0, 1).
    """
    certified = math.floor(share * m + 1e-9)
    low, high = interval(certified, m, CONFIDENCE)
    bound = population_bound(certified, m, alpha, DELTA)
    chances = [images_for_chance(share, alpha, target, chance) for chance in (0.8, 0.95)]
    return Width(share, origin, m, low, high, bound, target, images_needed(share, alpha, target), *chances)


def images_for_chance(share: float, alpha: float, target: float, chance: float) -> int | None:
    """Return the number of images from which on a run reaches a population bound with some probability.

    With m images, the number of certified ones is binomial with probability `share`. The probability to reach the bound
    is a sawtooth in m; the result is the least m such that m and the numbers after it reach it, as far as
    its teeth go.

    Args:
        share: probability that an image is certified, in [0, 1].
        alpha: error probability of one certificate.
        target: population bound to reach, in (0, 1), at 95 % confidence.
        chance: probability of reaching it, in (0, 1).

    Returns:
        A number of images; None if the share is too low for any number, or if more than 10^7 would be needed.

    >>> images_for_chance(0.675, 0.001, 0.6, 0.8), images_for_chance(0.6, 0.001, 0.6, 0.8)
    (281, None)
    """
    if (share - alpha) / (1 - alpha) <= target:
        return None
    first = bisect_left(
        range(MOST_IMAGES + 1), True, lo=1, key=lambda m: bool(_chances([m], share, alpha, target) >= chance)
    )
    if first > MOST_IMAGES:
        return None
    teeth = min(_MOST_TEETH, 50 + int(4 / ((share - alpha) / (1 - alpha) - target)))
    after = np.arange(max(1, first - teeth), first + teeth)
    short = _chances(after, share, alpha, target) < chance
    return int(after[np.flatnonzero(short)[-1]]) + 1 if short.any() else int(after[0])


_MOST_TEETH = 20_000
"""Maximum number of images before and after the result of a bisection at which a sawtooth is searched."""


def _chances(images: ArrayLike, share: float, alpha: float, target: float) -> FloatArray:
    """Return the probability that runs over m images reach a population bound, (numbers of images,)."""
    m = np.asarray(images, dtype=np.int64)
    low, high = (
        np.zeros_like(m),
        m + 1,
    )  # the least number of certified images that suffices lies above low, at most high
    while np.any(high - low > 1):
        middle = (low + high) // 2
        enough = _bound(m, middle.astype(float), alpha) >= target
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    found: FloatArray = np.where(high > m, 0.0, betainc(np.minimum(high, m), m - np.minimum(high, m) + 1, share))
    return found


def images_needed(share: float, alpha: float, target: float) -> int | None:
    """Return the number of images from which on a certified share reaches a population bound.

    Of m images floor(share m) are certified, so the bound is a sawtooth in m: it decreases while the floor is constant.
    The result is the least m such that m and every larger number reach the bound. It is between the real numbers at
    which share m and share m - 1 certified images would suffice.

    Args:
        share: certified share, in [0, 1].
        alpha: error probability of one certificate.
        target: population bound to reach, in (0, 1), at 95 % confidence.

    Returns:
        A number of images; None if the share is too low for any number, or if more than 10^7 would be needed.

    >>> images_needed(0.675, 0.001, 0.6), images_needed(0.6, 0.001, 0.6)
    (149, None)
    """

    def enough(m: int, certified: float) -> bool:
        return bool(_bound(np.array(m), np.array(max(certified, 0.0)), alpha) >= target)

    if (share - alpha) / (1 - alpha) <= target:
        return None
    most = bisect_left(range(MOST_IMAGES + 1), True, lo=1, key=lambda m: enough(m, share * m - 1))
    if most > MOST_IMAGES:
        return None
    least = bisect_left(range(most + 1), True, lo=1, key=lambda m: enough(m, share * m))
    between = np.arange(least, most + 1)
    short = _bound(between, np.floor(share * between + 1e-9), alpha) < target
    return int(between[np.flatnonzero(short)[-1]]) + 1 if short.any() else int(least)


def _bound(m: NDArray[np.int64], certified: FloatArray, alpha: float) -> FloatArray:
    """Return `population_bound` for arrays, with real-valued numbers of certified images."""
    found: FloatArray = (lower_bound(np.minimum(certified, m), m, DELTA) - alpha) / (1 - alpha)
    return found


def basis(
    request: Request, forecast: Forecast, levels: dict[float, Level], energy_source: str, production: Production
) -> Basis:
    """Return the basis of cost scenarios at the primary noise level, or the first.

    Args:
        request: settings of the run.
        forecast: forecast of all noise levels.
        levels: forecasts with their populations, by noise level.
        energy_source: "NVML" or "RAPL", or why the energy is unknown.
        production: maximum samples and alpha of a prediction.
    """
    sigma = float(request.primary.sigma if request.primary else request.sigma[0])
    own = next(level for level in forecast.levels if level.sigma == sigma)
    seconds = [forecast.seconds(level).value or 0.0 for level in forecast.levels]
    samples, all_samples = forecast.copies(own), [forecast.copies(level) for level in forecast.levels]
    silent, drawn = served(levels[sigma].population, production, forecast.pilot.batch)
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
        copies=samples.value or 0.0,
        images=forecast.images * len(forecast.levels),
        passes=round(sum(forecast.images * (each.value or 0.0) for each in all_samples)),
        seconds=sum(seconds),
        abstention=silent,
        prediction_copies=drawn,
        origin="pilot",
        copies_error=_error(samples),
        copies_most=request.max_samples,
        passes_error=sum(forecast.images * _error(each) for each in all_samples),
        batch=forecast.pilot.batch,
    )


def _error(estimate: Estimate) -> float:
    """Return the standard error behind an interval of two standard errors on either side."""
    return (estimate.high - estimate.low) / 4


def served(population: Population, production: Production, batch: int) -> tuple[float, float]:
    """Estimate the share of images on which adaptive prediction abstains, and its mean number of samples."""
    ranked: FloatArray = np.sort(population.vectors, axis=1)[:, ::-1]
    first = min(max(1, batch // TOGETHER), production.votes)
    weights, chances = population.weights(population.best), pairwise_probability(ranked[:, 0], ranked[:, 1], 1.0)
    silent, samples = (float(weights @ each) for each in expected(chances, production, first))
    return silent, samples


ALPHAS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
BUDGETS = (1_000, 10_000, 100_000, 1_000_000)
DRAWN = 400
"""Number of images drawn from the population for these forecasts, the same for every setting."""


@dataclass(frozen=True)
class _Variant:
    setting: str
    value: str
    procedure: Procedure
    k: int
    now: bool


def changes(request: Request, procedure: Procedure, pilot: Level | None, samples: int, seed: int) -> list[Change]:
    """Return the effect of other settings at one noise level.

    Args:
        request: the present settings.
        procedure: their procedure.
        pilot: forecast of the level; None without a pilot.
        samples: votes per pilot image.
        seed: seed of the simulation, the same for all levels and settings (common random numbers).
    """
    r = request.first_radius
    return [_change(variant, r, pilot, samples, seed) for variant in _variants(request, procedure)]


def _variants(request: Request, procedure: Procedure) -> Iterator[_Variant]:
    plan, k = procedure.plan, request.first_k

    def changed(**settings: Any) -> Procedure:
        other = planned(request.model_copy(update=settings), plan.classes, plan.sigma, plan.eta)
        return replace(procedure, plan=other)

    for alpha in sorted({*ALPHAS, request.alpha}, reverse=True):
        yield _Variant("alpha", full(alpha), changed(alpha=alpha), k, alpha == request.alpha)
    for n_max in sorted({*BUDGETS, request.n_max}):
        yield _Variant("n_max", f"{n_max:,}", changed(n_max=n_max), k, n_max == request.n_max)
    for other in request.k:
        alone = replace(procedure, targets={other: request.target_of(other)})
        yield _Variant("k", str(other), alone, other, other == k)
    if request.n_max >= FIRST_LOOK:
        for stopping in ("looks", "fixed"):
            other_rule = replace(procedure, plan=plan.with_stopping(stopping))
            yield _Variant("stopping", stopping, other_rule, k, stopping == request.stopping)


def _change(variant: _Variant, r: float, pilot: Level | None, samples: int, seed: int) -> Change:
    plan, k = variant.procedure.plan, variant.k
    limit = r_max(plan, k)
    certified, mean = (None, None) if pilot is None else _forecast(variant, r, pilot, seed)
    places = product(variant.procedure.targets, variant.procedure.radii)
    resolved = {place: _resolved(plan, *place, samples) for place in places}
    return Change(
        setting=variant.setting,
        value=variant.value,
        sigma=plan.sigma,
        r_max=limit,
        radius=r,
        certified=certified if resolved[k, r] else None,
        copies=mean,
        now=variant.now,
        told=False not in resolved.values(),
    )


def _forecast(variant: _Variant, r: float, pilot: Level, seed: int) -> tuple[float, float]:
    """Return the certified accuracy at one entry and the mean samples over images drawn from the population."""
    rng, population = np.random.default_rng(seed), pilot.population
    chosen = rng.choice(len(population.labels), DRAWN, p=population.weights(population.best))
    procedure = variant.procedure
    done = simulate(population.vectors[chosen], population.labels[chosen], procedure, rng)
    place = list(procedure.targets).index(variant.k), procedure.radii.index(r)
    return float(done.certified[:, place[0], place[1]].mean()), float(done.samples.mean())


def _resolved(plan: Plan, k: int, r: float, samples: int) -> bool | None:
    """Whether a pilot of `samples` votes per image resolves certified images from others; None if not attainable."""
    needed = sufficient(plan, k, r)
    return None if r > r_max(plan, k) or needed is None else needed <= 1 - RESOLVED / samples


NO_SHARE = "half of the images"
ASSUMED = "assumed"
MARGINS = (0.02, 0.05, 0.1, 0.2, 0.3)
"""Without a pilot: assumed differences between the certified accuracy and the target population bound."""
WITHOUT_DATA = 400
"""Number of images of a run without --data and --images."""


def plan(
    settings: PlanSettings,
    production: Production | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    on_message: Callable[[str], None] = lambda _: None,
    consent: Consent | None = None,
) -> Planned:
    """Plan a run; without classifier and images nothing is drawn, and torch is not needed.

    Args:
        settings: settings of the plan.
        production: how the classifier will be used, for the cost (default: `Production()`).
        on_progress: called with the number of noise samples of the pilot drawn so far.
        on_message: called with a text at the start of a new step.
        consent: code that may be run (default: whatever the settings name).

    Raises:
        InputError: settings, images or classifiers are invalid.
    """
    if not settings.draws:
        return _without_pilot(settings)
    from smoothcert.engine.workload import consent_of
    from smoothcert.planning.pilot import draw_pilot, forecast_run, loaded

    work, count, notes = loaded(settings, consent or consent_of(settings))
    rng = np.random.default_rng()
    drawn = draw_pilot(work, count, settings.pilot_samples, rng, on_progress)
    on_message("forecasting the run from the pilot's votes")
    m = settings.images or len(work.images)
    procedures = {
        sigma: procedure_of(
            settings, sigma, work.images.num_classes, work.noise(sigma, 0).eta(_values(work.images.shape))
        )
        for sigma in work.classifiers
    }
    levels = {sigma: forecast_level(drawn.votes[sigma], each, m, rng) for sigma, each in procedures.items()}
    forecast = forecast_run(work, drawn, levels, m)
    return Planned(
        settings=settings,
        classes=work.images.num_classes,
        images=m,
        outlook=_with_costs(_outlook(settings, procedures, m, levels), procedures, levels, rng),
        forecast=forecast,
        basis=basis(settings, forecast, levels, drawn.energy_source, production or Production()),
        notes=notes,
    )


def _values(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]


def _without_pilot(settings: PlanSettings) -> Planned:
    classes, m = settings.classes or 2, settings.images or WITHOUT_DATA
    procedures = {float(sigma): procedure_of(settings, sigma, classes) for sigma in settings.sigma}
    return Planned(settings, classes, m, _outlook(settings, procedures, m, {}))


def _outlook(settings: PlanSettings, procedures: dict[float, Procedure], m: int, levels: dict[float, Level]) -> Outlook:
    rng, seed = np.random.default_rng(), int(np.random.default_rng().integers(2**32))
    entries = [(sigma, k, r) for sigma in procedures for k in settings.k for r in settings.radius]
    reaches = [attainable_radius(procedures[sigma], k, r) for sigma, k, r in entries]
    found = [powers(procedures[each.sigma], each.k, each.radius, rng) for each in reaches if each.k == settings.first_k]
    other = [
        changes(settings, each, levels.get(sigma), settings.pilot_samples, seed) for sigma, each in procedures.items()
    ]
    return Outlook(
        reaches=tuple(reaches),
        powers=tuple(row for rows in found for row in rows),
        widths=tuple(_widths(settings, m, levels)),
        changes=tuple(row for rows in zip(*other, strict=True) for row in rows),
    )


def _with_costs(
    outlook: Outlook, procedures: dict[float, Procedure], levels: dict[float, Level], rng: np.random.Generator
) -> Outlook:
    """Add what each entry costs, and what prices change where the run takes looks."""
    pairs = [(levels[sigma].population, each) for sigma, each in procedures.items()]
    priced = [(population, each) for population, each in pairs if len(each.plan.looks) > 1]
    return replace(
        outlook,
        entries=tuple(row for pair in pairs for row in entry_costs(*pair, rng)),
        prices=tuple(row for pair in priced for row in price_effects(*pair, rng)),
    )


def _widths(settings: PlanSettings, m: int, levels: dict[float, Level]) -> list[Width]:
    """Return the interval at a share of one half, and one per forecast entry at the first k of each noise level."""
    found = [width(0.5, NO_SHARE, m, settings.alpha, settings.population)]
    if not levels:
        higher = [settings.population + margin for margin in MARGINS if settings.population + margin < 1]
        found += [width(share, ASSUMED, m, settings.alpha, settings.population) for share in higher]
    for level in levels.values():
        for entry in level.entries:
            share = entry.looks if settings.stopping == "looks" else entry.fixed
            if entry.k == settings.first_k and share is not None and share.value is not None:
                place = f"sigma {full(entry.sigma)}, k {entry.k}, r {full(entry.radius)}"
                found.append(width(share.value, place, m, settings.alpha, settings.population))
    return found
