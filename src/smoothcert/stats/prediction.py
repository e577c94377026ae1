"""PREDICT: the k most probable classes from votes, at one look or at several, or an abstention.

PREDICT of Cohen et al. (ICML 2019) tests the leader against the runner-up in a two-sided binomial test at 1/2; for a
set, rank k against rank k + 1. Here the votes are tested at several looks, and sampling stops as soon as a look
decides. An answer is wrong if some class in it is not strictly more probable than every class outside it. It is wrong
with probability at most alpha:

* Several looks. At look i the cumulative votes are multinomial with the n_i fixed beforehand, so the test at look i
  returns a wrong answer with probability at most its level a_i, whether or not an earlier look has stopped the
  sampling. The levels sum to at most alpha; the union bound over the looks does not ask what stops the sampling.
* One look, k = 1: Hung and Fithian (Annals of Statistics 47, 2019, "Rank verification for exponential families").
* One look, any k, by their argument. Let S be the k leading classes, ties at its edge broken at random. If S is wrong,
  p_i <= p_j for some i in S and j outside. Given S, the other counts and m = X_i + X_j, the count X_i is binomial
  (m, at most 1/2) weighted by the chance that S leads; so f_ij = P(X_i >= x_i) under that law at 1/2 is a p-value.
  Write it as R / (R + L), relative to the weight at x_i: steps up and steps down. A step up multiplies the weight by
  (x_j - v + 1) / (x_i + v), one down by (x_i - v) / (x_j + v + 1), and L ends where S stops leading. For the pair of
  ranks k and k + 1, d >= 1 votes apart, L has d / 2 steps (a tie counts half), and f is the p-value of the two-sided
  test. Any other pair has x_i no smaller and x_j no larger: its steps up weigh no more, its steps down no less, and S
  leads for at least as many. So f_ij is at most the two-sided p-value, and given S a wrong answer has probability at
  most a_i. Sum over S.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import sign_test
from smoothcert.stats.plan import GROWTH, levels

_MOST = 1100  # unanimous votes that pass any level a float can hold


@dataclass(frozen=True)
class Prediction:
    """What the smoothed classifier answers for one image, and the votes it rests on.

    Attributes:
        answer: a class (k = 1), a frozenset of k classes, or None: abstention.
        k: number of classes in an answer.
        leader: the class with most votes at the look that decided, or at the last look.
        votes: its votes there.
        samples: noisy copies drawn: the n of that look.
    """

    answer: int | frozenset[int] | None
    k: int
    leader: int
    votes: int
    samples: int

    @property
    def share(self) -> float:
        """The leader's share of the votes, in [0, 1]; an estimate, not a bound."""
        return self.votes / self.samples


def least_votes(alpha: float) -> int:
    """Votes that one look needs to decide if all agree: the least n with 2^(1 - n) <= alpha.

    Args:
        alpha: error probability of that look, in (0, 1).

    Returns:
        A number of noisy copies.

    Raises:
        SpecError: if alpha is out of range.

    >>> least_votes(0.001), least_votes(0.05)
    (11, 6)
    """
    if not 0 < alpha < 1:
        raise SpecError(f"expected alpha strictly between 0 and 1, got {alpha}; 0.001 is usual")
    return bisect_left(range(_MOST), True, lo=1, key=lambda n: bool(sign_test(n, 0) <= alpha))


def prediction_looks(
    n: int, alpha: float, first: int = 1, stopping: Literal["looks", "fixed"] = "looks"
) -> tuple[int, ...]:
    """Sample numbers at which a prediction is tested; each at its level of `levels(looks, alpha)`.

    Built backwards from n by factors 1.5. A leading look at which not even unanimous votes pass their level would
    only take level from the others: it is dropped, and the levels are shared out anew, until the first look can decide.

    Args:
        n: most noisy copies an image.
        alpha: probability of a wrong answer, in (0, 1).
        first: least copies of a look; all looks but the last are multiples of it. With batch size / images, the first
            look of all images together fills a batch.
        stopping: `looks`, or `fixed` for one look at n.

    Returns:
        Increasing sample numbers; the last is n.

    Raises:
        SpecError: if an argument is out of range, or n copies can never decide.

    >>> prediction_looks(1000, 0.001)
    (16, 25, 38, 58, 87, 131, 197, 296, 444, 666, 1000)
    >>> prediction_looks(1000, 0.001, first=512)
    (512, 1000)
    """
    if stopping not in ("looks", "fixed") or first < 1:
        raise SpecError(f"expected stopping to be looks or fixed and first >= 1, got {stopping!r} and {first}")
    least = least_votes(alpha)
    if n < least:
        raise SpecError(
            f"expected n >= {least} noisy copies, because fewer cannot decide at alpha = {alpha:g} even if all votes "
            f"agree, got {n}; raise n or alpha"
        )
    looks = (n,) if stopping == "fixed" else _backwards(n, first)
    while looks[0] < least_votes(levels(looks, alpha)[0]):
        looks = looks[1:]
    return looks


def _backwards(n: int, first: int) -> tuple[int, ...]:
    found = [n]
    while (before := found[-1] * GROWTH[0] // GROWTH[1] // first * first) > 0:
        found.append(before)
    return tuple(reversed(found))


def predict_counts(counts: ArrayLike, k: int, level: ArrayLike) -> list[Prediction]:
    """What one look says about each image.

    Args:
        counts: int (m, c): all votes of each image so far.
        k: size of the answer, 1 <= k < c.
        level: error level of the look in (0, 1): one number, or (m,) where the images are at different looks.

    Returns:
        m predictions; answer None where the test leaves it open.

    Raises:
        SpecError: if k, a level or a count is out of range.

    >>> predict_counts([[97, 3, 0], [52, 48, 0]], 1, 0.001)[0]
    Prediction(answer=0, k=1, leader=0, votes=97, samples=100)
    """
    votes = np.asarray(counts, dtype=np.int64)
    order, clear = _ranked(votes, k, level)
    found = []
    for row, best, ok in zip(votes, order.tolist(), clear, strict=True):
        answer = (best[0] if k == 1 else frozenset(best[:k])) if ok else None
        found.append(Prediction(answer, k, best[0], int(row[best[0]]), int(row.sum())))
    return found


def predict_sets(counts: ArrayLike, k: int = 1, alpha: float = 0.001) -> list[frozenset[int] | None]:
    """The k most probable labels of the smoothed classifier from one look, or an abstention.

    PREDICT of Cohen et al. (ICML 2019), exact by Hung and Fithian (2019): the leader against the runner-up
    in a two-sided binomial test at 1/2. For a set, rank k is tested against rank k + 1.

    Args:
        counts: int (m, c): votes.
        k: size of the set, 1 <= k < c.
        alpha: probability of returning a wrong set, in (0, 1).

    Returns:
        m frozensets of k labels; None where the test leaves the set open (abstention).

    Raises:
        SpecError: if k, alpha or a count is out of range.

    >>> predict_sets([[97, 3, 0], [52, 48, 0]])
    [frozenset({0}), None]
    """
    order, clear = _ranked(np.asarray(counts, dtype=np.int64), k, alpha)
    return [frozenset(row[:k]) if ok else None for row, ok in zip(order.tolist(), clear, strict=True)]


def _ranked(votes: NDArray[np.int64], k: int, level: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Classes by falling votes, and whether the first k are told from the rest at the level."""
    if votes.ndim != 2 or not 1 <= k < votes.shape[1]:
        raise SpecError(f"expected counts (m, c) and 1 <= k < c, got {votes.shape} and k = {k}")
    at = np.asarray(level, dtype=np.float64)
    if not np.all((at > 0) & (at < 1)):
        raise SpecError(f"expected alpha strictly between 0 and 1, got {at}")
    order = np.argsort(-votes, axis=1, kind="stable")
    ranked = np.take_along_axis(votes, order, axis=1)
    return order, sign_test(ranked[:, k - 1], ranked[:, k]) <= at
