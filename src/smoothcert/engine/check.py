"""Will it work? A long look at classifier and images before anything is certified; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothcert.engine.measure import samples_per_second
from smoothcert.engine.preflight import Preflight, preflight, spread
from smoothcert.engine.workload import Workload
from smoothcert.errors import ModelError
from smoothcert.noise import Rows, Stage
from smoothcert.sampling.sampler import Sampler, self_test

IMAGES = 256
"""Images looked at without noise."""
COMPARED = 512
"""Noisy copies classified in both precisions, at least."""
BATCHES = (16, 32, 64, 128, 256, 512, 1024, 2048)
MOST_VALUES = 2048 * 32 * 32 * 3
"""Values of a batch, beyond which no larger one is tried."""
SECONDS, MOST = 0.4, 100
"""Time and batches that a batch size is measured over, whichever is reached first."""
SEED = 0
"""Seed of the noise that is looked at; no vote of a run has it unless it is asked for, and none is of these stages."""


@dataclass(frozen=True)
class Agreement:
    """How often two precisions name different classes for the same noisy copies.

    Attributes:
        precisions: the one asked for, and the other.
        copies: noisy copies compared.
        differing: copies for which they name different classes.
        rates: noisy copies a second in each.
    """

    precisions: tuple[str, str]
    copies: int
    differing: int
    rates: tuple[float, float]


@dataclass(frozen=True)
class Check:
    """What a long look shows.

    Attributes:
        looks: one a noise level.
        bit_equal: noise level -> whether a copy's scores are the same to the bit wherever it stands in the batch.
        agreement: of precisions; or why there is none, in words.
        batches: (batch size, noisy copies a second), measured at the first noise level.
        seconds: noise level -> time for every image to take all its copies, at the batch size that was asked for.
    """

    looks: tuple[Preflight, ...]
    bit_equal: dict[float, bool]
    agreement: Agreement | str
    batches: tuple[tuple[int, float], ...]

    @property
    def best_batch(self) -> int:
        """The batch size with the most noisy copies a second."""
        return max(self.batches, key=lambda each: each[1])[0]


def check(work: Workload, hear: Callable[[str], None] = lambda _: None) -> Check:
    """Look at classifiers and images of a request.

    Args:
        work: images and classifiers, loaded and checked against each other.
        hear: told what is looked at next.

    Raises:
        ModelError: a classifier's output is unusable, not finite or not determined by each image alone.
    """
    looks, equal = [], {}
    for sigma in work.classifiers:
        hear(f"sigma {sigma:g}: {min(IMAGES, len(work.images))} images with and without noise")
        looks.append(preflight(work, sigma, SEED, IMAGES))
        equal[sigma] = self_test(work.sampler(sigma, SEED), int(work.images.indices[0])).bit_equal
    first = next(iter(work.classifiers))
    hear("precision")
    agreement = compare_precisions(work, first)
    hear("batch size")
    return Check(tuple(looks), equal, agreement, tuple(_batch_rates(work, first)))


def noisy_accuracy(work: Workload, places: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return images as stored and one noisy copy of each at every noise level, (n, C, H, W) in the [0, 1] range.

    Args:
        work: images and classifiers.
        places: which images, positions in the set.
    """
    pixels = np.stack([work.images.pixels(i) for i in places]) / work.images.levels
    found, step = {"as stored": pixels}, 1 / work.images.levels if work.request.noise == "grid" else 1.0
    for sigma in work.classifiers:
        rows = Rows.of(np.arange(len(places)), work.images.indices[places], 0, Stage.TEST)
        found[f"σ = {sigma:g}"] = pixels + step * work.noise(sigma, SEED).steps(rows, work.images.shape)
    return found


def compare_precisions(work: Workload, sigma: float) -> Agreement | str:
    """Classify the same noisy copies in float32 and bfloat16; or say why only one of them runs."""
    asked = work.recipe.precision
    other = "bf16" if asked == "fp32" else "fp32"
    try:
        samplers = [work.sampler(sigma, SEED, work.recipe_as(sigma, precision=each)) for each in (asked, other)]
        (mine, theirs), rates = zip(*(_answers(work, each) for each in samplers), strict=True)
    except (ModelError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return Agreement((asked, other), len(mine), int((mine != theirs).sum()), rates)


def _answers(work: Workload, sampler: Sampler) -> tuple[NDArray[np.int64], float]:
    """The classes named for noisy copies of images spread over the set, and copies a second after the first batch."""
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
