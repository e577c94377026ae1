"""From bounds to a certified L2 radius (Cohen et al., ICML 2019, Thm 1; Jia et al., ICLR 2020, Thm 1), and back.

`radius` and `certified_at` turn bounds on class probabilities into radii. `probabilities_at` is the inverse: class
probabilities at which unlimited samples would certify a given radius, for questions of sample size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray
from smoothcert.stats.bounds import Bounds

_TINY = 1e-300  # stands in for a bound of exactly 0, which has no normal quantile; on the safe side


def radius(bounds: Bounds, sigma: float, eta: float = 0.0) -> FloatArray:
    """Largest certified L2 radius; t = 1 in closed form, t > 1 by bisection, of which the lower end counts.

    Args:
        bounds: q (...) and u (..., k), in [0, 1].
        sigma: noise standard deviation, > 0, in units of the [0, 1] range.
        eta: total-variation distance between the noise drawn and the ideal Gaussian noise, for one image;
            added once to q and once to each rival sum.

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
    """Decide whether every change with L2 norm below r keeps the label, without any root finder.

    Args:
        bounds: q (...) and u (..., k), in [0, 1].
        r: one L2 radius >= 0, in units of the [0, 1] range; r = 0 asks for a radius above 0.
        sigma: noise standard deviation, > 0, in the same units.
        eta: total-variation distance of the noise drawn, as in `radius`.

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
        raise SpecError(f"expected a radius >= 0, got {r}")
    z, abstains = _label_quantile(bounds, eta)
    kept = np.zeros(z.shape, dtype=np.bool_)
    for t, s in _rival_quantiles(bounds, eta):
        margin = z - s - 2 * r / sigma if t == 1 else _margin(z, s, t, r / sigma)
        kept |= margin > 0 if r == 0 else margin >= 0
    return kept & ~abstains


def _check(sigma: float, eta: float) -> None:
    if not sigma > 0:
        raise SpecError(f"expected sigma > 0, got {sigma}")
    if not eta >= 0:
        raise SpecError(f"expected eta >= 0, got {eta}")


def _label_quantile(bounds: Bounds, eta: float) -> tuple[FloatArray, NDArray[np.bool_]]:
    """z of the label, and where there is none (q + eta >= 1); those entries hold a finite stand-in."""
    q = bounds.q + eta
    abstains = np.asarray(q >= 1)
    z: FloatArray = -ndtri(np.where(abstains, 0.5, np.maximum(q, _TINY)))
    return z, abstains


def _rival_quantiles(bounds: Bounds, eta: float) -> Iterator[tuple[int, FloatArray]]:
    """(t, Phi^-1(S_t)) for t = 1..k, with stand-ins where the label abstains."""
    q = np.where(bounds.q + eta >= 1, 0.5, bounds.q)
    sums = np.cumsum(bounds.u[..., ::-1], axis=-1)
    for t in range(1, bounds.u.shape[-1] + 1):
        s = np.minimum(sums[..., t - 1], q) + eta
        yield t, ndtri(np.maximum(s, _TINY))


def _margin(z: FloatArray, s: FloatArray, t: int, r: FloatArray | float) -> FloatArray:
    """log of the label's least probability at r, less the log of the weakest rival's greatest; falls in r."""
    margin: FloatArray = log_ndtr(z - r) - log_ndtr(s + r) + np.log(t)
    return margin


def _solve(z: FloatArray, s: FloatArray, t: int) -> FloatArray:
    """R_t / sigma by bisection, lower end.

    The bracket: at (z - s)/2 the margin is log t >= 0. At (z - s)/2 + d it is log of
    t Phi(m - d) / Phi(m + d) with m = (z + s)/2 <= 0 (as S_t <= q); Phi is log-concave, so the ratio grows
    in m and is at most t Phi(-d) / Phi(d), which is below 1 once Phi(-d) < 1 / (t + 1).
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
    reach: ArrayLike, classes: int, k: int = 1, rivals: Sequence[float] | FloatArray | None = None
) -> FloatArray:
    """Probabilities with which class 0 stays among the k most probable classes up to exactly a given radius.

    The reach is R / sigma, R the radius at the true probabilities: what unlimited votes would certify. An image with
    reach r / sigma + margin has that margin, in units of sigma, over the radius r. For k = 1 and one rival,
    reach = Phi^-1(p).

    Args:
        reach: float (...): R / sigma, negative where the label is not among the k most probable.
        classes: number of classes c.
        k: rank of the certificate, 1 <= k < c.
        rivals: float (s,), s < c: how the rest of the probability is split among rivals: at least k shares above 0
            (fewer rivals could not drive the label out), their sum 1; left out, equally among k of them.

    Returns:
        float64 (..., c): the label first, then the rivals in their order, then classes without a vote.

    Raises:
        SpecError: if k or the rivals do not fit the classes.

    >>> probabilities_at([0.0, 1.0], classes=3).round(4).tolist()
    [[0.5, 0.5, 0.0], [0.8413, 0.1587, 0.0]]
    >>> probabilities_at(1.0, classes=4, k=2).round(4).tolist()
    [0.7154, 0.1423, 0.1423, 0.0]
    """
    shares = np.full(k, 1 / max(k, 1)) if rivals is None else np.asarray(rivals, dtype=np.float64)
    if not 1 <= k < classes:
        raise SpecError(f"expected 1 <= k < {classes} (the number of classes), got k = {k}; choose a smaller k")
    if len(shares) >= classes or np.any(shares < 0) or not np.isclose(shares.sum(), 1):
        raise SpecError(f"expected shares of at most {classes - 1} rivals, each >= 0, that sum to 1")
    if np.count_nonzero(shares) < k:
        raise SpecError(f"expected at least k = {k} rivals with a share above 0, got {np.count_nonzero(shares)}")
    wanted = np.asarray(reach, dtype=np.float64)
    z = _quantile(wanted, np.sort(shares)[::-1][:k])
    found = np.zeros((*wanted.shape, classes))
    found[..., 0] = ndtr(z)
    found[..., 1 : len(shares) + 1] = ndtr(-z)[..., None] * shares
    return found


def _quantile(reach: FloatArray, strongest: FloatArray) -> FloatArray:
    """Phi^-1 of the label's probability, by bisection; the k strongest rivals' shares of the rest in falling order."""
    if strongest[0] == 1 and len(strongest) == 1:
        return reach
    low, high = np.full(reach.shape, -_FAR), np.full(reach.shape, _FAR)
    for _ in range(60):
        middle = (low + high) / 2
        miss = ndtr(-middle)
        far = radius(Bounds(miss, miss[..., None] * strongest), sigma=1.0) >= reach
        low, high = np.where(far, low, middle), np.where(far, middle, high)
    return high
