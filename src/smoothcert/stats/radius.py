"""From bounds to a certified L2 radius: Theorem 1 of Cohen et al. and of Jia et al., and its inverse.

Given q and the upper bounds u_1 >= ... >= u_k of the k most probable rivals, the label stays among the k most probable
classes of the smoothed classifier at x + d for every ||d||_2 < R, where R = max over t = 1..k of R_t and R_t solves

    Phi(Phi^-1(pA) - R_t / sigma) = Phi(Phi^-1(S_t) + R_t / sigma) / t,   S_t = min(u_(k-t+1) + ... + u_k, q).

For t = 1 this is R_1 = sigma / 2 (Phi^-1(pA) - Phi^-1(S_1)); for k = 1 and S_1 = q = 1 - pA, R = sigma Phi^-1(pA).
Sources: Cohen, Rosenfeld and Kolter, ICML 2019, arXiv:1902.02918 (k = 1); Jia, Cao, Wang and Gong, ICLR 2020,
arXiv:1912.09899 (k >= 1).

`radius` and `certified_at` turn bounds into radii. `probabilities_at` is the inverse, for questions of sample size: the
class probabilities at which unlimited samples would certify a given radius.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray
from smoothcert.stats.bounds import Bounds

_TINY = 1e-300  # replaces a bound of exactly 0, which has no normal quantile; on the safe side


def radius(bounds: Bounds, sigma: float, eta: float = 0.0) -> FloatArray:
    """Largest certified L2 radius: t = 1 in closed form, t > 1 by bisection, whose lower end is returned.

    Args:
        bounds: q (...) and u (..., k), in [0, 1].
        sigma: noise standard deviation, > 0, in units of the [0, 1] range.
        eta: total-variation distance between the noise drawn and Gaussian noise, for one noisy image, >= 0; added once
            to q and once to each sum S_t.

    Returns:
        float64 (...): radius in units of the [0, 1] range; <= 0 is an abstention, -inf where q + eta >= 1.

    Raises:
        SpecError: if sigma <= 0 or eta < 0.

    >>> b = Bounds(np.array([0.05, 0.4, 1.0]), np.array([[0.05], [0.3], [1.0]]))
    >>> radius(b, sigma=0.5).round(6).tolist()
    [0.822427, 0.194437, -inf]
    """
    _check(sigma, eta)
    z, abstains = _label_quantile(bounds, eta)
    best = np.full(z.shape, -np.inf)
    for t, s in _rival_quantiles(bounds, eta):
        middle = (z - s) / 2
        best = np.maximum(best, middle if t == 1 else _solve(z, s, t))
    return np.where(abstains, -np.inf, sigma * best)


def certified_at(bounds: Bounds, r: float, sigma: float, eta: float = 0.0) -> NDArray[np.bool_]:
    """Whether the label is certified for every perturbation with L2 norm below r, decided without a root finder.

    Args:
        bounds: q (...) and u (..., k), in [0, 1].
        r: one L2 radius >= 0, in units of the [0, 1] range; r = 0 means any positive radius.
        sigma: noise standard deviation, > 0, in the same units.
        eta: total-variation distance of the noise drawn from Gaussian noise, as in `radius`.

    Returns:
        bool (...).

    Raises:
        SpecError: if sigma <= 0, eta < 0 or r < 0.

    >>> b = Bounds(np.array([0.05, 0.4]), np.array([[0.05], [0.3]]))
    >>> certified_at(b, 0.25, sigma=0.5).tolist()
    [True, False]
    """
    _check(sigma, eta)
    if not r >= 0:
        raise SpecError(f"expected a radius >= 0, got {r}", code="E-SPEC-082")
    z, abstains = _label_quantile(bounds, eta)
    kept = np.zeros(z.shape, dtype=np.bool_)
    for t, s in _rival_quantiles(bounds, eta):
        margin = z - s - 2 * r / sigma if t == 1 else _margin(z, s, t, r / sigma)
        kept |= margin > 0 if r == 0 else margin >= 0
    return kept & ~abstains


def _check(sigma: float, eta: float) -> None:
    if not sigma > 0:
        raise SpecError(f"expected sigma > 0, got {sigma}", code="E-SPEC-083")
    if not eta >= 0:
        raise SpecError(f"expected eta >= 0, got {eta}", code="E-SPEC-084")


def _label_quantile(bounds: Bounds, eta: float) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return z = Phi^-1(pA), and where there is none (q + eta >= 1); z is a finite placeholder there."""
    q = bounds.q + eta
    abstains = np.asarray(q >= 1)
    z: FloatArray = -ndtri(np.where(abstains, 0.5, np.maximum(q, _TINY)))
    return z, abstains


def _rival_quantiles(bounds: Bounds, eta: float) -> Iterator[tuple[int, FloatArray]]:
    """Yield (t, Phi^-1(S_t)) for t = 1..k, with placeholders where q + eta >= 1."""
    q = np.where(bounds.q + eta >= 1, 0.5, bounds.q)
    sums = np.cumsum(bounds.u[..., ::-1], axis=-1)
    for t in range(1, bounds.u.shape[-1] + 1):
        s = np.minimum(sums[..., t - 1], q) + eta
        yield t, ndtri(np.maximum(s, _TINY))


def _margin(z: FloatArray, s: FloatArray, t: int, r: FloatArray | float) -> FloatArray:
    """Return log of the label's least probability at r minus log of the weakest rival's greatest; decreasing in r."""
    margin: FloatArray = log_ndtr(z - r) - log_ndtr(s + r) + np.log(t)
    return margin


def _solve(z: FloatArray, s: FloatArray, t: int) -> FloatArray:
    """Return R_t / sigma by bisection, lower end.

    The bracket: at (z - s)/2 the margin is log t >= 0. At (z - s)/2 + d it is log of t Phi(m - d) / Phi(m + d) with
    m = (z + s)/2 <= 0 (as S_t <= q); Phi is log-concave, so the ratio increases in m and is at most t Phi(-d) / Phi(d),
    which is below 1 once Phi(-d) < 1 / (t + 1).
    """
    low = (z - s) / 2
    high = low - ndtri(1 / (t + 1)) + 1e-6
    for _ in range(52):
        mid = (low + high) / 2
        kept = _margin(z, s, t, mid) >= 0
        low, high = np.where(kept, mid, low), np.where(kept, high, mid)
    return low


_FAR = 38.0  # Phi(-38) is still above zero as a float


def probabilities_at(
    scaled_radius: ArrayLike, classes: int, k: int = 1, rivals: Sequence[float] | FloatArray | None = None
) -> FloatArray:
    """Class probabilities at which the radius of class 0 is exactly R: what unlimited samples would certify.

    An image with R / sigma = r / sigma + margin exceeds the radius r by that margin, in units of sigma. For k = 1 and
    one rival, R / sigma = Phi^-1(p).

    Args:
        scaled_radius: float (...): R / sigma, negative where the label is not among the k most probable classes.
        classes: number of classes c.
        k: rank of the certificate, 1 <= k < c.
        rivals: float (s,), s < c: how the remaining probability is split among rivals: at least k shares above 0 (fewer
            rivals could not displace the label), which sum to 1. Default: equal shares for k rivals.

    Returns:
        float64 (..., c): the label first, then the rivals in their order, then classes of probability 0.

    Raises:
        SpecError: if k or the rivals do not fit the classes.

    >>> probabilities_at([0.0, 1.0], classes=3).round(4).tolist()
    [[0.5, 0.5, 0.0], [0.8413, 0.1587, 0.0]]
    >>> probabilities_at(1.0, classes=4, k=2).round(4).tolist()
    [0.7154, 0.1423, 0.1423, 0.0]
    """
    shares = np.full(k, 1 / max(k, 1)) if rivals is None else np.asarray(rivals, dtype=np.float64)
    if not 1 <= k < classes:
        raise SpecError(
            f"expected 1 <= k < {classes} (the number of classes), got k = {k}; choose a smaller k", code="E-SPEC-037"
        )
    if len(shares) >= classes or np.any(shares < 0) or not np.isclose(shares.sum(), 1):
        raise SpecError(f"expected shares of at most {classes - 1} rivals, each >= 0, that sum to 1", code="E-SPEC-086")
    if np.count_nonzero(shares) < k:
        raise SpecError(
            f"expected at least k = {k} rivals with a share above 0, got {np.count_nonzero(shares)}", code="E-SPEC-087"
        )
    target = np.asarray(scaled_radius, dtype=np.float64)
    z = _quantile(target, np.sort(shares)[::-1][:k])
    p = np.zeros((*target.shape, classes))
    p[..., 0] = ndtr(z)
    p[..., 1 : len(shares) + 1] = ndtr(-z)[..., None] * shares
    return p


def _quantile(target: FloatArray, strongest: FloatArray) -> FloatArray:
    """Return Phi^-1 of the label's probability by bisection; `strongest`: the k largest shares, in descending order."""
    if strongest[0] == 1 and len(strongest) == 1:
        return target
    low, high = np.full(target.shape, -_FAR), np.full(target.shape, _FAR)
    for _ in range(60):
        middle = (low + high) / 2
        miss = ndtr(-middle)
        enough = radius(Bounds(miss, miss[..., None] * strongest), sigma=1.0) >= target
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high
