"""How many votes a radius needs where the true class probabilities are known: the power of one look.

In one look of n votes the label is certified at r if its misses are few enough. Where only the label's count matters,
the number of misses is binomial, and power and sample size are exact:

* `cohen`, any k: the label alone is bounded. The misses allowed are those with U(misses, n, alpha) <= t,
  t = Phi(Phi^-1(k / (k + 1)) - r / sigma), as all k rivals share the bound q of the label's complement.
* `rankcp` and `simuem`, k = 1, one rival: the rival has every miss, so its bound is at least q and q decides, at
  level 0.7 alpha (`rankcp`; all of alpha with two classes) or alpha / c (`simuem`). Of all ways to split the misses at
  the same label probability this is the hardest one to certify: elsewhere it gives a lower limit of the power.

Everything else is simulated with a generator the caller gives. Class 0 is the label throughout.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray
from smoothcert.stats.bounds import Bounds, bounds, tally
from smoothcert.stats.onelook import MOST, is_exact, miss_test
from smoothcert.stats.plan import Plan
from smoothcert.stats.radius import certified_at
from smoothcert.stats.simulation import SUM

DRAWS = 4000
"""Simulated images behind one simulated power: its standard error is at most 0.008, and 0.0034 at 0.95."""

_FINE = 100  # a simulated number of votes is searched to one part in so many


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
        rng: simulates `DRAWS` images where the power is not exact (see the module); not used where it is.

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
        raise SpecError("expected n >= 1 votes")
    if is_exact(p, plan, k):
        return miss_test(r, plan, k).power(votes.astype(np.float64), float(p[1:].sum()))
    shares = [_simulated(int(each), p, r, plan, (k, _needed(rng))) for each in votes.ravel()]
    return np.array(shares).reshape(votes.shape)


def copies_needed(
    probabilities: ArrayLike,
    r: float,
    plan: Plan,
    k: int = 1,
    wanted: float = 0.95,
    rng: np.random.Generator | None = None,
) -> FloatArray:
    """Votes of one look that certify radius r with a wanted power, whatever larger number is drawn instead.

    The power of an exact binomial test is a sawtooth in n: it falls while the misses allowed stay the same. Returned is
    the least n from which on every n has the wanted power: exactly so up to about 10^5 votes, and at most one in a
    thousand too many beyond. Where the power is simulated, it is the least n of a bisection, about 2 % to either side.

    Args:
        probabilities: float (..., c): true class probabilities, class 0 the label, as from `probabilities_at`.
        r: L2 radius > 0, in units of the [0, 1] range.
        plan: alpha, bound, classes, sigma and eta; its looks are not used.
        k: rank of the certificate, 1 <= k < c.
        wanted: the power, in (0, 1).
        rng: simulates where the power is not exact, as in `power`.

    Returns:
        float64 (...): whole numbers; infinite where more than `MOST` votes would be needed, or none suffices.

    Raises:
        SpecError: if an argument is out of range, or the power is not exact and there is no rng.

    >>> plan = Plan((100_000,), 0.001, "cohen", classes=3, sigma=0.5)
    >>> copies_needed([[1, 0, 0], [0.95, 0.05, 0], [0.9, 0.1, 0], [0.69, 0.31, 0]], 0.25, plan).tolist()
    [19.0, 48.0, 89.0, inf]
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if not 0 < wanted < 1:
        raise SpecError(f"expected a power strictly between 0 and 1, got {wanted}")
    rows = [_checked(row, r, plan) for row in p.reshape(-1, p.shape[-1])]
    if all(is_exact(row, plan, k) for row in rows):
        found = miss_test(r, plan, k).least_votes(np.array([row[1:].sum() for row in rows]), wanted)
    else:
        found = np.array([_search(row, r, plan, (k, _needed(rng)), wanted) for row in rows])
    return found.reshape(p.shape[:-1])


def least_margin(n: ArrayLike, r: float, plan: Plan, wanted: float = 0.95) -> FloatArray:
    """The margin from which one look of n votes certifies radius r with a wanted power; k = 1, one rival.

    The margin is (R - r) / sigma = Phi^-1(p) - r / sigma, where R is the radius at the true probability p.

    Args:
        n: int (...): votes, >= 1.
        r: L2 radius > 0, in units of the [0, 1] range.
        plan: alpha, bound, classes, sigma and eta; its looks are not used.
        wanted: the power, in (0, 1).

    Returns:
        float64 (...): margins in units of sigma; infinite where n unanimous votes do not certify r.

    Raises:
        SpecError: if an argument is out of range.

    >>> plan = Plan((100_000,), 0.001, "cohen", classes=3, sigma=0.5)
    >>> least_margin([10, 100, 10_000], 0.25, plan).round(3).tolist()
    [inf, 0.72, 0.063]
    """
    _checked([1.0] + [0.0] * (plan.classes - 1), r, plan)
    miss = miss_test(r, plan, 1).most_miss(np.asarray(n, dtype=np.float64), wanted)
    return np.asarray(-ndtri(miss) - r / plan.sigma)


def _search(p: FloatArray, r: float, plan: Plan, how: tuple[int, np.random.Generator], wanted: float) -> float:
    """Double and bisect on simulated power; beyond the true radius it is at most alpha, with any number of votes."""
    k, miss = how[0], np.asarray(p[1:].sum())
    if wanted > plan.alpha and not certified_at(Bounds(miss, np.sort(p[1:])[: -k - 1 : -1]), r, plan.sigma):
        return np.inf
    low, high = 0, 16
    while _simulated(high, p, r, plan, how) < wanted:
        low, high = high, 2 * high
        if low >= MOST:
            return np.inf
    while high - low > max(1, high // _FINE):
        middle = (low + high) // 2
        low, high = (low, middle) if _simulated(middle, p, r, plan, how) >= wanted else (middle, high)
    return float(high)


def _simulated(n: int, p: FloatArray, r: float, plan: Plan, how: tuple[int, np.random.Generator]) -> float:
    k, rng = how
    present = p[: max(int(np.flatnonzero(p)[-1]), k) + 1]  # with a thousand classes most have no votes
    counts = rng.multinomial(n, present / present.sum(), DRAWS)
    found = bounds(tally(counts, np.zeros(DRAWS, dtype=np.int64), k), plan.alpha, k, plan.bound, plan.classes)
    return float(certified_at(found, r, plan.sigma, plan.eta).mean())


def _needed(rng: np.random.Generator | None) -> np.random.Generator:
    if rng is None:
        raise SpecError("the power is not exact for several rivals with this bound: pass rng, a numpy Generator")
    return rng


def _checked(probabilities: ArrayLike, r: float, plan: Plan) -> FloatArray:
    p = np.asarray(probabilities, dtype=np.float64)
    if p.shape != (plan.classes,) or np.any(p < 0) or not abs(p.sum() - 1) <= SUM:
        raise SpecError(f"expected {plan.classes} probabilities >= 0 that sum to 1; divide the counts by their sum")
    if not r > 0:
        raise SpecError(f"expected a radius > 0, got {r}")
    return p
