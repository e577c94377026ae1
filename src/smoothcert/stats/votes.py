"""The votes of many images at their looks, as they are stored."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import SpecError
from smoothcert.stats.bounds import IntArray, Tally

BoolArray = NDArray[np.bool_]
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
