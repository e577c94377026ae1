"""PREDICT: the k most probable classes of the smoothed classifier from votes, or an abstention; and its exact power.

Cohen et al. (ICML 2019, arXiv:1902.02918), whose test is exact by Hung and Fithian (2019, arXiv:1610.03944). Here also
for the set of the k most probable classes, and at several looks that share alpha.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlogy

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray, sign_test
from smoothcert.stats.sequential import GROWTH, alpha_spending

_MOST = 1100  # unanimous votes that pass at any error level that a float can hold


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image, and the votes behind it.

    Attributes:
        answer: a class (k = 1), a frozenset of k classes, or None for an abstention.
        k: number of predicted classes.
        leader: the class with most votes at the look that decided, or at the last look.
        votes: its votes there.
        samples: noise samples drawn: the n of that look.
    """

    answer: int | frozenset[int] | None
    k: int
    leader: int
    votes: int
    samples: int

    @property
    def share(self) -> float:
        """The leader's vote share, in [0, 1]; an estimate, not a bound."""
        return self.votes / self.samples


def least_votes(alpha: float) -> int:
    """Smallest n at which unanimous votes decide: the least n with 2^(1 - n) <= alpha.

    Args:
        alpha: error probability spent at that look, in (0, 1).

    Returns:
        A number of noise samples.

    Raises:
        SpecError: if alpha is out of range.

    >>> least_votes(0.001), least_votes(0.05)
    (11, 6)
    """
    if not 0 < alpha < 1:
        raise SpecError(f"expected alpha strictly between 0 and 1, got {alpha}; 0.001 is usual", code="E-SPEC-075")
    return bisect_left(range(_MOST), True, lo=1, key=lambda n: bool(sign_test(n, 0) <= alpha))


def prediction_looks(
    n: int, alpha: float, first: int = 1, stopping: Literal["looks", "fixed"] = "looks"
) -> tuple[int, ...]:
    """Schedule of looks of a prediction: sample numbers at which it is tested, each at its share of alpha.

    Built backwards from n by factors of 1.5; alpha is spent by `alpha_spending`. A first look at which not even
    unanimous votes could decide would only waste alpha: it is dropped and alpha is spent anew on the others, until the
    first look can decide.

    Args:
        n: maximum number of noise samples per image.
        alpha: probability of a wrong prediction, in (0, 1).
        first: minimum number of samples of a look; all looks but the last are multiples of it. With batch size / number
            of images, the first look of all images together fills a batch.
        stopping: "looks", or "fixed" for a single look at n.

    Returns:
        Increasing sample numbers; the last is n.

    Raises:
        SpecError: if an argument is out of range, or n samples can never decide.

    >>> prediction_looks(1000, 0.001)
    (16, 25, 38, 58, 87, 131, 197, 296, 444, 666, 1000)
    >>> prediction_looks(1000, 0.001, first=512)
    (512, 1000)
    """
    if stopping not in ("looks", "fixed") or first < 1:
        raise SpecError(
            f"expected stopping to be looks or fixed and first >= 1, got {stopping!r} and {first}", code="E-SPEC-076"
        )
    least = least_votes(alpha)
    if n < least:
        raise SpecError(
            f"expected n >= {least} noise samples, because fewer cannot decide at alpha = {alpha:g} even if all votes "
            f"agree, got {n}; raise n or alpha",
            code="E-SPEC-077",
        )
    looks = (n,) if stopping == "fixed" else _backwards(n, first)
    while looks[0] < least_votes(alpha_spending(looks, alpha)[0]):
        looks = looks[1:]
    return looks


def _backwards(n: int, first: int) -> tuple[int, ...]:
    found = [n]
    while (before := found[-1] * GROWTH[0] // GROWTH[1] // first * first) > 0:
        found.append(before)
    return tuple(reversed(found))


def predict_counts(counts: ArrayLike, k: int, level: ArrayLike) -> list[Prediction]:
    """Prediction of each image at one look.

    Args:
        counts: int (m, c): cumulative votes of each image.
        k: number of predicted classes, 1 <= k < c.
        level: alpha spent at the look, in (0, 1): one number, or (m,) where the images are at different looks.

    Returns:
        m predictions; answer None where the test does not decide.

    Raises:
        SpecError: if k, level or a count is out of range.

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
    """The k most probable classes of the smoothed classifier from one look, or an abstention.

    The leader is tested against the runner-up in a two-sided binomial test at 1/2; for a set, rank k against k + 1.

    Args:
        counts: int (m, c): votes.
        k: size of the set, 1 <= k < c.
        alpha: probability of returning a wrong set, in (0, 1).

    Returns:
        m frozensets of k classes; None for an abstention.

    Raises:
        SpecError: if k, alpha or a count is out of range.

    >>> predict_sets([[97, 3, 0], [52, 48, 0]])
    [frozenset({0}), None]
    """
    order, clear = _ranked(np.asarray(counts, dtype=np.int64), k, alpha)
    return [frozenset(row[:k]) if ok else None for row, ok in zip(order.tolist(), clear, strict=True)]


def _ranked(votes: NDArray[np.int64], k: int, level: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the classes by descending votes, and whether the test separates the first k from the rest."""
    if votes.ndim != 2 or not 1 <= k < votes.shape[1]:
        raise SpecError(f"expected counts (m, c) and 1 <= k < c, got {votes.shape} and k = {k}", code="E-SPEC-078")
    at = np.asarray(level, dtype=np.float64)
    if not np.all((at > 0) & (at < 1)):
        raise SpecError(f"expected alpha strictly between 0 and 1, got {at}", code="E-SPEC-079")
    order = np.argsort(-votes, axis=1, kind="stable")
    ranked = np.take_along_axis(votes, order, axis=1)
    return order, sign_test(ranked[:, k - 1], ranked[:, k]) <= at


_ENTRIES = 4_000_000  # of a matrix held at once: 32 MB


class PredictionPower(NamedTuple):
    """What PREDICT returns for an image, over its noise draws; arrays of the shape of p.

    Attributes:
        right: probability of returning the more probable class.
        wrong: probability of returning the other one; at p = 1/2 either class is wrong.
        abstain: probability of an abstention.
        samples: mean number of noise samples drawn.
    """

    right: FloatArray
    wrong: FloatArray
    abstain: FloatArray
    samples: FloatArray


def prediction_power(looks: tuple[int, ...], alpha: float, p: ArrayLike) -> PredictionPower:
    """Exact power of PREDICT between two classes, by dynamic programming over the looks.

    Given the votes at a look, the path of votes before it does not depend on p: the probability of being undecided
    follows a hypergeometric recursion, computed once and weighted with the binomial distribution at each look for all
    p. Exact up to rounding (about 1e-11 relative at 1,000 samples).

    Args:
        looks: increasing sample numbers, e.g. from `prediction_looks`; each is tested at its share of alpha.
        alpha: probability of a wrong prediction, in (0, 1).
        p: probability of one of the two classes, in [0, 1], any shape.

    Returns:
        PredictionPower with arrays of the shape of p.

    Raises:
        SpecError: if a probability is out of range or the looks do not increase.

    >>> power = prediction_power((16, 25, 38, 58, 87, 131, 197, 296, 444, 666, 1000), 0.001, [0.5, 0.6, 0.9])
    >>> power.wrong.round(6).tolist(), power.abstain.round(3).tolist(), power.samples.round().tolist()
    ([0.000631, 1e-06, 0.0], [0.999, 0.003, 0.0], [1000.0, 500.0, 31.0])
    """
    chance = _checked(looks, alpha, p)
    favourite = np.maximum(chance, 1 - chance).ravel()
    right, wrong, samples = np.zeros_like(favourite), np.zeros_like(favourite), np.zeros_like(favourite)
    undecided = np.ones(looks[0] + 1)  # P(undecided before this look | votes at it)
    for i, (n, level) in enumerate(zip(looks, alpha_spending(looks, alpha), strict=True)):
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
        raise SpecError(
            f"expected alpha strictly between 0 and 1 and p in [0, 1], got {alpha} and {chance}", code="E-SPEC-080"
        )
    if not looks or np.any(np.diff((0, *looks)) < 1):
        raise SpecError(f"expected increasing positive looks, got {looks}", code="E-SPEC-081")
    return chance


def _least_to_decide(n: int, level: float) -> int:
    """Return the least votes out of n that decide for their class; n + 1 where not even n votes do."""
    return bisect_left(range(n + 1), True, lo=n // 2 + 1, key=lambda x: bool(sign_test(x, n - x) <= level))


def _log_choose(n: int, x: NDArray[np.int64]) -> FloatArray:
    found: FloatArray = gammaln(n + 1) - gammaln(x + 1) - gammaln(n - x + 1)
    return found


def _binomial(n: int, p: FloatArray) -> FloatArray:
    """Return the Binomial(n, p) probabilities of 0..n votes, (len(p), n + 1)."""
    x = np.arange(n + 1)
    weights: FloatArray = np.exp(_log_choose(n, x) + xlogy(x, p[:, None]) + xlogy(n - x, 1 - p[:, None]))
    return weights


def _carried(undecided: FloatArray, votes: NDArray[np.int64], n: int, later: int) -> FloatArray:
    """Return P(undecided after look n | votes at the next look), by hypergeometric weights."""
    before, more = _log_choose(n, votes), _log_choose(later - n, np.arange(later - n + 1))

    def part(x: NDArray[np.int64]) -> FloatArray:
        new = x[:, None] - votes
        possible = (new >= 0) & (new <= later - n)
        log = before + more[np.where(possible, new, 0)] - _log_choose(later, x)[:, None]
        found: FloatArray = np.where(possible, np.exp(np.where(possible, log, 0)), 0) @ undecided
        return found

    pieces = np.array_split(np.arange(later + 1), 1 + (later + 1) * len(votes) // _ENTRIES)
    return np.concatenate([part(x) for x in pieces])
