"""The scheduler (continuous batching): a window of images, whose pending samples are packed into full batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from smoothcert.noise import Rows
from smoothcert.sampling.protocol import Counts, ImageState, SampleRange

BATCHES_A_WAVE = 16
"""The host looks at votes and reports progress at most once in so many batches."""


class Votes(Protocol):
    """What waves need of a sampler."""

    batch_size: int
    window: int

    def load(self, slot: int, index: int) -> None:
        """Put an image into a slot of the window."""

    def draw(self, rows: Rows) -> None:
        """Add the votes of noisy copies; the last batch is padded to the fixed shape."""

    def take(self, slots: NDArray[np.int64]) -> Counts:
        """Return and clear the votes of some slots, int (slots, classes)."""


S = TypeVar("S", bound=ImageState)


def continuous_batching(
    images: Iterable[S], sampler: Votes, settle: Callable[[Sequence[S], Counts], None]
) -> Iterator[list[S]]:
    """Sample every image until it is decided.

    A copy's noise follows from its address alone, so neither the order of the images nor their neighbours change a
    vote. Copies that do not fill a batch wait for the next wave; only a batch that nothing can fill is padded.

    Args:
        images: fresh images, from `begin` of the protocol or of a prediction.
        sampler: draws noisy copies and counts votes.
        settle: takes images whose need is fully drawn (possibly none) and the votes of that need, int (images,
            classes), and sets what each needs next: None where it is decided.

    Returns:
        After each wave, the images it decided (possibly none).
    """
    waiting, window = iter(images), [*range(sampler.window)]
    active: list[S] = []
    while True:
        for image in islice(waiting, len(window)):
            image.slot = window.pop()
            sampler.load(image.slot, image.index)
            active.append(image)
        if not active:
            return
        _draw(active, sampler)
        settled = [image for image in active if image.need and image.drawn == image.need.stop - image.need.start]
        settle(settled, sampler.take(np.array([image.slot for image in settled], dtype=np.int64)))
        done = [image for image in settled if image.need is None]
        window += [image.slot for image in done]
        active = [image for image in active if image.need is not None]
        yield done


def _draw(active: Sequence[ImageState], sampler: Votes) -> None:
    """Draw one wave, a whole number of batches if there is at least one, and share the time among its images."""
    began = time.monotonic()
    shares = _share(active, sampler.batch_size)
    sampler.draw(_rows(active, shares))
    seconds = (time.monotonic() - began) / sum(shares)
    for image, share in zip(active, shares, strict=True):
        image.drawn += share
        image.seconds += seconds * share


def _share(active: Sequence[ImageState], batch_size: int) -> list[int]:
    """Return how many copies each image gets in this wave, the longest waiting first."""
    missing = np.array([image.need.stop - image.need.start - image.drawn for image in active if image.need])
    budget = min(int(missing.sum()), BATCHES_A_WAVE * batch_size)
    if budget > batch_size:
        budget -= budget % batch_size
    before = np.concatenate([[0], np.cumsum(missing)[:-1]])
    shares: list[int] = np.clip(budget - before, 0, missing).tolist()
    return shares


def _rows(active: Sequence[ImageState], shares: Sequence[int]) -> Rows:
    """Return the addresses of a wave's copies."""
    drawn = [(image, image.need, share) for image, share in zip(active, shares, strict=True) if share and image.need]
    return Rows(
        slot=np.concatenate([np.full(share, image.slot, dtype=np.int64) for image, _, share in drawn]),
        image=np.concatenate([np.full(share, image.index, dtype=np.uint64) for image, _, share in drawn]),
        sample=np.concatenate([_samples(image, need, share) for image, need, share in drawn]),
        stage=np.concatenate([np.full(share, need.stage, dtype=np.uint64) for _, need, share in drawn]),
    )


def _samples(image: ImageState, need: SampleRange, share: int) -> NDArray[np.uint64]:
    first = need.start + image.drawn
    return np.arange(first, first + share, dtype=np.uint64)
