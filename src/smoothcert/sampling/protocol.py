"""What an image needs next, as a pure function of its votes: select a class, then look until every cell is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smoothcert.noise import Stage
from smoothcert.spec import Spec, Target
from smoothcert.stats import Bounds, Plan, bounds, tally, undecided

Counts = NDArray[np.int64]
"""Votes by class: integers of shape (..., classes)."""


@dataclass(frozen=True)
class Need:
    """Noisy copies [start, stop) of one stage."""

    stage: Stage
    start: int
    stop: int


@dataclass(frozen=True)
class Protocol:
    """When an image is decided. The class certified is the reference label, or without one the selection winner.

    Attributes:
        plan: looks, alpha, bound, classes, sigma and total-variation term.
        targets: for each k, whether a top-k certificate is about the prediction or the reference label.
        radii: the radii to decide, in units of the [0, 1] range.
        n0: selection copies.
    """

    plan: Plan
    targets: dict[int, Target]
    radii: tuple[float, ...]
    n0: int

    def first(self) -> Need:
        """Return what a fresh image needs: selection copies where a certificate is about the prediction."""
        if "prediction" in self.targets.values():
            return Need(Stage.SELECTION, 0, self.n0)
        return Need(Stage.ESTIMATION, 0, self.plan.looks[0])

    def after(self, taken: int) -> Need | None:
        """Return the copies that lead from look number `taken` to the next, or None after the last."""
        if taken == len(self.plan.looks):
            return None
        start = self.plan.looks[taken - 1] if taken else 0
        return Need(Stage.ESTIMATION, start, self.plan.looks[taken])


def protocol_of(spec: Spec, plan: Plan) -> Protocol:
    """Return the protocol of a run at the plan of one of its noise levels."""
    request = spec.request
    return Protocol(plan, {k: request.target_of(k) for k in request.k}, request.radius, request.n0)


@dataclass
class ImageVotes:
    """One image on its way: the votes so far, and what it needs next (None: decided).

    Attributes:
        index: the image's index in its source; it addresses the noise.
        label: reference label, or None for an unlabelled image.
        need: the copies wanted next; `drawn` of them have been drawn.
        winner: the class most selection copies voted for.
        looks: (n, counts) of each look taken, cumulative.
        open_ks: the k whose cells are not all decided, with the running bounds of each.
    """

    index: int
    label: int | None
    need: Need | None
    drawn: int = 0
    slot: int = -1
    seconds: float = 0.0
    winner: int | None = None
    selection: Counts | None = None
    looks: list[tuple[int, Counts]] = field(default_factory=list)
    open_ks: dict[int, Bounds | None] = field(default_factory=dict)

    @property
    def subject(self) -> int:
        """The class that is certified."""
        subject = self.label if self.label is not None else self.winner
        if subject is None:
            raise ValueError("an unlabelled image has no class to certify before selection")
        return subject

    @property
    def samples(self) -> int:
        """Copies drawn in stages that are complete."""
        selected = 0 if self.selection is None else int(self.selection.sum())
        return selected + (self.looks[-1][0] if self.looks else 0)


def begin(protocol: Protocol, index: int, label: int | None) -> ImageVotes:
    """Return a fresh image."""
    image = ImageVotes(index, label, protocol.first())
    image.open_ks = dict.fromkeys(protocol.targets)
    return image


def settle(protocol: Protocol, images: Sequence[ImageVotes], counts: Counts) -> None:
    """Take the votes of finished needs and set what each image needs next.

    Args:
        protocol: when an image is decided.
        images: images whose need is fully drawn.
        counts: votes of that need, int (images, classes).
    """
    looking = []
    for image, votes in zip(images, counts, strict=True):
        if image.need is not None and image.need.stage is Stage.SELECTION:
            _select(protocol, image, votes)
        else:
            before = image.looks[-1][1] if image.looks else 0
            image.looks.append((protocol.plan.looks[len(image.looks)], votes + before))
            looking.append(image)
    for k in protocol.targets:
        _look(protocol, [image for image in looking if k in image.open_ks], k)
    for image in images:
        image.need = protocol.after(len(image.looks)) if image.open_ks else None
        image.drawn = 0


def _select(protocol: Protocol, image: ImageVotes, votes: Counts) -> None:
    image.selection = votes
    image.winner = int(votes.argmax())
    if image.label is not None and image.winner != image.label:
        for k, target in protocol.targets.items():
            if target == "prediction":
                del image.open_ks[k]


def _look(protocol: Protocol, images: Sequence[ImageVotes], k: int) -> None:
    if not images:
        return
    plan = protocol.plan
    votes = tally(np.stack([image.looks[-1][1] for image in images]), np.array([i.subject for i in images]), k)
    level = np.array([plan.levels[len(image.looks) - 1] for image in images])
    now = bounds(votes, level, k, plan.bound, plan.classes)
    before = [image.open_ks[k] or Bounds(np.ones(()), np.ones(k)) for image in images]
    now = now.minimum(Bounds(np.array([b.q for b in before]), np.array([b.u for b in before])))
    still = undecided(votes, now, protocol.radii, plan, k)
    for i, image in enumerate(images):
        if still[i]:
            image.open_ks[k] = Bounds(now.q[i], now.u[i])
        else:
            del image.open_ks[k]
