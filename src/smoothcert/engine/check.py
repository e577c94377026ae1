"""The long check of classifiers and images before a run: accuracy, determinism, precision, speed. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothcert.engine.measure import samples_per_second
from smoothcert.engine.preflight import Preflight, preflight, spread
from smoothcert.engine.warnings import collapses
from smoothcert.engine.workload import Workload
from smoothcert.errors import ModelError
from smoothcert.noise import Rows, Stage
from smoothcert.sampling.sampler import Sampler, self_test
from smoothcert.training.estimate import TrainingTime, training_time

IMAGES = 256
"""Images that are classified without noise."""
COMPARED = 512
"""Noise samples that are classified in both precisions, at least."""
BATCHES = (16, 32, 64, 128, 256, 512, 1024, 2048)
MOST_VALUES = 2048 * 32 * 32 * 3
"""Values of the largest batch that is tried."""
SECONDS, MOST = 0.4, 100
"""Time and batches for measuring one batch size, whichever is reached first."""
SEED = 0
"""Seed of the noise. No vote of a run is drawn from these stages, whatever its seed."""


@dataclass(frozen=True)
class Agreement:
    """How often two precisions give different classes for the same noise samples.

    Attributes:
        precisions: that of the run, and the other.
        samples: noise samples compared.
        differing: samples for which the classes differ.
        rates: samples per second in each.
    """

    precisions: tuple[str, str]
    samples: int
    differing: int
    rates: tuple[float, float]


@dataclass(frozen=True)
class Check:
    """Result of a check.

    Attributes:
        looks: one preflight per noise level.
        bit_equal: noise level -> whether the scores of a sample are bit-equal at every place in the batch.
        agreement: agreement of two precisions, or why there is only one.
        batches: (batch size, samples per second), measured at the first noise level.
        training: how long a remedy takes, if the classifier collapses under noise; else None.
    """

    looks: tuple[Preflight, ...]
    bit_equal: dict[float, bool]
    agreement: Agreement | str
    batches: tuple[tuple[int, float], ...]
    training: TrainingTime | None = None

    @property
    def best_batch(self) -> int:
        """The batch size with the most samples per second."""
        return max(self.batches, key=lambda each: each[1])[0]


def check(work: Workload, on_stage: Callable[[str], None] = lambda _: None) -> Check:
    """Check the classifiers and images of a request.

    Args:
        work: images and classifiers, loaded and checked against each other.
        on_stage: called with what is checked next.

    Raises:
        ModelError: the output of a classifier is unusable, not finite, or depends on other images of the batch.
    """
    looks, equal = [], {}
    for sigma in work.classifiers:
        on_stage(f"sigma {sigma:g}: {min(IMAGES, len(work.images))} images with and without noise")
        looks.append(preflight(work, sigma, SEED, IMAGES))
        equal[sigma] = self_test(work.sampler(sigma, SEED), int(work.images.indices[0])).bit_equal
    first = next(iter(work.classifiers))
    on_stage("precisions")
    agreement = compare_precisions(work, first)
    on_stage("batch sizes")
    batches = tuple(_batch_rates(work, first))
    collapsed = [look.sigma for look in looks if collapses(look.clean.accuracy, look.noisy_accuracy)]
    training = None
    if collapsed and work.classifiers[first].denoiser is None:
        on_stage("training speed")
        training = training_time(work.images, work.classifiers[collapsed[-1]], collapsed[-1])
    return Check(tuple(looks), equal, agreement, batches, training)


def noisy_images(work: Workload, places: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return images as stored, and one noise sample of each at every noise level: (n, C, H, W) in the [0, 1] range.

    Args:
        work: images and classifiers.
        places: positions of the images in the set.
    """
    pixels = np.stack([work.images.pixels(i) for i in places]) / work.images.levels
    found, step = {"as stored": pixels}, 1 / work.images.levels if work.request.noise == "grid" else 1.0
    for sigma in work.classifiers:
        rows = Rows.of(np.arange(len(places)), work.images.indices[places], 0, Stage.TEST)
        found[f"σ = {sigma:g}"] = pixels + step * work.noise(sigma, SEED).steps(rows, work.images.shape)
    return found


def compare_precisions(work: Workload, sigma: float) -> Agreement | str:
    """Classify the same noise samples in float32 and bfloat16; return why, if only one of them runs here."""
    precision = work.recipe.precision
    other = "bf16" if precision == "fp32" else "fp32"
    try:
        samplers = [work.sampler(sigma, SEED, work.recipe_as(sigma, precision=each)) for each in (precision, other)]
        (mine, theirs), rates = zip(*(_classes(work, each) for each in samplers), strict=True)
    except (ModelError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return Agreement((precision, other), len(mine), int((mine != theirs).sum()), rates)


def _classes(work: Workload, sampler: Sampler) -> tuple[NDArray[np.int64], float]:
    """Return the classes of noise samples of images spread over the set, and samples per second."""
    indices = work.images.indices[spread(len(work.images), sampler.window)]
    for slot, index in enumerate(indices):
        sampler.load(slot, int(index))
    slots = np.arange(sampler.batch_size) % len(indices)
    found, seconds = [], []
    for batch in range(max(2, -(-COMPARED // sampler.batch_size))):
        began = time.monotonic()
        samples = np.full(sampler.batch_size, batch, dtype=np.int64) * sampler.batch_size + np.arange(
            sampler.batch_size
        )
        logits = sampler.logits(Rows.of(slots, indices[slots], samples, Stage.TEST))
        found.append(logits.argmax(dim=1).cpu().numpy())
        seconds.append(time.monotonic() - began)
    return np.concatenate(found), sampler.batch_size * (len(seconds) - 1) / sum(seconds[1:])


def _batch_rates(work: Workload, sigma: float) -> Iterator[tuple[int, float]]:
    values = int(np.prod(work.images.shape))
    sizes = {size for size in BATCHES if size * values <= MOST_VALUES} | {work.recipe.batch_size}
    for size in sorted(sizes):
        sampler = work.sampler(sigma, SEED, work.recipe_as(sigma, batch_size=size))
        yield size, samples_per_second(sampler, int(work.images.indices[0]), SECONDS, MOST)
