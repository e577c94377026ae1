"""What the reference run taught, as numbers from the stored votes of three runs (page docs/pbc28.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Sigma
from smoothcert.evidence import Run
from smoothcert.evidence.outcomes import Outcomes, line_tallies, outcomes, plan_of, winner
from smoothcert.stats import Bounds, Plan, Tally
from smoothcert.stats.bounds_rule import step


@dataclass(frozen=True)
class Agreement:
    """Decisions of two runs on the same images: one that stops early, one with a fixed number of samples.

    Attributes:
        k: rank of the certificates.
        radius: L2 radius.
        images: images both decided.
        both: certified by both.
        neither: certified by neither.
        first: certified by the one that stops early alone.
        second: certified by the fixed one alone.
    """

    k: int
    radius: float
    images: int
    both: int
    neither: int
    first: int
    second: int


@dataclass(frozen=True)
class Apart:
    """An image on which two runs decide differently.

    Attributes:
        index: index of the image.
        k: rank of the certificates.
        radius: L2 radius at which the decisions differ.
        found: exact certified radius in the run that stops early, and in the fixed one.
        taken: samples drawn by either, selection included.
    """

    index: int
    k: int
    radius: float
    found: tuple[float, float]
    taken: tuple[int, int]


@dataclass(frozen=True)
class Budget:
    """Where the samples of one noise level went.

    Attributes:
        sigma: noise level.
        images: images decided.
        samples: all samples, selection included.
        at_most: images that took all samples they may take.
        share: fraction of all samples that those took.
        early: images decided with at most `FEW` samples.
    """

    sigma: Sigma
    images: int
    samples: int
    at_most: int
    share: float
    early: int


FEW = 1_000
"""Samples per image, selection included, that count as few."""


def agreement(early: Run, fixed: Run, sigma: float) -> list[Agreement]:
    """Compare the decisions of two runs at one noise level of both, image by image."""
    found = []
    for k, one, other in _shared(early, fixed, sigma):
        for r in early.spec.request.radius:
            a, b = one.certified_correct(r), other.certified_correct(r)
            counts = [int(part.sum()) for part in (a & b, ~a & ~b, a & ~b, ~a & b)]
            found.append(Agreement(k, r, len(a), *counts))
    return found


def apart(early: Run, fixed: Run, sigma: float) -> list[Apart]:
    """Every image and radius on which two runs decide differently at one noise level of both."""
    found = []
    for k, one, other in _shared(early, fixed, sigma):
        for r in early.spec.request.radius:
            for i in np.flatnonzero(one.certified_correct(r) != other.certified_correct(r)):
                radii = float(one.radius[i]), float(other.radius[i])
                found.append(Apart(int(one.index[i]), k, r, radii, (int(one.samples[i]), int(other.samples[i]))))
    return found


def _shared(early: Run, fixed: Run, sigma: float) -> Iterator[tuple[int, Outcomes, Outcomes]]:
    """For each k of both runs, what their votes say about the images that both decided, in the same order."""
    lines = [{line.index: line for line in run.ledger.at(sigma)} for run in (early, fixed)]
    both = sorted(lines[0].keys() & lines[1].keys())
    for k in sorted({*early.spec.request.k} & {*fixed.spec.request.k}):
        one, other = (
            outcomes(run.spec, [at[i] for i in both], sigma, k) for run, at in zip((early, fixed), lines, strict=True)
        )
        yield k, one, other


def samples_per_image(early: Run, fixed: Run, sigma: float) -> tuple[float, float]:
    """Mean samples per image of the images that both runs decided."""
    _, one, other = next(_shared(early, fixed, sigma))
    return float(one.samples.mean()), float(other.samples.mean())


def budget(run: Run, sigma: Sigma) -> Budget:
    """Where the samples of one noise level went."""
    taken = np.array([line.samples for line in run.ledger.at(float(sigma))], dtype=np.int64)
    most = taken == run.spec.request.max_samples
    return Budget(
        sigma=sigma,
        images=len(taken),
        samples=int(taken.sum()),
        at_most=int(most.sum()),
        share=float(taken[most].sum() / taken.sum()),
        early=int((taken <= FEW).sum()),
    )


def answers(run: Run, sigma: float) -> dict[str, int]:
    """Classes that won selection votes at one noise level, and of how many images, the most frequent first."""
    won = Counter(winner(line) for line in run.ledger.at(sigma))
    return {run.spec.data.class_names[c]: n for c, n in won.most_common() if c is not None}


def alone(run: Run, sigma: Sigma) -> dict[tuple[int, float], NDArray[np.int64]]:
    """Samples each image would have taken, selection included, had one entry alone been asked: for each k and radius.

    The stored looks once more: a run goes on while any entry is open, so the looks that one entry needs are among them.
    """
    lines, plan, asked = list(run.ledger.at(float(sigma))), plan_of(run.spec, sigma), run.spec.request
    votes = line_tallies(lines, len(plan.looks), max(asked.k))
    selected = np.array([sum((line.selection or {}).values()) for line in lines], dtype=np.int64)
    right = np.array([winner(line) == line.label for line in lines])
    found = {}
    for k in asked.k:
        drawing = (votes.n[:, 0] > 0) & (right | (asked.target_of(k) != "prediction"))
        found |= {(k, r): selected + _estimated(votes, plan, drawing, k, r) for r in asked.radius}
    return found


def _estimated(votes: Tally, plan: Plan, drawing: NDArray[np.bool_], k: int, r: float) -> NDArray[np.int64]:
    """Samples until one entry is decided, look by look, of the images that are drawing."""
    m, drawing = len(drawing), drawing.copy()
    taken, before = np.zeros(m, dtype=np.int64), Bounds(np.ones(m), np.ones((m, k)))
    for look in range(len(plan.looks)):
        at = np.flatnonzero(drawing)
        now = Tally(votes.n[at, look], votes.label_votes[at, look], votes.rivals[at, look])
        after, drawing[at] = step(now, Bounds(before.q[at], before.u[at]), (r,), plan, k)
        before.q[at], before.u[at] = after.q, after.u
        taken[at] = now.n
    return taken
