"""Which rule a plan has, and what it can attain."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from smoothcert.stats.betting.rule import BettingRule
from smoothcert.stats.bounds_rule import BoundsRule
from smoothcert.stats.rule import Rule
from smoothcert.stats.sequential import BETTING, Plan


@lru_cache(maxsize=64)
def rule_of(plan: Plan, k: int, radii: tuple[float, ...] = ()) -> Rule[Any]:
    """Return how votes become certificates at one k.

    Args:
        plan: looks, alpha, bound, classes, sigma, eta.
        k: rank of the certificate, 1 <= k < classes.
        radii: L2 radii that sampling is to decide, in units of the [0, 1] range.
    """
    return (BettingRule if plan.bound == BETTING else BoundsRule)(plan, k, radii)


def r_max(plan: Plan, k: int) -> float:
    """Largest attainable radius R_max of a plan: that of unanimous votes.

    Args:
        plan: looks, alpha, bound, sigma.
        k: rank of the certificate, 1 <= k < classes.

    Returns:
        An L2 radius in units of the [0, 1] range, not rounded.

    Raises:
        SpecError: if k is out of range.

    >>> round(r_max(Plan((100_000,), 0.001, "cohen", classes=10, sigma=0.25), k=1), 6)
    0.952864
    """
    return rule_of(plan, k).r_max
