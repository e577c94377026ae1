"""What looks wrong about a classifier's outputs on labelled images, each warning with its remedy.

Among them are input conventions: does another common way to feed the classifier (channel order, value range,
normalisation) make it right far more often than the declared one?
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest

from smoothcert.engine.workload import Workload, clean_forward, clean_logits
from smoothcert.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


LEVEL = 0.001
"""How often chance alone may raise a doubt that rests on a comparison."""
MUCH = 0.15
"""Difference in accuracy that is worth a word."""

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Remedy:
    """What would make a classifier right more often: how often, and the doubt in words."""

    accuracy: float
    words: str


def much_better(new: NDArray[np.bool_], old: NDArray[np.bool_]) -> bool:
    """Whether answers are right more often than others to the same images, by much and not by chance (sign test).

    >>> much_better(np.ones(20, bool), np.zeros(20, bool)), much_better(np.ones(5, bool), np.zeros(5, bool))
    (True, False)
    """
    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    if gained + lost == 0 or float(new.mean()) - float(old.mean()) < MUCH:
        return False
    return float(binomtest(gained, gained + lost, alternative="greater").pvalue) < LEVEL


def of_scores(logits: NDArray[Any]) -> list[str]:
    """Doubts about scores (n, classes) alone: a classifier that does not look at its images."""
    if len(logits) < 2:
        return []
    spread = float(np.ptp(logits, axis=0).max())
    if spread <= 1e-6 * max(1.0, float(np.abs(logits).max())):
        return [
            f"it gives the same scores to all {len(logits)} images: it ignores its input, or all images became one on "
            "the way. Check the factory, the weights, --input-range, --mean and --std."
        ]
    return []


def of_answers(answers: Labels, labels: NDArray[np.int64], names: tuple[str, ...]) -> list[str]:
    """Doubts about answers (n,) beside labels (n,): one class for all, fewer right than by rote."""
    kinds = len(np.unique(labels))
    if kinds > 1 and len(np.unique(answers)) == 1 and len(answers) >= 8:
        return [
            f"it names {names[int(answers[0])]!r} for all {len(answers)} images, whose labels name {kinds} classes: "
            "check the weights, --input-range, --mean and --std."
        ]
    right, rote = float((answers == labels).mean()), float(np.bincount(labels).max() / len(labels))
    if kinds > 1 and right < rote:
        return [
            f"{right:.0%} right without noise, less than always naming the commonest class ({rote:.0%}): check the "
            "order of the labels, the normalisation and the value range."
        ]
    return []


def of_order(answers: Labels, labels: NDArray[np.int64], names: tuple[str, ...]) -> Remedy | None:
    """Whether renaming the answers makes them right: found on one half of the images, tried on the other."""
    find, test = np.array_split(np.random.default_rng(0).permutation(len(labels)), 2)
    table = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(table, (answers[find], labels[find]), 1)
    renamed = linear_sum_assignment(-table)[1]
    told, now = renamed[answers[test]] == labels[test], answers[test] == labels[test]
    if not much_better(told, now):
        return None
    seen = [c for c in np.unique(answers) if renamed[c] != c and table[c, renamed[c]]]
    shown = ", ".join(f"{names[c]!r} means {names[renamed[c]]!r}" for c in seen[:3])
    return Remedy(
        float(told.mean()),
        f"its classes seem to be in another order than the labels' ({now.mean():.0%} right as they are, "
        f"{told.mean():.0%} if {shown}{' and so on' if len(seen) > 3 else ''}): check the order of the labels, and put "
        "the class names, folders or labels into the order the classifier was trained with.",
    )


def of_training(sigma: float, trained: float | None) -> list[str]:
    """Doubts about a noise level that is not the one the classifier's training declares (None: it declares none)."""
    if trained is None or abs(trained - sigma) <= 1e-9:
        return []
    return [f"this classifier was trained with sigma {trained:g}, not {sigma:g}."]


def of_noise(clean: float, noisy: float, sigma: float) -> list[str]:
    """Doubts about a classifier of which hardly any answer is right under noise.

    Args:
        clean: fraction right without noise.
        noisy: fraction right under noise.
        sigma: noise level, in units of the [0, 1] range.
    """
    if noisy >= min(0.5, clean / 1.5):
        return []
    return [
        f"{noisy:.0%} right under noise at sigma {sigma:g} ({clean:.0%} without): this classifier was probably not "
        "trained with this noise. Train or fine-tune it with Gaussian noise, or lower sigma."
    ]


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Convention:
    """One way to feed images: in words, what to do for it, what is subtracted and divided by in the [0, 1] range."""

    words: str
    remedy: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    reversed: bool = False


def better_convention(
    work: Workload, sigma: float, places: NDArray[np.int64], right: NDArray[np.bool_]
) -> Remedy | None:
    """Return a doubt about how a foreign classifier is fed, or None; own networks say themselves how.

    Args:
        work: images and classifiers.
        sigma: one of its noise levels; the images are looked at without noise.
        places: the images to look at, positions in the set.
        right: whether each is classified as labelled the way it is fed now, bool (n,).
    """
    classifier = work.classifiers[sigma]
    if classifier.built_in or right.all():
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


def _ways(work: Workload, sigma: float) -> Iterator[Convention]:
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
