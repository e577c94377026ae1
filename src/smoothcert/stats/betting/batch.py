"""Votes of the label, of rivals and of sets of rivals, before a batch and in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smoothcert.errors import SpecError
from smoothcert.stats.bounds import IntArray


def columns(images: Sequence[Sequence[Mapping[int, int]]], labels: Sequence[int], classes: int, k: int) -> IntArray:
    """Arrange stored looks as an array: the label first, then rivals with votes, then rivals without any.

    The array is as wide as the image with most classes needs, whatever the number of classes.

    Args:
        images: for each image its looks, in order: cumulative votes by class.
        labels: the label of each image, in 0..classes-1; chosen without looking at these votes.
        classes: number of classes c, > k.
        k: rank of the certificate, >= 1.

    Returns:
        int64 (m, L, 1 + w), L the largest number of looks and k <= w < c. An image with fewer looks repeats its last. A
        rival keeps its column over all looks. Rivals without votes are alike; if an image has any, it has at least one
        such column.

    Raises:
        SpecError: if k, a class or a label is out of range, or images and labels differ in number.

    >>> columns([[{4: 90, 2: 10}, {4: 170, 2: 25, 7: 5}], [{1: 100}]], [4, 1], classes=1000, k=1).tolist()
    [[[90, 10, 0, 0], [170, 25, 5, 0]], [[100, 0, 0, 0], [100, 0, 0, 0]]]
    """
    if not 1 <= k < classes:
        raise SpecError(
            f"expected 1 <= k < {classes} (the number of classes), got k = {k}; choose a smaller k", code="E-SPEC-037"
        )
    if len(images) != len(labels):
        raise SpecError(
            f"expected one label per image, got {len(labels)} labels and {len(images)} images", code="E-SPEC-038"
        )
    named = [set[int]().union(*looks) - {label} for looks, label in zip(images, labels, strict=True)]
    if any(not 0 <= c < classes for each in (labels, *named) for c in each):
        raise SpecError(
            f"expected classes and labels in 0..{classes - 1}, got one outside; check votes and labels",
            code="E-SPEC-039",
        )
    width = min(max(k, *(len(each) + 1 for each in named)), classes - 1) if named else k
    votes = np.zeros((len(named), max(map(len, images), default=0), 1 + width), dtype=np.int64)
    for row, looks, label, rivals in zip(votes, images, labels, named, strict=True):
        for i, c in enumerate((label, *sorted(rivals))):
            row[: len(looks), i] = [look.get(c, 0) for look in looks]
        row[len(looks) :] = row[len(looks) - 1] if looks else 0
    return votes


@dataclass(frozen=True, eq=False)
class Batch:
    """The votes before a batch and those in it, for one choice of T or for several.

    Attributes:
        n: int64 (..., 1): votes before the batch.
        label: int64 (..., 1): of these, the label's.
        members: int64 (..., G, K): of these, T's, for each t = 1..K. If k = 1, one T for each of G rivals, and K = 1;
            if k > 1, G = 1 and K = k, and T is the t least voted of the k most voted rivals.
        new_n: int64 (..., 1): votes in the batch.
        new_label: int64 (..., 1): of these, the label's.
        new_members: int64 (..., G, K): of these, T's; if k > 1, the most that T of any set of k rivals receives.
    """

    n: IntArray
    label: IntArray
    members: IntArray
    new_n: IntArray
    new_label: IntArray
    new_members: IntArray

    @classmethod
    def of(cls, before: IntArray, new: IntArray, k: int) -> Batch:
        """Count the votes of each T.

        Args:
            before: int64 (..., 1 + w): votes before the batch, the label's first, then those of w >= k rivals.
            new: int64 (..., 1 + w): votes in the batch.
            k: rank of the certificate.

        >>> batch = Batch.of(np.array([90, 6, 3, 1]), np.array([9, 0, 1, 2]), k=2)
        >>> batch.members.tolist(), batch.new_members.tolist()
        ([[3, 9]], [[2, 3]])
        """
        rivals, gained = before[..., 1:], new[..., 1:]
        members = (rivals[..., None], gained[..., None]) if k == 1 else _strongest(rivals, gained, k)
        n, new_n = before.sum(axis=-1, keepdims=True), new.sum(axis=-1, keepdims=True)
        return cls(n, before[..., :1], members[0], new_n, new[..., :1], members[1])

    def rows(self, keep: IntArray) -> Batch:
        """Select images by index, along the first axis."""
        return Batch(**{name: each[keep] for name, each in vars(self).items()})

    def looks(self, keep: IntArray, part: slice) -> Batch:
        """Select images by index, along the first axis, and consecutive looks, along the second."""
        return Batch(**{name: each[keep, part] for name, each in vars(self).items()})


def _strongest(rivals: IntArray, gained: IntArray, k: int) -> tuple[IntArray, IntArray]:
    """Votes before of the t least of the k most voted rivals, and x_T of the proof, for t = 1..k; both (..., 1, k)."""
    key = rivals * (gained.max(initial=0) + 1) - gained  # most votes before first; in a tie, fewest in the batch first
    order = np.argsort(-key, axis=-1, kind="stable")
    before = np.take_along_axis(rivals, order[..., :k], axis=-1)[..., ::-1].cumsum(axis=-1)
    new = np.take_along_axis(gained, order, axis=-1)
    largest = [np.sort(new[..., k - t :], axis=-1)[..., -t:].sum(axis=-1) for t in range(1, k + 1)]
    return before[..., None, :], np.stack(largest, axis=-1)[..., None, :]
