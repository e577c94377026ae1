"""Exact binomial bounds: the numerical primitive that everything else is built on.

No error level is formed as 1 - a, and no probability near one is formed: the lower bound pA of a label's probability is
kept as the upper bound q = 1 - pA of its complement.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc, betaincc, betainccinv, ndtr

from smoothcert.errors import SpecError
from smoothcert.stats.rounding import format_down, format_up, round_down, round_up

__all__ = [
    "format_down",
    "format_up",
    "gamma_quantile",
    "interval",
    "lower_bound",
    "round_down",
    "round_up",
    "sign_test",
    "upper_bound",
]

FloatArray = NDArray[np.float64]

_TRUSTED = 1e-10  # relative error of SciPy's inverse, in its level, above which it is replaced by bisection
_FEW = 64  # values from which on sorting out repeated ones pays
_INFLATION = 1e-9  # relative; turns a two-sided numerical error into one on the safe side


def upper_bound(x: ArrayLike, n: ArrayLike, a: ArrayLike) -> FloatArray:
    """One-sided Clopper-Pearson upper bound U(x, n, a): the (1 - a)-quantile of Beta(x + 1, n - x).

    Clopper and Pearson, Biometrika 26, 1934, doi:10.1093/biomet/26.4.404. SciPy's inverse errs on either side (5.7e-10
    relative too small at x = 999, n = 100,000, a = 2.1e-4; a factor 2.5 too large at x = 999, n = 87,318, a = 0.001).
    Its value is therefore checked, replaced by bisection where it misses, inflated by 1e-9 and checked again: the
    result is never below the true quantile.

    Args:
        x: successes, 0 <= x <= n; may be real-valued (projections of future votes); any shape.
        n: trials, n >= 0, broadcast against x; n = 0 gives 1.
        a: error level in (0, 1), broadcast against x.

    Returns:
        float64 array of the broadcast shape, in (0, 1]; P(p > U) <= a for x ~ Binomial(n, p).

    Raises:
        SpecError: if x is outside [0, n] or a outside (0, 1).

    >>> print(f"{float(upper_bound(0, 100_000, 0.001)):.6e}")
    6.907517e-05
    >>> upper_bound([3, 5], 5, 0.05).round(6).tolist()
    [0.92356, 1.0]
    """
    x, n, a = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (x, n, a)))
    if not np.all((x >= 0) & (x <= n)):
        raise SpecError(
            "expected 0 <= successes <= trials, got counts outside that range; check the votes", code="E-SPEC-054"
        )
    if not np.all((a > 0) & (a < 1)):
        raise SpecError(
            "expected an error level strictly between 0 and 1; pass for example alpha = 0.001", code="E-SPEC-055"
        )
    if x.size > _FEW and n.min() == n.max() and a.min() == a.max():  # at one look, many images have equal counts
        distinct, inverse = np.unique(x, return_inverse=True)
        return _bound(distinct, n.flat[0], a.flat[0])[inverse].reshape(x.shape)
    return _bound(x, n, a)


def _bound(x: FloatArray, n: FloatArray, a: FloatArray) -> FloatArray:
    x, n, a = np.broadcast_arrays(x, n, a)
    bound = np.ones(x.shape)
    inside = x < n
    bound[inside] = _quantile(x[inside] + 1, (n - x)[inside], a[inside])
    return bound


def _quantile(p: FloatArray, q: FloatArray, a: FloatArray) -> FloatArray:
    """Return the upper a-quantile of Beta(p, q), rounded to the safe (upper) side; 1-d arrays."""
    u = np.asarray(betainccinv(p, q, a), dtype=np.float64)
    off = ~(np.abs(betaincc(p, q, u) / a - 1) <= _TRUSTED)
    u[off] = _bisect(p[off], q[off], a[off])
    u = np.minimum(1.0, u * (1 + _INFLATION))
    unproven = ~(betaincc(p, q, u) <= a * (1 - 1e-11))
    return np.where(unproven, 1.0, u)


def _bisect(p: FloatArray, q: FloatArray, a: FloatArray) -> FloatArray:
    """Return the quantile by bisection on the tail itself: the upper end, to about 1e-14 relative."""
    low, high = np.zeros_like(p), np.ones_like(p)
    while np.any(high - low > 1e-14 * high):
        mid = (low + high) / 2
        above = betaincc(p, q, mid) <= a
        low, high = np.where(above, low, mid), np.where(above, mid, high)
        if np.all((mid == low) & (mid == high)):
            break
    return high


def lower_bound(x: ArrayLike, n: ArrayLike, a: ArrayLike) -> FloatArray:
    """One-sided Clopper-Pearson lower bound, 1 - U(n - x, n, a), rounded down.

    For printing and projections only: near one, use the complement `upper_bound(n - x, n, a)`. The difference is
    stepped down by one float, so that rounding cannot lift it above the true bound.

    Args:
        x: successes, 0 <= x <= n; any shape.
        n: trials, broadcast against x; n = 0 gives 0.
        a: error level in (0, 1), broadcast against x.

    Returns:
        float64 array of the broadcast shape, in [0, 1).

    Raises:
        SpecError: if x is outside [0, n] or a outside (0, 1).

    >>> float(lower_bound(2400, 4000, 0.05).round(6))
    0.587083
    >>> float(lower_bound(0, 10, 0.05))
    0.0
    """
    miss = np.asarray(n, dtype=np.float64) - np.asarray(x, dtype=np.float64)
    return np.maximum(0.0, np.nextafter(1 - upper_bound(miss, n, a), -1.0))


def interval(s: int, m: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided Clopper-Pearson interval of a proportion (doi:10.1093/biomet/26.4.404).

    Args:
        s: successes, 0 <= s <= m.
        m: trials, m >= 0.
        confidence: coverage in (0, 1).

    Returns:
        (low, high), low rounded down and high rounded up in the last digits of a float.

    Raises:
        SpecError: if s is outside [0, m] or the confidence outside (0, 1).

    >>> low, high = interval(8, 10)
    >>> round(low, 4), round(high, 4)
    (0.4439, 0.9748)
    """
    tail = (1 - confidence) / 2
    return float(lower_bound(s, m, tail)), float(upper_bound(s, m, tail))


def sign_test(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Exact two-sided binomial test of a successes out of a + b at probability 1/2.

    The test of PREDICT (Cohen et al., arXiv:1902.02918; Hung and Fithian 2019, arXiv:1610.03944):
    p = min(1, 2 P(X >= max(a, b))), X ~ Binomial(a + b, 1/2).

    Args:
        a: int (...), votes of one class, >= 0.
        b: int (...), votes of the other class, >= 0.

    Returns:
        float64 (...): p-values in (0, 1]; 1 where a + b = 0.

    Raises:
        SpecError: if a count is negative.

    >>> sign_test([11, 10, 0], 0).round(6).tolist()
    [0.000977, 0.001953, 1.0]
    """
    a, b = np.broadcast_arrays(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    if not np.all((a >= 0) & (b >= 0)):
        raise SpecError("expected votes >= 0, got a negative count; check the votes", code="E-SPEC-056")
    more, less = np.maximum(a, b), np.minimum(a, b)
    tail: FloatArray = betainc(np.maximum(more, 1), less + 1, 0.5)
    return np.where(more == less, 1.0, np.minimum(1.0, 2 * tail))


POINTS = np.arange(-3.75, 4, 0.5)
"""Normal quantiles of 16 points of a posterior."""
MASSES = ndtr(POINTS + 0.25) - ndtr(POINTS - 0.25)
"""Probability of each."""


def gamma_quantile(votes: NDArray[np.int64], z: FloatArray) -> FloatArray:
    """Return quantiles of Gamma(votes + 1/2) at normal quantiles z: for stopping rules, which affect power only.

    The posterior, after Jeffreys' prior, of the rate of a class whose votes are taken as Poisson; probabilities are
    rates divided by their sum. By the approximation of Wilson and Hilferty (PNAS 17, 1931, doi:10.1073/pnas.17.12.684).

    Args:
        votes: int64 (m,), >= 0.
        z: float (q,).

    Returns:
        float64 (m, q), > 0.

    >>> gamma_quantile(np.array([0, 100]), np.array([0.0, 2.0])).round(1).tolist()
    [[0.2, 2.5], [100.2, 121.5]]
    """
    a = votes[:, None] + 0.5
    root = 1 - 1 / (9 * a) + z / (3 * np.sqrt(a))
    quantile: FloatArray = a * np.maximum(root, 0.02) ** 3
    return quantile
