"""The pilot: a few hundred votes per image on the user's classifier and device. None is a vote of a run."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from smoothcert.config.plan import PlanSettings
from smoothcert.engine.measure import measure_rates, meter_of
from smoothcert.engine.run import freeze_spec
from smoothcert.engine.workload import Workload, load_workload
from smoothcert.errors import SpecError
from smoothcert.evidence.run import named_entries, settings_of
from smoothcert.formats.plan import Forecast, LevelForecast, Pilot, Rate
from smoothcert.import_factory import Consent
from smoothcert.noise import Rows, Stage
from smoothcert.planning.forecast import Level, Votes
from smoothcert.planning.population import IntArray
from smoothcert.sampling.sampler import Sampler, keep_freed_memory

ROUNDS, BATCHES_A_ROUND = 5, 4
RATE_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class PilotResult:
    """The result of a pilot.

    Attributes:
        facts: how it was drawn.
        votes: votes by noise level.
        other_rates: rate in every precision that the device supports, the run's own included, at the first sigma.
        energy_source: "NVML" or "RAPL", or why the energy is unknown.
    """

    facts: Pilot
    votes: dict[float, Votes]
    other_rates: tuple[Rate, ...]
    energy_source: str


def draw_pilot(
    work: Workload,
    count: int,
    samples: int,
    rng: np.random.Generator,
    on_progress: Callable[[int], None] = lambda _: None,
) -> PilotResult:
    """Draw the votes of some images at every noise level, with a fresh seed and a noise stage of their own.

    Args:
        work: images and classifiers.
        count: number of images, drawn at random without replacement, because images are often sorted by class.
        samples: votes per image at each noise level.
        rng: random number generator that draws the images.
        on_progress: called with the number of noise samples drawn so far.

    Raises:
        ModelError: the classifier misbehaves under noise.
    """
    keep_freed_memory()
    places = np.sort(rng.choice(len(work.images), count, replace=False))
    seed, began, votes, source = secrets.randbits(64), time.monotonic(), {}, ""
    for i, sigma in enumerate(work.classifiers):
        votes[sigma], source = _level(work, sigma, seed, (places, samples), _after(i * count * samples, on_progress))
    seconds = time.monotonic() - began
    facts = Pilot(
        images=count,
        copies=samples,
        drawn=count * samples * len(votes),
        seconds=round(seconds, 3),
        device=work.recipe.device,
        precision=work.recipe.precision,
        batch=work.recipe.batch_size,
    )
    return PilotResult(facts, votes, _other_rates(work, seed), source)


def _level(
    work: Workload, sigma: float, seed: int, wanted: tuple[IntArray, int], on_progress: Callable[[int], None]
) -> tuple[Votes, str]:
    """Draw one noise level in several timed rounds; return its votes and the source of the energy."""
    places, samples = wanted
    sampler, meter = work.sampler(sigma, seed), meter_of(work.recipe.device)
    _warm_up(sampler, int(work.images.indices[places[0]]))
    rounds = max(1, min(ROUNDS, len(places) * samples // (BATCHES_A_ROUND * sampler.batch_size), len(places)))
    counts, rates, done = [], [], 0
    meter.start()
    for part in np.array_split(places, rounds):
        began, drawn = time.monotonic(), 0
        for group in np.array_split(part, range(sampler.window, len(part), sampler.window)):
            counts.append(_votes(sampler, work.images.indices[group], samples, _after(done, on_progress)))
            done += len(group) * samples
            drawn += -(-len(group) * samples // sampler.batch_size) * sampler.batch_size  # padding takes time too
            meter.poll()
        rates.append(drawn / (time.monotonic() - began))
    joules = meter.stop()
    each = None if joules is None else joules / (len(places) * samples)
    rate = Rate(work.recipe.precision, min(rates), float(np.median(rates)), max(rates), each)
    return Votes(np.concatenate(counts), work.images.labels[places], (rate,)), meter.source


def _after(before: int, on_progress: Callable[[int], None]) -> Callable[[int], None]:
    """Return a callback that adds an offset to the count."""
    return lambda done: on_progress(before + done)


def _warm_up(sampler: Sampler, index: int) -> None:
    """Draw a batch of the test stage, because the first batch also sets up caches and kernels."""
    sampler.load(0, index)
    sampler.draw(Rows.of(0, index, np.arange(sampler.batch_size), Stage.TEST))
    sampler.take(np.zeros(1, dtype=np.int64))


def _votes(sampler: Sampler, indices: IntArray, samples: int, on_progress: Callable[[int], None]) -> IntArray:
    """Draw the votes of at most a window of images, int (images, classes), a few batches at a time."""
    for slot, index in enumerate(indices):
        sampler.load(slot, int(index))
    slots = np.repeat(np.arange(len(indices)), samples)
    rows = Rows.of(slots, indices[slots], np.tile(np.arange(samples), len(indices)), Stage.PLANNING)
    step = BATCHES_A_ROUND * sampler.batch_size
    for start in range(0, len(rows), step):
        sampler.draw(rows.part(start, start + step))
        on_progress(min(start + step, len(rows)))
    return sampler.take(np.arange(len(indices)))


def _other_rates(work: Workload, seed: int) -> tuple[Rate, ...]:
    """Measure the rate in each precision, in alternating rounds."""
    first = next(iter(work.classifiers))
    rounds = [measure_rates(work, first, seed)["rates"] for _ in range(RATE_ROUNDS)]
    found = {name: [each[name] for each in rounds] for name in rounds[0]}
    return tuple(Rate(name, min(each), float(np.median(each)), max(each)) for name, each in found.items())


def loaded(settings: PlanSettings, consent: Consent) -> tuple[Workload, int, tuple[str, ...]]:
    """Load classifiers and images of a plan; return them with the number of pilot images and notes.

    Raises:
        InputError: images or classifiers are invalid, or --classes contradicts them.
    """
    work = load_workload(settings.request(), consent=consent)
    classes, m = work.images.num_classes, settings.images or len(work.images)
    if settings.classes not in (None, classes):
        raise SpecError(
            f"classes: {work.images.reference} has {classes} classes, got {settings.classes}; leave it out.",
            code="E-SPEC-023",
        )
    count = min(settings.pilot, len(work.images), m)
    if count == settings.pilot:
        return work, count, ()
    return work, count, (f"The pilot took all {count:,} images available, fewer than --pilot {settings.pilot:,}.",)


def forecast_run(work: Workload, drawn: PilotResult, levels: dict[float, Level], m: int) -> Forecast:
    """Combine the forecasts of all noise levels with the settings that a run must share."""
    spec = freeze_spec(work)
    own = work.recipe.precision
    others = tuple(rate for rate in drawn.other_rates if rate.precision != own)
    return Forecast(
        settings=settings_of(spec) | {"images": str(m)} | named_entries(spec),
        images=m,
        stopping=work.request.stopping,
        pilot=drawn.facts,
        cells=tuple(entry for level in levels.values() for entry in level.entries),
        levels=tuple(_with_rates(level, others) for level in levels.values()),
    )


def _with_rates(level: Level, others: tuple[Rate, ...]) -> LevelForecast:
    return replace(level.level, rates=(*level.level.rates, *others))
