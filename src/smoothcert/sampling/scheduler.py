"""The scheduler (continuous batching): the pending samples of a window of images, packed into full batches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from smoothcert.noise import Rows
from smoothcert.sampling.protocol import Counts, ImageState, SampleRange

BATCHES_PER_STEP = 16
"""Batches drawn, at most, before votes are read and progress is reported."""


class Votes(Protocol):
    """What the scheduler needs of a sampler."""

    batch_size: int
    window: int

    def load(self, slot: int, index: int) -> None:
        """Load an image into a slot of the window."""

    def draw(self, rows: Rows) -> None:
        """Add the votes of noise samples; the last batch is padded to the fixed shape."""

    def take(self, slots: NDArray[np.int64]) -> Counts:
        """Return the votes of some slots, int (slots, classes), and set them to 0."""


S = TypeVar("S", bound=ImageState)
_S = TypeVar("_S", bound=ImageState, contravariant=True)


class StoppingRule(Protocol[_S]):
    """Decides images from their votes: the protocol of a run, or a prediction rule."""

    def update(self, images: Sequence[_S], counts: Counts) -> None:
        """Add the votes of completed sample ranges, int (images, classes); set what each image needs next."""


class Scheduler(Generic[S]):
    """Samples images until they are decided, as many at a time as the sampler's window holds.

    The noise of a sample follows from its address alone, so neither the order of the images nor their neighbours in a
    batch change a vote. Samples that do not fill a batch wait for the next step; a batch is padded only if nothing can
    fill it.
    """

    def __init__(self, sampler: Votes, rule: StoppingRule[S]) -> None:
        """Start with an empty window.

        Args:
            sampler: draws noise samples and counts votes.
            rule: decides images.
        """
        self._sampler, self._rule = sampler, rule
        self._free = [*range(sampler.window)]
        self._active: list[S] = []

    @property
    def free(self) -> int:
        """Images that can be added now."""
        return len(self._free)

    @property
    def idle(self) -> bool:
        """Whether every image that was added is decided."""
        return not self._active

    def add(self, image: S) -> None:
        """Load an image that needs samples into a free slot."""
        image.slot = self._free.pop()
        self._sampler.load(image.slot, image.index)
        self._active.append(image)

    def step(self) -> list[S]:
        """Draw up to 16 batches, decide images from their votes, and return those that are decided (possibly none)."""
        _draw(self._active, self._sampler)
        complete = [image for image in self._active if image.need is not None and image.drawn == len(image.need)]
        votes = self._sampler.take(np.array([image.slot for image in complete], dtype=np.int64))
        self._rule.update(complete, votes)
        decided = [image for image in complete if image.need is None]
        self._free += [image.slot for image in decided]
        self._active = [image for image in self._active if image.need is not None]
        return decided

    def run(self, images: Iterable[S]) -> Iterator[list[S]]:
        """Sample all of some images; yield, after each step, those that it decided (possibly none)."""
        waiting = iter(images)
        while True:
            for image in islice(waiting, self.free):
                self.add(image)
            if self.idle:
                return
            yield self.step()


def _draw(active: Sequence[ImageState], sampler: Votes) -> None:
    """Draw a whole number of batches, or one that is padded, and share the time among the images."""
    began = time.monotonic()
    shares = _share(active, sampler.batch_size)
    sampler.draw(_rows(active, shares))
    seconds = (time.monotonic() - began) / sum(shares)
    for image, share in zip(active, shares, strict=True):
        image.drawn += share
        image.seconds += seconds * share


def _share(active: Sequence[ImageState], batch_size: int) -> list[int]:
    """Return how many samples of each image are drawn in this step; the images that were added first come first."""
    missing = np.array([len(image.need) - image.drawn for image in active if image.need is not None])
    budget = min(int(missing.sum()), BATCHES_PER_STEP * batch_size)
    if budget > batch_size:
        budget -= budget % batch_size
    before = np.concatenate([[0], np.cumsum(missing)[:-1]])
    shares: list[int] = np.clip(budget - before, 0, missing).tolist()
    return shares


def _rows(active: Sequence[ImageState], shares: Sequence[int]) -> Rows:
    """Return the addresses of the samples of a step."""
    drawn = [
        (image, image.need, share)
        for image, share in zip(active, shares, strict=True)
        if share and image.need is not None
    ]
    return Rows(
        slot=np.concatenate([np.full(share, image.slot, dtype=np.int64) for image, _, share in drawn]),
        image=np.concatenate([np.full(share, image.index, dtype=np.uint64) for image, _, share in drawn]),
        sample=np.concatenate([_samples(image, need, share) for image, need, share in drawn]),
        stage=np.concatenate([np.full(share, need.stage, dtype=np.uint64) for _, need, share in drawn]),
    )


def _samples(image: ImageState, need: SampleRange, share: int) -> NDArray[np.uint64]:
    first = need.start + image.drawn
    return np.arange(first, first + share, dtype=np.uint64)
