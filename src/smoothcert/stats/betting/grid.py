"""The radii that betting decides: a grid that is fixed before the first vote is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

import numpy as np

from smoothcert.errors import SpecError
from smoothcert.stats.betting.wealth import Bets, certified_by_betting

STEPS = 64
"""Steps of the grid up to the largest attainable radius."""
_DIGITS = 2  # significant digits of a step
_FARTHEST = 10.0  # r / sigma that no number of votes attains
_HALVINGS = 30


def radius_grid(
    asked: Sequence[float], ks: Sequence[int], sigma: float, alpha: float, looks: Sequence[int], eta: float = 0.0
) -> tuple[float, ...]:
    """Return the radii to decide: multiples of a step that is short in decimal, and the radii that are asked for.

    The step is a 64th of the largest attainable radius, rounded up to two significant digits, so that certified radii
    are short decimals. A multiple within half a step of a radius that is asked for is left out. Radii beyond the
    largest attainable one are left out, as no votes certify them.

    Args:
        asked: L2 radii, > 0, in units of the [0, 1] range.
        ks: ranks of the certificates; the largest attainable radius is that of the largest.
        sigma: noise standard deviation, > 0, in the same units.
        alpha: error probability of one certificate.
        looks: sample numbers of the looks.
        eta: total-variation distance of the delivered noise from Gaussian noise, for one sample.

    Returns:
        Increasing radii; none if unanimous votes certify none.

    >>> grid = radius_grid((0.25, 0.5), (1,), 0.25, 0.001, (100, 1000))
    >>> grid[:3], 0.25 in grid, len(grid), grid[-1]
    ((0.0096, 0.0192, 0.0288), True, 63, 0.6048)
    """
    limit = sigma * attainable_ratio(max(ks), alpha, tuple(looks), eta)
    kept = [r for r in asked if r <= limit]
    if limit <= 0:
        return ()
    exact = Decimal(limit / STEPS)
    step = exact.quantize(Decimal(1).scaleb(exact.adjusted() - _DIGITS + 1), ROUND_CEILING)
    multiples = [float(i * step) for i in range(1, STEPS + 1) if float(i * step) <= limit]
    apart = [r for r in multiples if all(abs(r - each) >= float(step) / 2 for each in kept)]
    return tuple(sorted({*kept, *apart}))


@lru_cache(maxsize=256)
def attainable_ratio(k: int, alpha: float, looks: tuple[int, ...], eta: float) -> float:
    """Return the largest r / sigma that unanimous votes at all looks certify, from below; 0 if there is none."""
    low, high = 0.0, _FARTHEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _attained(middle, k, alpha, looks, eta) else (low, middle)
    return low


def _attained(ratio: float, k: int, alpha: float, looks: tuple[int, ...], eta: float) -> bool:
    try:
        bets = bets_of(k, (ratio,), alpha, looks[-1], eta)
        return bool(certified_by_betting(unanimous(looks, k), bets)[0, 0])
    except SpecError:  # so far out that a tangent has no finite coefficients
        return False


def unanimous(looks: Sequence[int], k: int) -> np.ndarray:
    """Return the votes of an image all of whose votes are for its label, int64 (1, looks, 1 + k)."""
    votes = np.zeros((1, len(looks), 1 + k), dtype=np.int64)
    votes[0, :, 0] = looks
    return votes


@lru_cache(maxsize=64)
def bets_of(k: int, ratios: tuple[float, ...], alpha: float, n_max: int, eta: float) -> Bets:
    """Return the bets, whose tables are computed once."""
    return Bets(k, ratios, alpha, n_max, eta)
