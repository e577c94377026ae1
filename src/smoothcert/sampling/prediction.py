"""What an image needs next on its way to a prediction: look after look, until the test decides or the last is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from smoothcert.noise import Stage
from smoothcert.sampling.protocol import Counts, Need, Sampled
from smoothcert.stats import Prediction, levels, predict_counts


@dataclass(frozen=True)
class PredictionRule:
    """When an image is predicted: fixed before the first vote is drawn.

    Attributes:
        looks: sample numbers at which the votes are tested, from `prediction_looks`.
        alpha: probability of a wrong answer, in (0, 1).
        k: number of classes in an answer.
    """

    looks: tuple[int, ...]
    alpha: float
    k: int = 1

    @cached_property
    def levels(self) -> tuple[float, ...]:
        """Error level of each look."""
        return levels(self.looks, self.alpha)

    def after(self, taken: int) -> Need | None:
        """Return the copies that lead from look number `taken` to the next, or None after the last."""
        if taken == len(self.looks):
            return None
        return Need(Stage.PREDICTION, self.looks[taken - 1] if taken else 0, self.looks[taken])


@dataclass
class PredictionVotes(Sampled):
    """One image on its way to a prediction.

    Attributes:
        taken: looks taken so far.
        counts: votes of all copies so far, int (classes,).
        found: what the last look taken says; its answer is None where the test left it open.
    """

    taken: int = 0
    counts: Counts | None = None
    found: Prediction | None = None

    @property
    def answer(self) -> Prediction:
        """What the last look taken says, once one was taken."""
        if self.found is None:
            raise ValueError("no look was taken yet")
        return self.found

    @property
    def votes(self) -> Counts:
        """Votes of all samples, once a look was taken: int (classes,)."""
        if self.counts is None:
            raise ValueError("no look was taken yet")
        return self.counts


def begin(rule: PredictionRule, index: int) -> PredictionVotes:
    """Return a fresh image."""
    return PredictionVotes(index, rule.after(0))


def settle(rule: PredictionRule, images: Sequence[PredictionVotes], counts: Counts) -> None:
    """Take the votes of finished needs, test them, and set what each image needs next.

    Args:
        rule: looks, alpha and k.
        images: images whose need is fully drawn.
        counts: votes of that need, int (images, classes).
    """
    if not images:
        return
    so_far = counts + np.stack([np.zeros_like(counts[0]) if i.counts is None else i.counts for i in images])
    level = np.array([rule.levels[image.taken] for image in images])
    for image, votes, found in zip(images, so_far, predict_counts(so_far, rule.k, level), strict=True):
        image.taken, image.counts, image.found = image.taken + 1, votes, found
        image.need = rule.after(image.taken) if found.answer is None else None
        image.drawn = 0
