"""PREDICT: the k most probable classes from votes, at one look or at several, or an abstention; its exact power."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlogy

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray, sign_test
from smoothcert.stats.sequential import GROWTH, levels

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


_CELLS = 4_000_000  # of a matrix held at once: 32 MB


class PredictionPower(NamedTuple):
    """Probabilities over one image's noise, each of the shape of p.

    Attributes:
        right: returns the more probable class.
        wrong: returns the other one; at p = 1/2 either class is wrong.
        abstain: returns none.
        copies: mean noisy copies drawn.
    """

    right: FloatArray
    wrong: FloatArray
    abstain: FloatArray
    copies: FloatArray


def prediction_power(looks: tuple[int, ...], alpha: float, p: ArrayLike) -> PredictionPower:
    """What PREDICT does between two classes, by dynamic programming over the looks.

    Given its number of votes at a look, how an image got there does not depend on p: whether it is still undecided is
    a hypergeometric recursion, done once, and each look's binomial weights it for all p. Exact up to rounding (about
    1e-11 relative at 1,000 copies).

    Args:
        looks: increasing sample numbers, e.g. from `prediction_looks`; each is tested at its level.
        alpha: probability of a wrong answer, in (0, 1).
        p: probability of one of the two classes, in [0, 1], any shape.

    Returns:
        Odds with arrays of p's shape.

    Raises:
        SpecError: if a probability is out of range or the looks do not increase.

    >>> odds = prediction_power((16, 25, 38, 58, 87, 131, 197, 296, 444, 666, 1000), 0.001, [0.5, 0.6, 0.9])
    >>> odds.wrong.round(6).tolist(), odds.abstain.round(3).tolist(), odds.copies.round().tolist()
    ([0.000631, 1e-06, 0.0], [0.999, 0.003, 0.0], [1000.0, 500.0, 31.0])
    """
    chance = _checked(looks, alpha, p)
    favourite = np.maximum(chance, 1 - chance).ravel()
    right, wrong, samples = np.zeros_like(favourite), np.zeros_like(favourite), np.zeros_like(favourite)
    undecided = np.ones(looks[0] + 1)  # probability of being undecided before this look, given the votes at it
    for i, (n, level) in enumerate(zip(looks, levels(looks, alpha), strict=True)):
        least = _least_to_decide(n, level)
        arrives = undecided * _binomial(n, favourite)
        for_it, for_other = arrives[:, least:].sum(axis=1), arrives[:, : n - least + 1].sum(axis=1)
        right, wrong, samples = right + for_it, wrong + for_other, samples + n * (for_it + for_other)
        open_votes = np.arange(n - least + 1, least)
        if i + 1 < len(looks):
            undecided = _carried(undecided[open_votes], open_votes, n, looks[i + 1])
    abstain = arrives[:, open_votes].sum(axis=1)
    samples = samples + looks[-1] * abstain
    tie = favourite == 0.5
    right, wrong = np.where(tie, 0.0, right), np.where(tie, right + wrong, wrong)
    return PredictionPower(*(value.reshape(chance.shape) for value in (right, wrong, abstain, samples)))


def _checked(looks: tuple[int, ...], alpha: float, p: ArrayLike) -> FloatArray:
    chance = np.asarray(p, dtype=np.float64)
    if not (0 < alpha < 1 and np.all((chance >= 0) & (chance <= 1))):
        raise SpecError(f"expected alpha strictly between 0 and 1 and p in [0, 1], got {alpha} and {chance}")
    if not looks or np.any(np.diff((0, *looks)) < 1):
        raise SpecError(f"expected increasing positive looks, got {looks}")
    return chance


def _least_to_decide(n: int, level: float) -> int:
    """Votes of n that decide for their class at a level; n + 1 where not even all do."""
    return bisect_left(range(n + 1), True, lo=n // 2 + 1, key=lambda x: bool(sign_test(x, n - x) <= level))


def _log_choose(n: int, x: NDArray[np.int64]) -> FloatArray:
    found: FloatArray = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)
    return found


def _binomial(n: int, p: FloatArray) -> FloatArray:
    """Binomial(n, p) probabilities of 0..n votes, (p, n + 1)."""
    x = np.arange(n + 1)
    weights: FloatArray = np.exp(_log_choose(n, x) + xlogy(x, p[:, None]) + xlogy(n - x, 1 - p[:, None]))
    return weights


def _carried(undecided: FloatArray, votes: NDArray[np.int64], n: int, later: int) -> FloatArray:
    """Probability of being undecided after look n given each number of votes at the next: hypergeometric weights."""
    before, more = _log_choose(n, votes), _log_choose(later - n, np.arange(later - n + 1))

    def part(x: NDArray[np.int64]) -> FloatArray:
        new = x[:, None] - votes
        possible = (new >= 0) & (new <= later - n)
        log = before + more[np.where(possible, new, 0)] - _log_choose(later, x)[:, None]
        found: FloatArray = np.where(possible, np.exp(np.where(possible, log, 0)), 0) @ undecided
        return found

    pieces = np.array_split(np.arange(later + 1), 1 + (later + 1) * len(votes) // _CELLS)
    return np.concatenate([part(x) for x in pieces])
