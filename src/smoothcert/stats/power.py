"""Sample size and power: how many samples certify a radius where the true class probabilities are known.

One look of n votes certifies the label at r if there are few enough votes for other classes ("misses"). Where only the
label's count matters, the number of misses is binomial, and power and sample size are exact:

* `cohen`, any k: only the label is bounded. The allowed misses are those with U(misses, n, alpha) <= t,
  t = Phi(Phi^-1(k / (k + 1)) - r / sigma), as all k rivals share the bound q.
* `rankcp` and `simuem`, k = 1, one rival: the rival has every miss, so its bound is at least q and q decides, at
  level 0.7 alpha (`rankcp`; all of alpha with two classes) or alpha / c (`simuem`). Among all splits of the misses at
  the same label probability this one is the hardest to certify: for any other split the power is at least as large.

Everything else is simulated with the caller's generator. Class 0 is the label throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincc, betainccinv, ndtr, ndtri

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray, upper_bound
from smoothcert.stats.bounds import Bounds, bounds, split, tally
from smoothcert.stats.radius import certified_at
from smoothcert.stats.sequential import BoolArray, Plan
from smoothcert.stats.simulate import SUM

_INFLATION = 1 + 1e-9  # that of `upper_bound`
_MOST = 10**15  # larger numbers of votes are reported as None


def votes_needed(r: float, sigma: float, alpha: float = 0.001) -> int | None:
    """Smallest n whose unanimous votes certify radius r in one look of `cohen` at level alpha.

    The least n with alpha^(1/n) >= Phi(r / sigma) (Cohen et al., ICML 2019, arXiv:1902.02918).

    Args:
        r: L2 radius > 0, in units of the [0, 1] range.
        sigma: noise standard deviation, > 0, in the same units.
        alpha: error probability, in (0, 1).

    Returns:
        A number of noise samples, or None if it exceeds 10^15.

    Raises:
        SpecError: if an argument is out of range.

    >>> [votes_needed(r, 0.25) for r in (0.25, 0.5, 0.75, 1.0)]
    [40, 301, 5114, 218105]
    >>> votes_needed(10.0, 0.25) is None
    True
    """
    if not r > 0:
        raise SpecError(f"expected a radius > 0, got {r}", code="E-SPEC-067")
    _check(sigma, alpha)
    miss = float(ndtr(-r / sigma)) / _INFLATION
    n = math.log(alpha) / math.log1p(-miss) if miss > 0 else math.inf
    return math.ceil(n) if n <= _MOST else None


def r_max_fixed(n: int, sigma: float, alpha: float = 0.001) -> float:
    """Largest radius of one look of `cohen` at n unanimous votes: sigma Phi^-1(alpha^(1/n)).

    Args:
        n: noise samples, >= 1.
        sigma: noise standard deviation, > 0, in units of the [0, 1] range.
        alpha: error probability, in (0, 1).

    Returns:
        An L2 radius in units of the [0, 1] range, not rounded; negative if n is too small to certify any radius.

    Raises:
        SpecError: if an argument is out of range.

    >>> [round(r_max_fixed(100_000, sigma), 6) for sigma in (0.25, 0.5, 1.0)]
    [0.952864, 1.905728, 3.811457]
    """
    _check(sigma, alpha)
    if n < 1:
        raise SpecError(f"expected n >= 1, got {n}", code="E-SPEC-068")
    return -sigma * float(ndtri(upper_bound(0, n, alpha)))


def _check(sigma: float, alpha: float) -> None:
    if not (sigma > 0 and 0 < alpha < 1):
        raise SpecError(f"expected sigma > 0 and alpha in (0, 1), got {sigma} and {alpha}", code="E-SPEC-069")


MOST = 10**9
"""Largest number of votes that is searched."""

_ROUGH, _HALVINGS = 26, 50  # of an interval of up to 10^11 votes
_WALK = 64


@dataclass(frozen=True)
class MissTest:
    """The test behind a certificate: certified where P(Binomial(n, most) <= misses) <= level.

    Attributes:
        most: probability of a miss that must be rejected.
        level: error level at which it is rejected.
    """

    most: float
    level: float

    def allowed(self, n: FloatArray) -> FloatArray:
        """Return the largest number of misses among n votes with which the label is certified; -1 if not even 0 is."""
        return _first(np.full(n.shape, -1.0), n, lambda misses: ~(_tail(misses, n, self.most) <= self.level)) - 1

    def power(self, n: FloatArray, miss: float) -> FloatArray:
        """Return the probability of a certificate from n votes, each of which misses with probability `miss`."""
        allowed = self.allowed(n)
        return np.where(allowed < 0, 0.0, _tail(np.clip(allowed, 0, n - 1), n, miss))

    def most_miss(self, n: FloatArray, target_power: float) -> FloatArray:
        """Return the largest probability of a miss at which n votes have the target power; 0 where there is none."""
        allowed = self.allowed(n)
        some = np.clip(allowed, 0, n - 1)
        return np.where(allowed < 0, 0.0, betainccinv(some + 1, n - some, target_power))

    def least_votes(self, miss: FloatArray, target_power: float) -> FloatArray:
        """Return the least n such that every number of votes from n on has the target power, or infinity.

        The power is lowest just before one more miss is allowed. Evaluated at the real-valued number of votes that
        allows one more, it increases with the misses (tested), so bisection finds the number of misses from which on it
        suffices. Whole numbers of votes are below the real-valued one: step down while they suffice too.
        """
        if self.most <= 0:
            return np.full(miss.shape, np.inf)
        top = np.full(miss.shape, np.ceil(MOST * self.most) + 1)

        def suffices(misses: FloatArray) -> BoolArray:
            lowest_power = _tail(misses, self._votes(misses + 1, _ROUGH), miss)
            return np.asarray(lowest_power >= target_power)

        misses = _first(np.full(miss.shape, -1.0), top, suffices)
        for _ in range(_WALK):
            before = np.maximum(misses - 1, 0)
            fewer = (misses > 0) & (_tail(before, self._whole_votes(before + 1) - 1, miss) >= target_power)
            if not fewer.any():
                break
            misses = np.where(fewer, before, misses)
        votes = self._whole_votes(misses)
        return np.where((miss < self.most) & (votes <= MOST), votes, np.inf)

    def _votes(self, misses: FloatArray, halvings: int = _HALVINGS) -> FloatArray:
        """Return the real-valued number of votes from which on this many misses are allowed, rounded up."""
        low, high = misses + 0.0, 2 * (misses + 1 - 2 * np.log(self.level)) / self.most  # enough, by Chernoff's bound
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
    """Return the test to which one look of a plan's bound reduces, where `is_exact`."""
    most = float(ndtr(ndtri(k / (k + 1)) - r / plan.sigma))
    level = plan.alpha
    if plan.bound == "simuem":
        level /= plan.classes
    elif plan.bound == "rankcp" and plan.classes > 2:
        level = float(split(np.array(plan.alpha), k)[0])
    return MissTest((most - plan.eta) / _INFLATION, level)


def is_exact(probabilities: FloatArray, plan: Plan, k: int) -> bool:
    """Whether at these probabilities (c,), label first, a certificate depends on the label's count alone."""
    if plan.bound == "cohen" or (plan.bound == "rankcp" and plan.classes == 2):
        return True
    return k == 1 and int(np.count_nonzero(probabilities[1:])) <= 1


def _tail(misses: FloatArray, n: FloatArray, p: ArrayLike) -> FloatArray:
    """Return P(Binomial(n, p) <= misses) for 0 <= misses < n; n may be real-valued."""
    tail: FloatArray = betaincc(misses + 1, n - misses, p)
    return tail


def _first(low: FloatArray, high: FloatArray, holds: Callable[[FloatArray], BoolArray]) -> FloatArray:
    """Return the least whole number above low, at most high, from which on a condition holds, by bisection."""
    while np.any(high - low > 1):
        middle = np.maximum(np.floor((low + high) / 2), low + 1)  # high itself where nothing is left to halve
        kept = holds(middle) | (middle >= high)
        low, high = np.where(kept, low, middle), np.where(kept, middle, high)
    return high


DRAWS = 4000
"""Simulated images behind one simulated power: its standard error is at most 0.008, and 0.0034 at 0.95."""

_FINE = 100  # a simulated number of votes is resolved to one part in _FINE


def power(
    n: ArrayLike, probabilities: ArrayLike, r: float, plan: Plan, k: int = 1, rng: np.random.Generator | None = None
) -> FloatArray:
    """Probability that one look of n votes certifies radius r.

    Args:
        n: int (...): votes, >= 1.
        probabilities: float (c,): true class probabilities, class 0 the label, as from `probabilities_at`.
        r: L2 radius > 0, in units of the [0, 1] range.
        plan: alpha, bound, classes, sigma and eta; its looks are not used.
        k: rank of the certificate, 1 <= k < c.
        rng: random number generator that simulates `DRAWS` images where the power is not exact (see the module).

    Returns:
        float64 (...): exact, or the simulated share.

    Raises:
        SpecError: if an argument is out of range, or the power is not exact and there is no rng.

    >>> plan = Plan((100_000,), 0.001, "cohen", classes=3, sigma=0.5)
    >>> power([18, 19, 1000], [0.99, 0.01, 0.0], 0.25, plan).round(4).tolist()
    [0.0, 0.8262, 1.0]
    """
    p, votes = _checked(probabilities, r, plan), np.asarray(n, dtype=np.int64)
    if np.any(votes < 1):
        raise SpecError("expected n >= 1 votes", code="E-SPEC-070")
    if is_exact(p, plan, k):
        return miss_test(r, plan, k).power(votes.astype(np.float64), float(p[1:].sum()))
    shares = [_simulated(int(each), p, r, plan, (k, _needed(rng))) for each in votes.ravel()]
    return np.array(shares).reshape(votes.shape)


def samples_needed(
    probabilities: ArrayLike,
    r: float,
    plan: Plan,
    k: int = 1,
    target_power: float = 0.95,
    rng: np.random.Generator | None = None,
) -> FloatArray:
    """Smallest n from which on one look of n votes certifies radius r with a target power.

    The power of an exact binomial test is a sawtooth in n: it decreases while the allowed misses stay the same. The
    result is the least n such that every larger number of votes has the target power too: exact up to about 10^5 votes,
    at most 0.1 % too large beyond. Where the power is simulated, n is found by bisection, to about 2 %.

    Args:
        probabilities: float (..., c): true class probabilities, class 0 the label, as from `probabilities_at`.
        r: L2 radius > 0, in units of the [0, 1] range.
        plan: alpha, bound, classes, sigma and eta; its looks are not used.
        k: rank of the certificate, 1 <= k < c.
        target_power: the target power, in (0, 1).
        rng: random number generator where the power is not exact, as in `power`.

    Returns:
        float64 (...): whole numbers; infinite where more than `MOST` votes would be needed or no number suffices.

    Raises:
        SpecError: if an argument is out of range, or the power is not exact and there is no rng.

    >>> plan = Plan((100_000,), 0.001, "cohen", classes=3, sigma=0.5)
    >>> samples_needed([[1, 0, 0], [0.95, 0.05, 0], [0.9, 0.1, 0], [0.69, 0.31, 0]], 0.25, plan).tolist()
    [19.0, 48.0, 89.0, inf]
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if not 0 < target_power < 1:
        raise SpecError(f"expected a power strictly between 0 and 1, got {target_power}", code="E-SPEC-071")
    rows = [_checked(row, r, plan) for row in p.reshape(-1, p.shape[-1])]
    if all(is_exact(row, plan, k) for row in rows):
        found = miss_test(r, plan, k).least_votes(np.array([row[1:].sum() for row in rows]), target_power)
    else:
        found = np.array([_search(row, r, plan, (k, _needed(rng)), target_power) for row in rows])
    return found.reshape(p.shape[:-1])


def least_margin(n: ArrayLike, r: float, plan: Plan, target_power: float = 0.95) -> FloatArray:
    """Smallest margin at which one look of n votes certifies radius r with a target power; k = 1, one rival.

    The margin is (R - r) / sigma = Phi^-1(p) - r / sigma, where R is the radius at the true probability p.

    Args:
        n: int (...): votes, >= 1.
        r: L2 radius > 0, in units of the [0, 1] range.
        plan: alpha, bound, classes, sigma and eta; its looks are not used.
        target_power: the target power, in (0, 1).

    Returns:
        float64 (...): margins in units of sigma; infinite where n unanimous votes do not certify r.

    Raises:
        SpecError: if an argument is out of range.

    >>> plan = Plan((100_000,), 0.001, "cohen", classes=3, sigma=0.5)
    >>> least_margin([10, 100, 10_000], 0.25, plan).round(3).tolist()
    [inf, 0.72, 0.063]
    """
    _checked([1.0] + [0.0] * (plan.classes - 1), r, plan)
    miss = miss_test(r, plan, 1).most_miss(np.asarray(n, dtype=np.float64), target_power)
    return np.asarray(-ndtri(miss) - r / plan.sigma)


def _search(p: FloatArray, r: float, plan: Plan, how: tuple[int, np.random.Generator], target_power: float) -> float:
    """Double and bisect n on simulated power; beyond the true radius the power is at most alpha, whatever n."""
    k, miss = how[0], np.asarray(p[1:].sum())
    if target_power > plan.alpha and not certified_at(Bounds(miss, np.sort(p[1:])[: -k - 1 : -1]), r, plan.sigma):
        return np.inf
    low, high = 0, 16
    while _simulated(high, p, r, plan, how) < target_power:
        low, high = high, 2 * high
        if low >= MOST:
            return np.inf
    while high - low > max(1, high // _FINE):
        middle = (low + high) // 2
        low, high = (low, middle) if _simulated(middle, p, r, plan, how) >= target_power else (middle, high)
    return float(high)


def _simulated(n: int, p: FloatArray, r: float, plan: Plan, how: tuple[int, np.random.Generator]) -> float:
    k, rng = how
    present = p[: max(int(np.flatnonzero(p)[-1]), k) + 1]  # most of a thousand classes have probability 0
    counts = rng.multinomial(n, present / present.sum(), DRAWS)
    found = bounds(tally(counts, np.zeros(DRAWS, dtype=np.int64), k), plan.alpha, k, plan.bound, plan.classes)
    return float(certified_at(found, r, plan.sigma, plan.eta).mean())


def _needed(rng: np.random.Generator | None) -> np.random.Generator:
    if rng is None:
        raise SpecError(
            "the power is not exact for several rivals with this bound: pass rng, a numpy Generator", code="E-SPEC-072"
        )
    return rng


def _checked(probabilities: ArrayLike, r: float, plan: Plan) -> FloatArray:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.shape != (plan.classes,) or np.any(p < 0) or not abs(p.sum() - 1) <= SUM:
        raise SpecError(
            f"expected {plan.classes} probabilities >= 0 that sum to 1; divide the counts by their sum",
            code="E-SPEC-073",
        )
    if not r > 0:
        raise SpecError(f"expected a radius > 0, got {r}", code="E-SPEC-067")
    return p
