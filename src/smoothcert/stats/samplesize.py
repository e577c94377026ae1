"""How many votes a radius needs, and how far a number of votes can reach: one look of Cohen's bound."""

from __future__ import annotations

import math

from scipy.special import ndtr, ndtri

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import upper_bound

_INFLATION = 1 + 1e-9  # that of `upper_bound`
_MOST = 10**15  # beyond this no number of votes is meant seriously


def votes_needed(r: float, sigma: float, alpha: float = 0.001) -> int | None:
    """Unanimous votes needed to certify radius r in one look of `cohen` at level alpha.

    Solves alpha^(1/n) >= Phi(r / sigma) (Cohen et al., ICML 2019).

    Args:
        r: L2 radius > 0, in units of the [0, 1] range.
        sigma: noise standard deviation, > 0, in the same units.
        alpha: error probability, in (0, 1).

    Returns:
        A number of noisy copies, or None if it exceeds 10^15.

    Raises:
        SpecError: if an argument is out of range.

    >>> [votes_needed(r, 0.25) for r in (0.25, 0.5, 0.75, 1.0)]
    [40, 301, 5114, 218105]
    >>> votes_needed(10.0, 0.25) is None
    True
    """
    if not r > 0:
        raise SpecError(f"expected a radius > 0, got {r}")
    _check(sigma, alpha)
    miss = float(ndtr(-r / sigma)) / _INFLATION
    n = math.log(alpha) / math.log1p(-miss) if miss > 0 else math.inf
    return math.ceil(n) if n <= _MOST else None


def r_max_fixed(n: int, sigma: float, alpha: float = 0.001) -> float:
    """Largest radius of one look of `cohen` at n unanimous votes: sigma Phi^-1(alpha^(1/n)).

    Args:
        n: noisy copies, >= 1.
        sigma: noise standard deviation, > 0, in units of the [0, 1] range.
        alpha: error probability, in (0, 1).

    Returns:
        An L2 radius in units of the [0, 1] range, not rounded; negative if n is so small that nothing is.

    Raises:
        SpecError: if an argument is out of range.

    >>> [round(r_max_fixed(100_000, sigma), 6) for sigma in (0.25, 0.5, 1.0)]
    [0.952864, 1.905728, 3.811457]
    """
    _check(sigma, alpha)
    if n < 1:
        raise SpecError(f"expected n >= 1, got {n}")
    return -sigma * float(ndtri(upper_bound(0, n, alpha)))


def _check(sigma: float, alpha: float) -> None:
    if not (sigma > 0 and 0 < alpha < 1):
        raise SpecError(f"expected sigma > 0 and alpha in (0, 1), got {sigma} and {alpha}")
