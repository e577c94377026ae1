"""One look as an exact binomial test: the label is certified at a radius where few enough votes miss it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincc, betainccinv, ndtr, ndtri

from smoothcert.stats.binomial import FloatArray
from smoothcert.stats.bounds import split
from smoothcert.stats.futility import BoolArray
from smoothcert.stats.plan import Plan

MOST = 10**9
"""Votes beyond which none are counted."""

_INFLATION = 1 + 1e-9  # that of `upper_bound`
_ROUGH, _HALVINGS = 26, 50  # of an interval of up to 10^11 votes
_WALK = 64


@dataclass(frozen=True)
class MissTest:
    """Certified where P(Binomial(n, most) <= misses) <= level.

    Attributes:
        most: the probability of a miss that must be excluded.
        level: the error level at which it is excluded.
    """

    most: float
    level: float

    def allowed(self, n: FloatArray) -> FloatArray:
        """The most misses among n votes with which the label is certified, or -1: not even without a miss."""
        return _first(np.full(n.shape, -1.0), n, lambda misses: ~(_tail(misses, n, self.most) <= self.level)) - 1

    def power(self, n: FloatArray, miss: float) -> FloatArray:
        """Probability of a certificate from n votes where a vote misses the label with probability `miss`."""
        allowed = self.allowed(n)
        return np.where(allowed < 0, 0.0, _tail(np.clip(allowed, 0, n - 1), n, miss))

    def most_miss(self, n: FloatArray, wanted: float) -> FloatArray:
        """The largest probability of a miss at which n votes have the wanted power; 0 where there is none."""
        allowed = self.allowed(n)
        some = np.clip(allowed, 0, n - 1)
        return np.where(allowed < 0, 0.0, betainccinv(some + 1, n - some, wanted))

    def least_votes(self, miss: FloatArray, wanted: float) -> FloatArray:
        """Votes from which on every number has the wanted power, or infinity.

        The power is lowest just before one more miss is allowed. Taken at the real-valued number of votes that allows
        it, it rises with the misses (tested), so bisection finds from which misses on it suffices. Whole numbers of
        votes lie below the real-valued one: step down while they suffice too.
        """
        if self.most <= 0:
            return np.full(miss.shape, np.inf)
        top = np.full(miss.shape, np.ceil(MOST * self.most) + 1)
        misses = _first(
            np.full(miss.shape, -1.0), top, lambda each: _tail(each, self._votes(each + 1, _ROUGH), miss) >= wanted
        )
        for _ in range(_WALK):
            before = np.maximum(misses - 1, 0)
            fewer = (misses > 0) & (_tail(before, self._whole_votes(before + 1) - 1, miss) >= wanted)
            if not fewer.any():
                break
            misses = np.where(fewer, before, misses)
        votes = self._whole_votes(misses)
        return np.where((miss < self.most) & (votes <= MOST), votes, np.inf)

    def _votes(self, misses: FloatArray, halvings: int = _HALVINGS) -> FloatArray:
        """Real-valued number of votes from which on so many misses are allowed, rounded up."""
        low, high = misses + 0.0, 2 * (misses + 1 - 2 * np.log(self.level)) / self.most  # by Chernoff enough
        for _ in range(halvings):
            middle = (low + high) / 2
            kept = _tail(misses, middle, self.most) <= self.level
            low, high = np.where(kept, low, middle), np.where(kept, middle, high)
        return np.asarray(high)

    def _whole_votes(self, misses: FloatArray) -> FloatArray:
        votes = self._votes(misses)
        down = np.maximum(np.floor(votes), misses + 1)
        whole: FloatArray = np.where(_tail(misses, down, self.most) <= self.level, down, np.ceil(votes))
        return whole


def miss_test(r: float, plan: Plan, k: int) -> MissTest:
    """The test that one look of a plan's bound comes to, where `is_exact`."""
    most = float(ndtr(ndtri(k / (k + 1)) - r / plan.sigma))
    level = plan.alpha
    if plan.bound == "simuem":
        level /= plan.classes
    elif plan.bound == "rankcp" and plan.classes > 2:
        level = float(split(np.array(plan.alpha), k)[0])
    return MissTest((most - plan.eta) / _INFLATION, level)


def is_exact(probabilities: FloatArray, plan: Plan, k: int) -> bool:
    """Whether at these probabilities (c,), the label's first, certificates depend on the label's count alone."""
    if plan.bound == "cohen" or (plan.bound == "rankcp" and plan.classes == 2):
        return True
    return k == 1 and int(np.count_nonzero(probabilities[1:])) <= 1


def _tail(misses: FloatArray, n: FloatArray, p: ArrayLike) -> FloatArray:
    """P(Binomial(n, p) <= misses) for 0 <= misses < n; n may be real-valued."""
    tail: FloatArray = betaincc(misses + 1, n - misses, p)
    return tail


def _first(low: FloatArray, high: FloatArray, holds: Callable[[FloatArray], BoolArray]) -> FloatArray:
    """The least whole number above low, and at most high, from which on something holds, by bisection."""
    while np.any(high - low > 1):
        middle = np.maximum(np.floor((low + high) / 2), low + 1)  # where nothing is left to halve, it is high itself
        kept = holds(middle) | (middle >= high)
        low, high = np.where(kept, low, middle), np.where(kept, middle, high)
    return high
