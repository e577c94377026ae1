"""How well a classifier tells classes apart without noise: accuracy, balanced accuracy, area under the ROC curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import mannwhitneyu


@dataclass(frozen=True)
class Quality:
    """A classifier's answers on labelled images without noise.

    Attributes:
        images: images looked at.
        accuracy: fraction classified as labelled.
        balanced: mean over the classes that occur of the fraction of each that is classified as labelled.
        auc: area under the ROC curve of each class against the rest by its probability, mean over the classes that
            occur; None where only one class occurs.
    """

    images: int
    accuracy: float
    balanced: float
    auc: float | None


def quality(logits: NDArray[Any], labels: NDArray[np.int64]) -> Quality:
    """Return the quality of scores.

    Args:
        logits: float (n, classes); probabilities do as well.
        labels: int (n,), in 0..classes-1.

    >>> quality(np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 1, 1]))
    Quality(images=3, accuracy=0.6666666666666666, balanced=0.75, auc=1.0)
    """
    right = logits.argmax(axis=1) == labels
    present = np.unique(labels)
    recalls = [right[labels == c].mean() for c in present]
    probabilities = softmax(logits.astype(np.float64), axis=1)
    areas = [_area(probabilities[:, c], labels == c) for c in present] if len(present) > 1 else []
    return Quality(
        images=len(labels),
        accuracy=float(right.mean()),
        balanced=float(np.mean(recalls)),
        auc=float(np.mean(areas)) if areas else None,
    )


def _area(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """The share of (positive, negative) pairs in the right order, ties counting half (Mann and Whitney 1947)."""
    up, down = scores[positive], scores[~positive]
    return float(mannwhitneyu(up, down, method="asymptotic").statistic / (len(up) * len(down)))
