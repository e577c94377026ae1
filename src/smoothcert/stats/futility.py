"""When to stop sampling: nothing undecided can still be reached. It can lose power, never validity.

An image goes on while one of two optimistic but plausible futures certifies the radius at the last look:
(a) the label's probability at its upper bound at level gamma, the rivals scaled in proportion;
(b) the label at its estimate, each rival at its lower bound at level gamma.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray, lower_bound
from smoothcert.stats.bounds import Bounds, Tally, bounds
from smoothcert.stats.plan import Plan
from smoothcert.stats.radius import certified_at

BoolArray = NDArray[np.bool_]

# gamma grows with n: cautious while few votes are in (a wrong stop loses a certificate), bolder later (a wrong
# continuation costs many samples)
_GAMMA, _GAMMA_AT, _GAMMA_POWER, _GAMMA_MOST = 0.01, 3000, 0.6, 0.05


def undecided(votes: Tally, now: Bounds, radii: Sequence[float], plan: Plan, k: int) -> BoolArray:
    """Which images have a radius that is not certified yet and can still be.

    Args:
        votes: Tally of shape (m,) at each image's current look, rivals (m, K), K >= k.
        now: running bounds, q (m,) and u (m, k).
        radii: L2 radii of interest, in units of the [0, 1] range.
        plan: looks, levels, bound, sigma.
        k: rank of the certificate.

    Returns:
        bool (m,): draw on to the next look. Always False at the last look.

    Raises:
        SpecError: if a sample number is not one of the plan's looks.

    >>> from smoothcert.stats.bounds import tally
    >>> plan = Plan((100, 1000, 10_000), 0.001, "rankcp", classes=3, sigma=0.5)
    >>> votes = tally([[100, 0, 0], [52, 48, 0]], [0, 0], k=1)
    >>> now = Bounds(np.array([0.1, 0.7]), np.array([[0.1], [0.7]]))
    >>> undecided(votes, now, [0.5, 1.0], plan, k=1).tolist()
    [True, False]
    """
    futures = list(_futures(votes, now, plan, k))
    draw_on = np.zeros(votes.n.shape, dtype=np.bool_)
    for r in radii:
        open_now = ~certified_at(now, r, plan.sigma, plan.eta)
        for future in futures:
            draw_on |= open_now & certified_at(future, r, plan.sigma, plan.eta)
    return draw_on & (votes.n < plan.looks[-1])


def reachable(votes: Tally, now: Bounds, r: float, plan: Plan, k: int) -> BoolArray:
    """Whether radius r can still be certified at the last look: predictive futility, gamma growing with n.

    Args:
        votes: Tally of shape (m,) at each image's current look, rivals (m, K), K >= k.
        now: running bounds, q (m,) and u (m, k).
        r: L2 radius >= 0, in units of the [0, 1] range.
        plan: looks, levels, bound, sigma.
        k: rank of the certificate.

    Returns:
        bool (m,); False at the last look, where there is no future.

    Raises:
        SpecError: if a sample number is not one of the plan's looks.

    >>> from smoothcert.stats.bounds import tally
    >>> plan = Plan((100, 1000, 10_000), 0.001, "rankcp", classes=3, sigma=0.5)
    >>> votes = tally([[90, 10, 0], [52, 48, 0]], [0, 0], k=1)
    >>> now = Bounds(np.array([0.3, 0.7]), np.array([[0.3], [0.7]]))
    >>> reachable(votes, now, 0.5, plan, k=1).tolist()
    [True, False]
    """
    can = np.zeros(votes.n.shape, dtype=np.bool_)
    for future in _futures(votes, now, plan, k):
        can |= certified_at(future, r, plan.sigma, plan.eta)
    return can & (votes.n < plan.looks[-1])


def _futures(votes: Tally, now: Bounds, plan: Plan, k: int) -> Iterator[Bounds]:
    """The bounds after the last look in scenarios (a) and (b)."""
    if not np.all(np.isin(votes.n, plan.looks)):
        raise SpecError(f"expected votes at one of the looks {plan.looks}, got other sample numbers")
    n, gamma = votes.n.astype(np.float64), _gamma(votes.n)
    miss = votes.n - votes.label_votes
    least = lower_bound(miss, n, gamma)
    shrink = least / np.maximum(miss / n, 1 / n)
    rivals = votes.rivals[..., :k]
    yield _at_last_look(least, rivals / n[..., None] * shrink[..., None], now, plan)
    yield _at_last_look(miss / n, lower_bound(rivals, n[..., None], gamma[..., None]), now, plan)


def _gamma(n: NDArray[np.int64]) -> FloatArray:
    gamma: FloatArray = np.minimum(_GAMMA * (n / _GAMMA_AT) ** _GAMMA_POWER, _GAMMA_MOST)
    return gamma


def _at_last_look(miss: FloatArray, rivals: FloatArray, now: Bounds, plan: Plan) -> Bounds:
    """Running bounds after the last look if the votes come out exactly in these proportions."""
    last, k = float(plan.looks[-1]), rivals.shape[-1]
    n = np.full(miss.shape, last)
    votes = Tally(n, last - last * miss, last * rivals)  # type: ignore[arg-type]  # real-valued: a projection
    return bounds(votes, plan.levels[-1], k, plan.bound, plan.classes).minimum(now)
