"""Which samples an image needs next, as a pure function of its votes: for a certificate, and for a prediction.

Certification selects a class, then takes looks until every entry is decided. Prediction takes looks until its test
decides, or until the last look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Spec
from smoothcert.noise import Stage
from smoothcert.stats import Plan, Prediction, Procedure, predict_counts
from smoothcert.stats.sequential import alpha_spending

Counts = NDArray[np.int64]
"""Votes by class: integers of shape (..., classes)."""


@dataclass(frozen=True)
class SampleRange:
    """Noise samples [start, stop) of one stage."""

    stage: Stage
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass
class ImageState:
    """One image while it is sampled: which samples it needs next, and how many of them are drawn.

    Attributes:
        index: the image's index in its source; it addresses the noise.
        need: the samples needed next, or None once the image is decided.
        drawn: how many of them are drawn; 0 again with each new need.
        slot: its slot in the sampler's window.
        seconds: its share of the sampling time so far.
    """

    index: int
    need: SampleRange | None
    drawn: int = 0
    slot: int = -1
    seconds: float = 0.0


@dataclass
class ImageVotes(ImageState):
    """One image on its way to a certificate: its votes so far.

    Attributes:
        label: reference label, or None for an unlabelled image.
        winner: the class with the most votes in the selection stage.
        looks: (n, counts) of each look taken, cumulative.
        open_ks: the k whose entries are not all decided, with the state of the rule of each.
    """

    label: int | None = None
    winner: int | None = None
    selection: Counts | None = None
    looks: list[tuple[int, Counts]] = field(default_factory=list)
    open_ks: dict[int, Any] = field(default_factory=dict)

    @property
    def subject(self) -> int:
        """The class that is certified."""
        subject = self.label if self.label is not None else self.winner
        if subject is None:
            raise ValueError("an unlabelled image has no class to certify before selection")
        return subject

    @property
    def samples(self) -> int:
        """Samples drawn in stages that are complete."""
        selected = 0 if self.selection is None else int(self.selection.sum())
        return selected + (self.looks[-1][0] if self.looks else 0)


@dataclass(frozen=True)
class Protocol(Procedure):
    """When an image is decided. The class certified is the reference label, or without one the selection winner."""

    def init_state(self, index: int, label: int | None) -> ImageVotes:
        """Return an image without votes."""
        return ImageVotes(index, self.first(), label=label, open_ks={k: self.rule(k).start(1) for k in self.targets})

    def first(self) -> SampleRange:
        """Return the samples that an image needs first: selection, if a certificate is about the prediction."""
        if self.selects:
            return SampleRange(Stage.SELECTION, 0, self.n0)
        return SampleRange(Stage.ESTIMATION, 0, self.plan.looks[0])

    def after(self, taken: int) -> SampleRange | None:
        """Return the samples that lead from look number `taken` to the next, or None after the last look."""
        if taken == len(self.plan.looks):
            return None
        start = self.plan.looks[taken - 1] if taken else 0
        return SampleRange(Stage.ESTIMATION, start, self.plan.looks[taken])

    def update(self, images: Sequence[ImageVotes], counts: Counts) -> None:
        """Add the votes of completed sample ranges and set what each image needs next.

        Args:
            images: images all of whose needed samples are drawn.
            counts: votes of those samples, int (images, classes).
        """
        looking = []
        for image, votes in zip(images, counts, strict=True):
            if image.need is not None and image.need.stage is Stage.SELECTION:
                self._select(image, votes)
            else:
                before = image.looks[-1][1] if image.looks else 0
                image.looks.append((self.plan.looks[len(image.looks)], votes + before))
                looking.append(image)
        for k in self.targets:
            self._look([image for image in looking if k in image.open_ks], k)
        for image in images:
            image.need = self.after(len(image.looks)) if image.open_ks else None
            image.drawn = 0

    def _select(self, image: ImageVotes, votes: Counts) -> None:
        image.selection = votes
        image.winner = int(votes.argmax())
        if image.label is not None and image.winner != image.label:
            for k, target in self.targets.items():
                if target == "prediction":
                    del image.open_ks[k]

    def _look(self, images: Sequence[ImageVotes], k: int) -> None:
        """Take a look at the votes of some images, and close k for those that are decided."""
        if not images:
            return
        after = np.stack([image.looks[-1][1] for image in images])
        before = np.stack([i.looks[-2][1] if len(i.looks) > 1 else np.zeros_like(i.looks[-1][1]) for i in images])
        rule, labels = self.rule(k), np.array([image.subject for image in images])
        now, draw_on = rule.step(rule.join([image.open_ks[k] for image in images]), before, after, labels)
        for i, image in enumerate(images):
            if draw_on[i]:
                image.open_ks[k] = rule.rows(now, slice(i, i + 1))
            else:
                del image.open_ks[k]


def protocol_of(spec: Spec, plan: Plan) -> Protocol:
    """Return the protocol of a run at the plan of one of its noise levels."""
    request = spec.request
    return Protocol(plan, request.targets, request.radius, request.n0)


@dataclass
class PredictionVotes(ImageState):
    """One image on its way to a prediction.

    Attributes:
        taken: looks taken so far.
        counts: votes of all samples so far, int (classes,).
        found: result of the last look; its answer is None if the test did not decide.
    """

    taken: int = 0
    counts: Counts | None = None
    found: Prediction | None = None

    @property
    def answer(self) -> Prediction:
        """The result of the last look, once one was taken."""
        if self.found is None:
            raise ValueError("no look was taken yet")
        return self.found

    @property
    def votes(self) -> Counts:
        """Votes of all samples, once a look was taken: int (classes,)."""
        if self.counts is None:
            raise ValueError("no look was taken yet")
        return self.counts


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
    def spent_alpha(self) -> tuple[float, ...]:
        """Spent alpha of each look."""
        return alpha_spending(self.looks, self.alpha)

    def init_state(self, index: int) -> PredictionVotes:
        """Return an image without votes."""
        return PredictionVotes(index, self.after(0))

    def after(self, taken: int) -> SampleRange | None:
        """Return the samples that lead from look number `taken` to the next, or None after the last look."""
        if taken == len(self.looks):
            return None
        return SampleRange(Stage.PREDICTION, self.looks[taken - 1] if taken else 0, self.looks[taken])

    def update(self, images: Sequence[PredictionVotes], counts: Counts) -> None:
        """Add the votes of completed sample ranges, test them, and set what each image needs next.

        Args:
            images: images all of whose needed samples are drawn.
            counts: votes of those samples, int (images, classes).
        """
        if not images:
            return
        so_far = counts + np.stack([np.zeros_like(counts[0]) if i.counts is None else i.counts for i in images])
        level = np.array([self.spent_alpha[image.taken] for image in images])
        for image, votes, found in zip(images, so_far, predict_counts(so_far, self.k, level), strict=True):
            image.taken, image.counts, image.found = image.taken + 1, votes, found
            image.need = self.after(image.taken) if found.answer is None else None
            image.drawn = 0
