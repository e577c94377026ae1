"""How often adaptive prediction is right, wrong or silent between two classes, and how many copies it takes: exact."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlogy

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray, sign_test
from smoothcert.stats.plan import levels

_CELLS = 4_000_000  # of a matrix held at once: 32 MB


class Odds(NamedTuple):
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


def prediction_odds(looks: tuple[int, ...], alpha: float, p: ArrayLike) -> Odds:
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

    >>> odds = prediction_odds((16, 25, 38, 58, 87, 131, 197, 296, 444, 666, 1000), 0.001, [0.5, 0.6, 0.9])
    >>> odds.wrong.round(6).tolist(), odds.abstain.round(3).tolist(), odds.copies.round().tolist()
    ([0.000631, 1e-06, 0.0], [0.999, 0.003, 0.0], [1000.0, 500.0, 31.0])
    """
    chance = _checked(looks, alpha, p)
    favourite = np.maximum(chance, 1 - chance).ravel()
    right, wrong, copies = np.zeros_like(favourite), np.zeros_like(favourite), np.zeros_like(favourite)
    undecided = np.ones(looks[0] + 1)  # probability of being undecided before this look, given the votes at it
    for i, (n, level) in enumerate(zip(looks, levels(looks, alpha), strict=True)):
        least = _least_to_decide(n, level)
        arrives = undecided * _binomial(n, favourite)
        for_it, for_other = arrives[:, least:].sum(axis=1), arrives[:, : n - least + 1].sum(axis=1)
        right, wrong, copies = right + for_it, wrong + for_other, copies + n * (for_it + for_other)
        open_votes = np.arange(n - least + 1, least)
        if i + 1 < len(looks):
            undecided = _carried(undecided[open_votes], open_votes, n, looks[i + 1])
    abstain = arrives[:, open_votes].sum(axis=1)
    copies = copies + looks[-1] * abstain
    tie = favourite == 0.5
    right, wrong = np.where(tie, 0.0, right), np.where(tie, right + wrong, wrong)
    return Odds(*(value.reshape(chance.shape) for value in (right, wrong, abstain, copies)))


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
