"""Warnings about the outputs of a classifier on labelled images, each with its remedy.

The input-convention check tries other channel orders, value ranges and normalisations, and warns if one of them has a
much higher accuracy than the declared one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest

from smoothcert.engine.measure import clean_forward, clean_logits
from smoothcert.engine.workload import Workload
from smoothcert.errors import ModelError
from smoothcert.models.ensemble import other_levels

if TYPE_CHECKING:
    from torch import Tensor

    from smoothcert.models import Classifier, Denoiser


LEVEL = 0.001
"""Probability of a false warning that is based on a comparison."""
MUCH = 0.15
"""Smallest difference in accuracy that is warned about."""

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Remedy:
    """A change that would raise the accuracy: the accuracy then, and the warning in words."""

    accuracy: float
    words: str


def much_better(new: NDArray[np.bool_], old: NDArray[np.bool_]) -> bool:
    """Return whether predictions are right much more often than others of the same images (sign test).

    >>> much_better(np.ones(20, bool), np.zeros(20, bool)), much_better(np.ones(5, bool), np.zeros(5, bool))
    (True, False)
    """
    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    if gained + lost == 0 or float(new.mean()) - float(old.mean()) < MUCH:
        return False
    return float(binomtest(gained, gained + lost, alternative="greater").pvalue) < LEVEL


def of_scores(logits: NDArray[Any]) -> list[str]:
    """Warn about scores (n, classes) that are the same for all images."""
    if len(logits) < 2:
        return []
    spread = float(np.ptp(logits, axis=0).max())
    if spread <= 1e-6 * max(1.0, float(np.abs(logits).max())):
        return [
            f"the same scores for all {len(logits)} images: the classifier ignores its input, or preprocessing makes "
            "all images equal. Check the factory, the weights, --input-range, --mean and --std."
        ]
    return []


def of_predictions(predicted: Labels, labels: Labels, names: tuple[str, ...]) -> list[str]:
    """Warn about predictions (n,) that are one class for all images, or worse than always the commonest class."""
    kinds = len(np.unique(labels))
    if kinds > 1 and len(np.unique(predicted)) == 1 and len(predicted) >= 8:
        return [
            f"it predicts {names[int(predicted[0])]!r} for all {len(predicted)} images, which have labels of {kinds} "
            "classes: check the weights, --input-range, --mean and --std."
        ]
    right, commonest = float((predicted == labels).mean()), float(np.bincount(labels).max() / len(labels))
    if kinds > 1 and right < commonest:
        return [
            f"clean accuracy {right:.0%}, less than that of always predicting the commonest class ({commonest:.0%}): "
            "check the order of the labels, the normalisation and the value range."
        ]
    return []


def of_order(predicted: Labels, labels: Labels, names: tuple[str, ...]) -> Remedy | None:
    """Return a warning if reordering the classes raises the accuracy: found on half of the images, tested on the rest.

    Args:
        predicted: classes, int (n,).
        labels: reference labels, int (n,).
        names: class names.
    """
    find, test = np.array_split(np.random.default_rng(0).permutation(len(labels)), 2)
    table = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(table, (predicted[find], labels[find]), 1)
    renamed = linear_sum_assignment(-table)[1]
    then, now = renamed[predicted[test]] == labels[test], predicted[test] == labels[test]
    if not much_better(then, now):
        return None
    seen = [c for c in np.unique(predicted) if renamed[c] != c and table[c, renamed[c]]]
    shown = ", ".join(f"{names[c]!r} means {names[renamed[c]]!r}" for c in seen[:3])
    return Remedy(
        float(then.mean()),
        f"its classes seem to be in another order than the labels (clean accuracy {now.mean():.0%}, "
        f"{then.mean():.0%} if {shown}{' and so on' if len(seen) > 3 else ''}): put the class names, folders or labels "
        "into the order that the classifier was trained with.",
    )


def of_training(sigma: float, trained: float | None) -> list[str]:
    """Warn about a noise level other than the one the classifier declares for its training (None: none declared)."""
    if trained is None or abs(trained - sigma) <= 1e-9:
        return []
    return [f"this classifier was trained with sigma {trained:g}, not {sigma:g}."]


def of_self_test(sigma: str, size: str = "") -> str:
    """Return the warning about scores of a noise sample that differ in another batch.

    Args:
        sigma: the noise level, or several, as text.
        size: by how much they differ, in brackets.
    """
    return (
        f"sigma {sigma}: the scores of a noise sample depend{size} on its place in the batch, on the other rows, or on "
        "chance. The classifier can be certified, but the documents will say that computer arithmetic is not covered. "
        "Try another --batch-size, --precision or --device."
    )


def collapses(clean: float, noisy: float) -> bool:
    """Return whether accuracy with noise is so far below clean accuracy that little can be certified."""
    return noisy < min(0.5, clean / 1.5)


def of_noise(clean: float, noisy: float, sigma: float) -> list[str]:
    """Warn about a low accuracy with noise.

    Args:
        clean: clean accuracy.
        noisy: accuracy with noise.
        sigma: noise level, in units of the [0, 1] range.
    """
    if not collapses(clean, noisy):
        return []
    return [
        f"accuracy {noisy:.0%} with noise at sigma {sigma:g} ({clean:.0%} clean): this classifier was probably not "
        "trained with this noise. If its weights may change, train it further with noise (smoothcert train --from); if "
        "not, put a denoiser before it (smoothcert train-denoiser --for)."
    ]


@dataclass(frozen=True)
class Denoising:
    """What a denoiser does to some images with one noise sample each.

    Attributes:
        alone: accuracy of the classifier alone, without denoiser and noise.
        before: peak signal-to-noise ratio of the noisy images, in dB.
        after: that of the denoised images, in float32.
        residual: that of what the denoiser removes, which is high if it returns the noise instead of the image.
        better: another value range, and the ratio after denoising with it, if that is much higher.
    """

    alone: float
    before: float
    after: float
    residual: float
    better: tuple[tuple[float, float], float] | None = None


BETTER = 3.0
"""Decibels by which another value range must be better to be mentioned."""


def of_partners(sigma: float, classifier: Classifier) -> list[str]:
    """Warn about a classifier without the denoiser behind which it was trained, and denoisers for another noise level.

    Args:
        sigma: noise level, in units of the [0, 1] range.
        classifier: the classifier, or the pipeline of denoiser and classifier.
    """
    inner, denoiser = classifier.behind or classifier, classifier.denoiser
    inside = other_levels(inner.module, sigma)
    texts = [inside] if inside else []
    if inner.trained_behind is not None:
        name, sha256 = inner.trained_behind
        if denoiser is None:
            texts.append(f"this classifier was trained behind the denoiser {name}; certify it with --denoiser {name}.")
        elif denoiser.sha256 != sha256:
            texts.append(
                f"this classifier was trained behind the denoiser {name} ({sha256[:19]}...), not {denoiser.reference} "
                f"({denoiser.sha256[:19]}...)."
            )
    return texts


def of_denoising(sigma: float, noisy: float, denoiser: Denoiser, found: Denoising) -> list[str]:
    """Warn about a denoiser.

    Args:
        sigma: noise level, in units of the [0, 1] range.
        noisy: accuracy of the pipeline of denoiser and classifier with noise.
        denoiser: the denoiser.
        found: what it does to the images.
    """
    low, high = denoiser.sigma_low or denoiser.sigma, denoiser.sigma
    texts = []
    if low is not None and high is not None and not low - 1e-9 <= sigma <= high + 1e-9:
        levels = f"{high:g}" if low == high else f"{low:g} to {high:g}"
        texts.append(f"this denoiser was trained with sigma {levels}, not {sigma:g}.")
    change = f"PSNR {found.before:.1f} dB before, {found.after:.1f} dB after"
    if found.after < found.before < found.residual:
        texts.append(
            f"the denoiser makes the noisy images worse ({change}): what it removes is closer to the image than what "
            "it returns; return x minus the noise."
        )
    elif found.better is not None:
        (bottom, top), after = found.better
        texts.append(
            f"{change} the denoiser, but {after:.1f} dB if it gets images from {bottom:g} to {top:g}: if it was made "
            f"for them, add --denoiser-range={bottom:g},{top:g}, or correct what it declares."
        )
    elif found.after < found.before:
        texts.append(
            f"the denoiser makes the noisy images worse ({change}): check its weights, its value range "
            "(--denoiser-range) and the noise level it takes."
        )
    elif collapses(found.alone, noisy):
        texts.append(
            f"accuracy {noisy:.0%} with noise at sigma {sigma:g} behind the denoiser, {found.alone:.0%} clean without "
            "it: train the denoiser longer and for this classifier (smoothcert train-denoiser --for), or lower sigma."
        )
    return texts


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Convention:
    """An input convention: in words, its flags, its mean and standard deviation in the [0, 1] range."""

    words: str
    remedy: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    reversed: bool = False


def better_convention(
    work: Workload, sigma: float, places: NDArray[np.int64], right: NDArray[np.bool_]
) -> Remedy | None:
    """Return a warning about the input convention of a custom classifier, or None; built-in networks declare theirs.

    Args:
        work: images and classifiers.
        sigma: one of its noise levels; the images are classified without noise.
        places: positions of the images in the set.
        right: whether each is classified as labelled now, bool (n,).
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
        f"clean accuracy {right.mean():.0%} on {len(places)} images, and {best.mean():.0%} with {way.words}: if the "
        f"classifier was trained that way, {way.remedy}.",
    )


def _ways(work: Workload, sigma: float) -> Iterator[Convention]:
    classifier, channels = work.classifiers[sigma], work.images.shape[0]
    mean, std = classifier.mean or (0.0,) * channels, classifier.std or (1.0,) * channels
    if classifier.mean:
        yield Convention("values from 0 to 1 without normalisation", "remove the declared mean and std", (), ())
    for top in {255, work.images.levels}:
        remedy = f"add --input-range 0,{top}"
        yield Convention(f"values from 0 to {top}", remedy, (0.0,) * channels, (1 / top,) * channels)
    yield Convention("values from -1 to 1", "add --input-range=-1,1", (0.5,) * channels, (0.5,) * channels)
    if channels == 3:
        words = "the mean and standard deviation of ImageNet"
        yield Convention(words, "add --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225", *IMAGENET)
        yield Convention("blue before red", "add --channels BGR", mean[::-1], std[::-1], reversed=True)


def _reversed(forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda batch: forward(batch.flip(1))
