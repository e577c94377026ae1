"""How votes become certificates: one interface for bounds on probabilities and for betting.

A `Rule` belongs to one plan, one k and the radii that are to be decided. While an image is sampled, the rule says after
each look whether to draw on (`start`, `step`); from stored looks it derives the certificates (`certificates`). The
certificates depend on the votes, the plan and k alone, never on why sampling ended.
"""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, Self, TypeVar

import numpy as np

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray
from smoothcert.stats.bounds import Bounds, IntArray, Tally
from smoothcert.stats.sequential import BoolArray, Plan

Rows = slice | IntArray
S = TypeVar("S")
Look = tuple[int, Mapping[int, int]]
"""Sample number of a look, and the votes of that many noise samples by class."""


@dataclass(frozen=True, eq=False)
class StoredVotes:
    """Cumulative votes of m images at the looks that each took.

    Attributes:
        images: for each image its looks, in order.
        labels: for each image the class that is certified; chosen without looking at these votes.
        looks: number of looks that are evaluated, the first ones.
        k: largest rank of a certificate that is derived from them.
    """

    images: Sequence[Sequence[Look]]
    labels: Sequence[int]
    looks: int
    k: int

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    @cached_property
    def tally(self) -> Tally:
        """Votes of the label and of the k strongest rivals: n and label_votes (m, looks), rivals (m, looks, k).

        n = 0 where a look was not taken.
        """
        shape = (len(self.images), self.looks)
        n, label_votes = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        rivals = np.zeros((*shape, self.k), dtype=np.int64)
        for i, (taken, label) in enumerate(zip(self.images, self.labels, strict=True)):
            for j, (drawn, votes) in enumerate(taken[: self.looks]):
                n[i, j], label_votes[i, j] = drawn, votes.get(label, 0)
                best = heapq.nlargest(self.k, (count for c, count in votes.items() if c != label))
                rivals[i, j, : len(best)] = best
        return Tally(n, label_votes, rivals)

    def behind(self, k: int) -> BoolArray:
        """Return bool (m,): at the last look the label is not among the k most voted classes (the lowest on a tie).

        False without a look.
        """
        return np.array([_behind(taken, label, k) for taken, label in zip(self.images, self.labels, strict=True)], bool)

    def numbers(self) -> IntArray:
        """Return the sample numbers of the looks, int64 (m, looks); 0 where a look was not taken."""
        found = np.zeros((len(self.images), self.looks), dtype=np.int64)
        for row, taken in zip(found, self.images, strict=True):
            row[: len(taken)] = [n for n, _ in taken[: self.looks]]
        return found


def _behind(taken: Sequence[Look], label: int, k: int) -> bool:
    votes = taken[-1][1] if taken else {}
    own = votes.get(label, 0)
    return sum(n > own or (n == own and c < label) for c, n in votes.items() if n) >= k


def check_numbers(n: IntArray, looks: Sequence[int]) -> None:
    """Raise unless the sample numbers (m, looks taken) are those of the looks, or 0.

    Raises:
        SpecError: a sample number is neither 0 nor the plan's.
    """
    width = n.shape[1]
    if len(looks) < width or np.any((n != 0) & (n != looks[:width])):
        raise SpecError(f"expected votes at the looks {tuple(looks)}, got other sample numbers", code="E-SPEC-010")


class Certified(ABC):
    """What is certified for m images at one k.

    Attributes:
        radius: float (m,): certified L2 radius, not rounded; <= 0 if nothing is certified.
        bounds: bounds of the probabilities behind it, q (m,) and u (m, k); None if the rule has none.
    """

    radius: FloatArray
    bounds: Bounds | None

    @abstractmethod
    def at(self, r: float) -> BoolArray:
        """Return bool (m,): certified at radius r; r = 0 means any positive radius."""

    @abstractmethod
    def of(self, rows: Rows) -> Self:
        """Return the certificates of some images."""

    @classmethod
    @abstractmethod
    def joined(cls, parts: Sequence[Any]) -> Self:
        """Concatenate the certificates of consecutive blocks of images."""


class Rule(ABC, Generic[S]):
    """How votes become certificates at one k: fixed before the first vote is drawn."""

    names_wrong: bool = False
    """Whether an image whose target is its label counts as wrong, rather than as an abstention, if nothing is certified
    and the label is not among the k most voted classes at the last look."""

    def __init__(self, plan: Plan, k: int, radii: Sequence[float] = ()) -> None:
        """Store what is fixed.

        Args:
            plan: looks, alpha, bound, classes, sigma, eta.
            k: rank of the certificate, 1 <= k < classes.
            radii: L2 radii to decide, in units of the [0, 1] range; `certificates` does not depend on them.
        """
        self.plan, self.k, self.radii = plan, k, tuple(radii)

    @abstractmethod
    def start(self, images: int) -> S:
        """Return the state of so many images without votes."""

    @abstractmethod
    def step(self, state: S, before: IntArray, after: IntArray, labels: IntArray) -> tuple[S, BoolArray]:
        """Take one look at the votes of each image; the looks may differ.

        Args:
            state: state of m images before the look.
            before: int (m, c): votes of each class at the look before; zeros at the first.
            after: int (m, c): votes of each class at this look.
            labels: int (m,): the class that is certified.

        Returns:
            The state after the look, and bool (m,): draw on to the next look. Always False at the last look.

        Raises:
            SpecError: if a sample number is not one of the plan's looks.
        """

    @abstractmethod
    def decided(self, state: S) -> BoolArray:
        """Return bool (m, radii): certified at each radius to decide."""

    @abstractmethod
    def rows(self, state: S, keep: Rows) -> S:
        """Return the state of some images."""

    @abstractmethod
    def join(self, states: Sequence[S]) -> S:
        """Concatenate the states of images."""

    @abstractmethod
    def kept(self, r: float, n: int, votes: int, alone: bool = False) -> bool:
        """Whether a look of n votes certifies radius r, if the misses are divided equally among k rivals.

        Args:
            r: L2 radius > 0.
            n: sample number of a look; of any other number if it is alone.
            votes: votes for the label.
            alone: whether it is the only look, planned with n samples.
        """

    @abstractmethod
    def certificates(self, votes: StoredVotes) -> Certified:
        """Derive the certificates from stored looks.

        Raises:
            SpecError: a sample number is not one of the plan's looks.
        """

    @property
    @abstractmethod
    def r_max(self) -> float:
        """Largest attainable radius R_max: that of unanimous votes at all looks; not rounded."""
