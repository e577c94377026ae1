"""`plan`: what can be certified, how many samples and images it takes, what a run will show and cost."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Production, Request
from smoothcert.config.plan import PlanSettings
from smoothcert.evidence.forecast import Planned
from smoothcert.evidence.outcomes import TOGETHER, expected, pairwise_probability
from smoothcert.formats.cost import Basis
from smoothcert.formats.plan import RESOLVED, Change, Estimate, Forecast, Outlook, Width
from smoothcert.formats.results import CONFIDENCE
from smoothcert.import_factory import Consent
from smoothcert.planning.forecast import Level, forecast_level
from smoothcert.planning.population import FloatArray, Population
from smoothcert.planning.reach import attainable_radius, powers, procedure_of, sufficient
from smoothcert.stats import Plan, Procedure, interval, lower_bound, population_bound, r_max, schedule, simulate
from smoothcert.stats.sequential import FIRST_LOOK

MOST_IMAGES = 10**7
DELTA = 1 - CONFIDENCE
"""Error probability of a population bound, as in the results of a run."""


def width(share: float, origin: str, m: int, alpha: float, wanted: float) -> Width:
    """Return what a certified accuracy over m images leaves open, and the images a wanted population bound takes.

    Args:
        share: certified accuracy, in [0, 1].
        origin: what it is.
        m: images, >= 1.
        alpha: error probability of one image's certificate.
        wanted: population bound wanted, in (0, 1).
    """
    certified = math.floor(share * m + 1e-9)
    low, high = interval(certified, m, CONFIDENCE)
    bound = population_bound(certified, m, alpha, DELTA)
    return Width(share, origin, m, low, high, bound, wanted, images_needed(share, alpha, wanted))


def images_needed(share: float, alpha: float, wanted: float) -> int | None:
    """Return the images from which on a certified share gives a population bound, whatever larger number is taken.

    With m images floor(share m) are certified, so the bound is a sawtooth in m: it falls where the floor stands still.
    Returned is the least m such that it and every larger number give the bound. It lies between the numbers at which
    share m and share m - 1 would suffice, as real numbers.

    Args:
        share: certified share, in [0, 1].
        alpha: error probability of one image's certificate.
        wanted: population bound, in (0, 1), at confidence 95 %.

    Returns:
        A number of images; None where the share is too low for any number, or more than ten million were needed.

    >>> images_needed(0.675, 0.001, 0.6), images_needed(0.6, 0.001, 0.6)
    (149, None)
    """

    def enough(m: int, certified: float) -> bool:
        return bool(_bound(np.array(m), np.array(max(certified, 0.0)), alpha) >= wanted)

    if (share - alpha) / (1 - alpha) <= wanted:
        return None
    most = bisect_left(range(MOST_IMAGES + 1), True, lo=1, key=lambda m: enough(m, share * m - 1))
    if most > MOST_IMAGES:
        return None
    least = bisect_left(range(most + 1), True, lo=1, key=lambda m: enough(m, share * m))
    between = np.arange(least, most + 1)
    short = _bound(between, np.floor(share * between + 1e-9), alpha) < wanted
    return int(between[np.flatnonzero(short)[-1]]) + 1 if short.any() else int(least)


def _bound(m: NDArray[np.int64], certified: FloatArray, alpha: float) -> FloatArray:
    """`population_bound`, for many numbers of images and real-valued numbers of certified ones."""
    found: FloatArray = (lower_bound(np.minimum(certified, m), m, DELTA) - alpha) / (1 - alpha)
    return found


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
    samples, all_samples = forecast.copies(own), [forecast.copies(level) for level in forecast.levels]
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
    """Return the standard error that an interval of two on either side comes from."""
    return (estimate.high - estimate.low) / 4


def served(behind: Population, production: Production, batch: int) -> tuple[float, float]:
    """Return the share of images on which adaptive prediction abstains, and the mean copies it takes; estimates."""
    ranked: FloatArray = np.sort(behind.vectors, axis=1)[:, ::-1]
    first = min(max(1, batch // TOGETHER), production.votes)
    weights, chances = behind.weights(behind.best), pairwise_probability(ranked[:, 0], ranked[:, 1], 1.0)
    silent, samples = (float(weights @ each) for each in expected(chances, production, first))
    return silent, samples


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


def changes(request: Request, procedure: Procedure, pilot: Level | None, samples: int, seed: int) -> list[Change]:
    """Return what other settings do at one noise level.

    Args:
        request: the settings as they are.
        procedure: the procedure they lead to.
        pilot: forecast of the level, or None without a pilot.
        samples: votes of a pilot image.
        seed: of the simulation; the same for all levels and settings, so that differences show.
    """
    r = request.first_radius
    return [_change(variant, r, pilot, samples, seed) for variant in _variants(request, procedure)]


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


def _change(variant: _Variant, r: float, pilot: Level | None, samples: int, seed: int) -> Change:
    plan, k = variant.procedure.plan, variant.k
    limit = r_max(plan, k)
    certified, mean = (None, None) if pilot is None else _forecast(variant, r, pilot, seed)
    places = product(variant.procedure.targets, variant.procedure.radii)
    told = {place: _told(plan, *place, samples) for place in places}
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


def _told(plan: Plan, k: int, r: float, samples: int) -> bool | None:
    """Whether a pilot of so many votes tells images that are certified from others; None: not attainable."""
    needed = sufficient(plan, k, r)
    return None if r > r_max(plan, k) or needed is None else needed <= 1 - RESOLVED / samples


NO_SHARE = "half of the images"
ASSUMED = "assumed"
MARGINS = (0.02, 0.05, 0.1, 0.2, 0.3)
"""Without a pilot, by how much the certified accuracy is assumed to lie above the wanted population bound."""
WITHOUT_DATA = 400
"""Images of a run where neither data nor --images say how many."""


def plan(
    settings: PlanSettings,
    production: Production | None = None,
    hear: Callable[[int], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    consent: Consent | None = None,
) -> Planned:
    """Plan a run; without classifier and images nothing is drawn, and torch is not needed.

    Args:
        settings: what is asked.
        production: how the classifier is to be used, for the cost; left out, the defaults.
        hear: hears how many noisy copies of the pilot are drawn.
        say: hears what is being done.
        consent: what may be run; None: whatever the settings name, as their maker named it here and now.

    Raises:
        InputError: settings, images or classifiers were refused.
    """
    if not settings.draws:
        return _without_pilot(settings)
    from smoothcert.engine.workload import consent_of
    from smoothcert.planning.pilot import draw_pilot, forecast_run, loaded

    work, count, notes = loaded(settings, consent or consent_of(settings))
    rng = np.random.default_rng()
    drawn = draw_pilot(work, count, settings.pilot_copies, rng, hear)
    say("forecasting the run from the pilot's votes")
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
        outlook=_outlook(settings, procedures, m, levels),
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
        changes(settings, each, levels.get(sigma), settings.pilot_copies, seed) for sigma, each in procedures.items()
    ]
    return Outlook(
        reaches=tuple(reaches),
        powers=tuple(row for rows in found for row in rows),
        widths=tuple(_widths(settings, m, levels)),
        changes=tuple(row for rows in zip(*other, strict=True) for row in rows),
    )


def _widths(settings: PlanSettings, m: int, levels: dict[float, Level]) -> list[Width]:
    """Return a width at one half, and one a cell that is forecast at the first k and radius of each noise level."""
    found = [width(0.5, NO_SHARE, m, settings.alpha, settings.population)]
    if not levels:
        higher = [settings.population + margin for margin in MARGINS if settings.population + margin < 1]
        found += [width(share, ASSUMED, m, settings.alpha, settings.population) for share in higher]
    for level in levels.values():
        for entry in level.cells:
            share = entry.looks if settings.stopping == "looks" else entry.fixed
            if entry.k == settings.first_k and share is not None and share.value is not None:
                place = f"sigma {entry.sigma:g}, k {entry.k}, r {entry.radius:g}"
                found.append(width(share.value, place, m, settings.alpha, settings.population))
    return found
