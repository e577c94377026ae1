"""From votes to simultaneous confidence bounds on the probabilities of the label and of its rivals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray, upper_bound

IntArray = NDArray[np.int64]

BOUNDS = ("rankcp", "simuem", "cohen")

LABEL_SHARE = 0.7  # of alpha, spent on the label by rankcp; the k rivals share the rest


@dataclass(frozen=True, eq=False)
class Tally:
    """Votes of the label and of its strongest rivals.

    Attributes:
        n: int64 (...): noise samples drawn; 0 where no look was taken.
        label_votes: int64 (...): votes of the label.
        rivals: int64 (..., K), K >= 1: votes of the K other classes with most votes, in descending order.
    """

    n: IntArray
    label_votes: IntArray
    rivals: IntArray


@dataclass(frozen=True, eq=False)
class Bounds:
    """Bounds on class probabilities that hold jointly with probability at least 1 - level.

    Attributes:
        q: float64 (...): 1 - pA, the upper bound of 1 - P(label); the complement keeps its digits where pA is near one.
        u: float64 (..., k): upper bounds of the probabilities of the k most probable rivals, in descending order.
    """

    q: FloatArray
    u: FloatArray

    def minimum(self, other: Bounds) -> Bounds:
        """Return the elementwise minimum of two bounds that both hold.

        Args:
            other: bounds of the same shapes, or of shapes that broadcast.

        Returns:
            Bounds; `u` is still descending in its last axis.

        >>> one = Bounds(np.array(0.2), np.array([0.2, 0.1]))
        >>> one.minimum(Bounds(np.array(0.3), np.array([0.1, 0.1]))).u.tolist()
        [0.1, 0.1]
        """
        return Bounds(np.minimum(self.q, other.q), np.minimum(self.u, other.u))


def tally(counts: ArrayLike, labels: ArrayLike, k: int) -> Tally:
    """Split class counts into the votes of the label and those of its k strongest rivals.

    Args:
        counts: int (..., c): votes per class, >= 0.
        labels: int (...): the label, in 0..c-1; must not be chosen from these votes.
        k: number of rivals kept, 1 <= k < c.

    Returns:
        A Tally with K = k.

    Raises:
        SpecError: if k, a count or a label is out of range, or the shapes do not fit.

    >>> t = tally([[90, 2, 7, 1]], [0], k=2)
    >>> t.n.tolist(), t.label_votes.tolist(), t.rivals.tolist()
    ([100], [90], [[7, 2]])
    """
    votes = np.asarray(counts, dtype=np.int64)
    label = np.asarray(labels, dtype=np.int64)
    _check_votes(votes, label, k)
    here = np.arange(votes.shape[-1]) == label[..., None]
    rivals = np.sort(np.where(here, -1, votes), axis=-1)[..., : -k - 1 : -1]
    return Tally(votes.sum(axis=-1), np.where(here, votes, 0).sum(axis=-1), rivals)


def _check_votes(votes: IntArray, label: IntArray, k: int) -> None:
    if votes.ndim != label.ndim + 1 or votes.shape[:-1] != label.shape:
        raise SpecError(
            f"expected counts (..., c) and labels (...), got {votes.shape} and {label.shape}", code="E-SPEC-057"
        )
    _check_k(k, votes.shape[-1])
    if np.any(votes < 0):
        raise SpecError("expected votes >= 0, got a negative count; check the counts", code="E-SPEC-058")
    if np.any((label < 0) | (label >= votes.shape[-1])):
        raise SpecError(
            f"expected labels in 0..{votes.shape[-1] - 1}, got one outside; check the labels", code="E-SPEC-059"
        )


def _check_k(k: int, classes: int) -> None:
    if not 1 <= k < classes:
        raise SpecError(
            f"expected 1 <= k < {classes} (the number of classes), got k = {k}; choose a smaller k", code="E-SPEC-037"
        )


def bounds(votes: Tally, level: ArrayLike, k: int, bound: str, classes: int) -> Bounds:
    """Bound 1 - P(label) and the probabilities of the k most probable rivals, jointly at one error level.

    * `cohen` (BinoCP; Cohen et al., ICML 2019, arXiv:1902.02918): q = U(n - n_label, n, level), and u_j = q.
    * `simuem` (SimuEM; Jia et al., ICLR 2020, arXiv:1912.09899): each of the c classes at level / c.
    * `rankcp`: q = U(n - n_label, n, 0.7 level) and u_j = U(j-th largest rival count, n, 0.3 level / k).

    Proof that rankcp is valid: let i_1..i_k be the k rivals with the largest true probabilities, a set that does not
    depend on the votes. With probability at least 1 - level the bound of the label and the k bounds
    U(n_{i_m}) >= p_{i_m} all hold. The j-th largest observed rival count is at least the smallest of n_{i_1}..n_{i_j},
    so its bound is at least p_(j), the j-th largest true rival probability. With two classes the probability of the
    only rival is 1 - P(label): rankcp then spends nothing on it and equals cohen.

    Args:
        votes: Tally of shape (...) with at least k rivals; n = 0 gives q = u = 1.
        level: error level in (0, 1), broadcast over (...).
        k: rank of the certificate ("among the k most probable classes"), 1 <= k < classes.
        bound: one of `BOUNDS`.
        classes: number of classes c.

    Returns:
        Bounds with q (...) and u (..., k).

    Raises:
        SpecError: if the bound is unknown, k is not below the number of classes, or votes has fewer than k rivals.

    >>> t = tally([900, 40, 50, 10], 0, k=2)
    >>> for name in BOUNDS:
    ...     b = bounds(t, 0.001, 2, name, classes=4)
    ...     print(name, b.q.round(4), b.u.round(4))
    rankcp 0.1337 [0.0797 0.0673]
    simuem 0.1369 [0.0784 0.0661]
    cohen 0.1325 [0.1325 0.1325]
    """
    _check_k(k, classes)
    if bound not in BOUNDS:
        raise SpecError(f"expected bound to be one of {', '.join(BOUNDS)}, got {bound!r}", code="E-SPEC-061")
    if votes.rivals.shape[-1] < k:
        raise SpecError(
            f"expected votes of {k} rivals, got {votes.rivals.shape[-1]}; tally with a larger k", code="E-SPEC-062"
        )
    a = np.asarray(level, dtype=np.float64)
    if bound == "cohen" or (bound == "rankcp" and classes == 2):
        q = _miss_bound(votes, a)
        return Bounds(q, np.repeat(q[..., None], k, axis=-1))
    label, rival = (a / classes, a / classes) if bound == "simuem" else split(a, k)
    u = upper_bound(votes.rivals[..., :k], votes.n[..., None], rival[..., None])
    return Bounds(_miss_bound(votes, label), u)


def split(level: FloatArray, k: int) -> tuple[FloatArray, FloatArray]:
    """Return the error levels of rankcp for the label and for each of the k rivals; all k + 1 sum to `level`.

    >>> [round(float(a), 6) for a in split(np.array(0.001), 3)]
    [0.0007, 0.0001]
    """
    return LABEL_SHARE * level, (1 - LABEL_SHARE) * level / k


def _miss_bound(votes: Tally, level: FloatArray) -> FloatArray:
    return upper_bound(votes.n - votes.label_votes, votes.n, level)
