"""Class probabilities at which unlimited votes would certify a given radius: the margins of sample-size questions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray
from smoothcert.stats.bounds import Bounds
from smoothcert.stats.radius import radius

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
