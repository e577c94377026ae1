"""Other ways to feed a classifier: does one that is often meant make it right far more often than what was said?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from smoothcert.engine.doubts import Remedy, much_better
from smoothcert.engine.work import Work, clean_forward, clean_logits
from smoothcert.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Convention:
    """One way to feed images: in words, what to do for it, what is subtracted and divided by in the [0, 1] range."""

    words: str
    remedy: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    reversed: bool = False


def better_convention(work: Work, sigma: float, places: NDArray[np.int64], right: NDArray[np.bool_]) -> Remedy | None:
    """Return a doubt about how a foreign classifier is fed, or None; own networks say themselves how.

    Args:
        work: images and classifiers.
        sigma: one of its noise levels; the images are looked at without noise.
        places: the images to look at, positions in the set.
        right: whether each is classified as labelled the way it is fed now, bool (n,).
    """
    classifier = work.classifiers[sigma]
    if classifier.own or right.all():
        return None
    forward, found = clean_forward(work, sigma), []
    for way in _ways(work, sigma):
        fed = replace(work, classifiers={sigma: replace(classifier, mean=way.mean, std=way.std)})
        try:
            logits = clean_logits(fed, sigma, places, _reversed(forward) if way.reversed else forward)
        except ModelError:
            continue
        found.append((logits.argmax(axis=1) == work.images.labels[places], way))
    if not found:
        return None
    best, way = max(found, key=lambda each: int(each[0].sum()))
    if not much_better(best, right):
        return None
    return Remedy(
        float(best.mean()),
        f"it is right on {right.mean():.0%} of {len(places)} images as they are fed now, and on {best.mean():.0%} with "
        f"{way.words}: if that is how it was trained, {way.remedy}.",
    )


def _ways(work: Work, sigma: float) -> Iterator[Convention]:
    classifier, channels = work.classifiers[sigma], work.images.shape[0]
    mean, std = classifier.mean or (0.0,) * channels, classifier.std or (1.0,) * channels
    if classifier.mean:
        yield Convention("plain values from 0 to 1", "leave out what states or declares mean and std", (), ())
    for top in {255, work.images.levels}:
        asked = f"add --input-range 0,{top}"
        yield Convention(f"values from 0 to {top}", asked, (0.0,) * channels, (1 / top,) * channels)
    yield Convention("values from -1 to 1", "add --input-range=-1,1", (0.5,) * channels, (0.5,) * channels)
    if channels == 3:
        words = "the mean and standard deviation of ImageNet"
        yield Convention(words, "add --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225", *IMAGENET)
        yield Convention("blue before red", "add --channels BGR", mean[::-1], std[::-1], reversed=True)


def _reversed(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda batch: forward(batch.flip(1))
