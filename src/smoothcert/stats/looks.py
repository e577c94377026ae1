"""Sequential looks: the same guarantee from far fewer samples.

The bounds of all looks hold together with probability at least 1 - alpha, so their running minimum is valid
under any stopping rule and for every radius at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smoothcert.errors import SpecError
from smoothcert.stats.bounds import Bounds, Tally, bounds
from smoothcert.stats.futility import BoolArray, reachable, undecided
from smoothcert.stats.plan import Plan, levels, schedule
from smoothcert.stats.radius import radius

__all__ = ["Plan", "levels", "r_max", "reachable", "running", "schedule", "step", "undecided"]


def running(votes: Tally, plan: Plan, k: int) -> Bounds:
    """Running minimum of the bounds over the looks: valid at every look, whatever stops the sampling.

    Args:
        votes: Tally of shape (m, L) (rivals (m, L, K), K >= k), L <= number of looks, cumulative counts;
            column i holds the votes at plan.looks[i], or n = 0 where an image has no such look.
        plan: looks, levels and bound.
        k: rank of the certificate, 1 <= k < classes.

    Returns:
        Bounds with q (m, L) and u (m, L, k). A look not taken leaves the bounds as they were; before an
        image's first look they are 1.

    Raises:
        SpecError: if a sample number is neither 0 nor the plan's.

    >>> from smoothcert.stats.bounds import tally
    >>> plan = Plan((100, 200), 0.001, "cohen", classes=3, sigma=0.25)
    >>> b = running(tally([[[99, 1, 0], [197, 3, 0]]], [[0, 0]], k=1), plan, k=1)
    >>> b.q.round(3).tolist()
    [[0.092, 0.071]]
    """
    width = votes.n.shape[1]
    looks = np.array(plan.looks[:width])
    if len(looks) < width or np.any((votes.n != 0) & (votes.n != looks)):
        raise SpecError(f"expected votes at the looks {plan.looks}, got other sample numbers")
    each = bounds(votes, np.array(plan.levels[:width]), k, plan.bound, plan.classes)
    return Bounds(np.minimum.accumulate(each.q, axis=1), np.minimum.accumulate(each.u, axis=1))


def step(votes: Tally, before: Bounds, radii: Sequence[float], plan: Plan, k: int) -> tuple[Bounds, BoolArray]:
    """One look: the bounds at its level, the running minimum, and who must be drawn on.

    Args:
        votes: Tally of shape (m,) at each image's current look, rivals (m, K), K >= k; the looks may differ.
        before: running bounds of the looks before, q (m,) and u (m, k); all ones before the first look.
        radii: L2 radii to decide, in units of the [0, 1] range.
        plan: looks, levels, bound, sigma.
        k: rank of the certificate, 1 <= k < classes.

    Returns:
        The running bounds, q (m,) and u (m, k), and bool (m,): some radius is undecided and can still be reached.

    Raises:
        SpecError: if a sample number is not one of the plan's looks, or k is out of range.

    >>> from smoothcert.stats.bounds import tally
    >>> plan = Plan((100, 1000), 0.001, "cohen", classes=3, sigma=0.5)
    >>> start = Bounds(np.ones(2), np.ones((2, 1)))
    >>> now, still = step(tally([[99, 1, 0], [52, 48, 0]], [0, 0], k=1), start, [0.75], plan, k=1)
    >>> now.q.round(3).tolist(), still.tolist()
    ([0.092, 0.641], [True, False])
    """
    at = np.searchsorted(plan.looks, votes.n)
    if np.any(np.append(plan.looks, 0)[at] != votes.n):
        raise SpecError(f"expected votes at one of the looks {plan.looks}, got other sample numbers")
    now = bounds(votes, np.array(plan.levels)[at], k, plan.bound, plan.classes).minimum(before)
    return now, undecided(votes, now, radii, plan, k)


def r_max(plan: Plan, k: int) -> float:
    """Largest radius the plan can certify: the running bounds at unanimous votes.

    Args:
        plan: looks, levels, bound, sigma.
        k: rank of the certificate, 1 <= k < classes.

    Returns:
        An L2 radius in units of the [0, 1] range, not rounded.

    Raises:
        SpecError: if k is out of range.

    >>> round(r_max(Plan((100_000,), 0.001, "cohen", classes=10, sigma=0.25), k=1), 6)
    0.952864
    """
    n = np.array([plan.looks])
    unanimous = Tally(n, n, np.zeros((*n.shape, k), dtype=np.int64))
    best = running(unanimous, plan, k)
    return float(radius(Bounds(best.q[0, -1], best.u[0, -1]), plan.sigma, plan.eta))
