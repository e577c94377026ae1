"""Certificates from confidence bounds on probabilities: the rule of `rankcp`, `simuem` and `cohen`.

Sampling stops for futility: when no undecided radius is reachable any more. An image is continued while one of two
optimistic but plausible scenarios certifies the radius at the last look:
(a) the label's probability at its upper bound at level gamma, the rivals scaled in proportion;
(b) the label's probability at its estimate, each rival at its lower bound at level gamma.

Or it stops when more samples are not worth it: when `price`, the samples that a certificate is worth, times the
probability that the last look certifies an undecided radius is at most the cost of finding out, min(n, what is left of
n_max). The probability is over the posterior of the label's probability after Jeffreys' prior, represented by 16
points, the rivals scaled in proportion.

Either can lose power, never validity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import MASSES, POINTS, FloatArray, gamma_quantile, lower_bound
from smoothcert.stats.bounds import Bounds, IntArray, Tally, bounds, tally
from smoothcert.stats.radius import certified_at, radius
from smoothcert.stats.rule import Certified, Rows, Rule, StoredVotes, check_numbers
from smoothcert.stats.sequential import BoolArray, Plan

_AT_A_TIME = 65_536  # images per block, where intermediate arrays are larger than the result


@dataclass(frozen=True, eq=False)
class CertifiedByBounds(Certified):
    """The radii that bounds on probabilities certify: any radius, not only those of a grid."""

    bounds: Bounds
    sigma: float
    eta: float

    @cached_property
    def radius(self) -> FloatArray:  # type: ignore[override]
        """Float (m,): certified L2 radius, not rounded."""
        return radius(self.bounds, self.sigma, self.eta)

    def at(self, r: float) -> BoolArray:
        """Return bool (m,): certified at radius r; r = 0 means any positive radius."""
        kept = np.zeros(len(self.bounds.q), dtype=np.bool_)
        for start in range(0, len(kept), _AT_A_TIME):
            rows = slice(start, start + _AT_A_TIME)
            held = Bounds(self.bounds.q[rows], self.bounds.u[rows])
            kept[rows] = certified_at(held, r, self.sigma, self.eta)
        return kept

    def of(self, rows: Rows) -> CertifiedByBounds:
        """Return the certificates of some images."""
        return CertifiedByBounds(Bounds(self.bounds.q[rows], self.bounds.u[rows]), self.sigma, self.eta)

    @classmethod
    def joined(cls, parts: Sequence[CertifiedByBounds]) -> CertifiedByBounds:
        """Concatenate the certificates of consecutive blocks of images."""
        q, u = (np.concatenate([getattr(part.bounds, name) for part in parts]) for name in ("q", "u"))
        whole = cls(Bounds(q, u), parts[0].sigma, parts[0].eta)
        whole.__dict__["radius"] = np.concatenate([part.radius for part in parts])
        return whole


class BoundsRule(Rule[Bounds]):
    """Certificates from the running minimum of confidence bounds; the state is that minimum."""

    def start(self, images: int) -> Bounds:
        """Return bounds of 1."""
        return Bounds(np.ones(images), np.ones((images, self.k)))

    def step(self, state: Bounds, before: IntArray, after: IntArray, labels: IntArray) -> tuple[Bounds, BoolArray]:
        """Take one look at the votes of each image."""
        return step(tally(after, labels, self.k), state, self.radii, self.plan, self.k)

    def decided(self, state: Bounds) -> BoolArray:
        """Return bool (m, radii): certified at each radius to decide."""
        plan, shape = self.plan, (len(state.q), len(self.radii))
        return np.array([certified_at(state, r, plan.sigma, plan.eta) for r in self.radii]).reshape(shape[::-1]).T

    def rows(self, state: Bounds, keep: Rows) -> Bounds:
        """Return the state of some images."""
        return Bounds(state.q[keep], state.u[keep])

    def join(self, states: Sequence[Bounds]) -> Bounds:
        """Concatenate the states of images."""
        return Bounds(np.concatenate([each.q for each in states]), np.concatenate([each.u for each in states]))

    def kept(self, r: float, n: int, votes: int, alone: bool = False) -> bool:
        """Whether a look of n votes certifies radius r, if the misses are divided equally among k rivals."""
        plan = self.plan
        level = plan.alpha if alone else plan.spent_alpha[plan.looks.index(n)]
        rivals = np.full(self.k, float(-(-(n - votes) // self.k)))
        split = Tally(np.array(n), np.array(votes), rivals)
        found = bounds(split, level, self.k, plan.bound, plan.classes)
        return bool(certified_at(found, r, plan.sigma, plan.eta))

    def certificates(self, votes: StoredVotes) -> CertifiedByBounds:
        """Derive the certificates from stored looks."""
        return CertifiedByBounds(final_bounds(votes.tally, self.plan, self.k), self.plan.sigma, self.plan.eta)

    @property
    def r_max(self) -> float:
        """Largest attainable radius R_max, not rounded."""
        looks = np.array([self.plan.looks])
        unanimous = Tally(looks, looks, np.zeros((*looks.shape, self.k), dtype=np.int64))
        return float(radius(final_bounds(unanimous, self.plan, self.k), self.plan.sigma, self.plan.eta)[0])


def final_bounds(votes: Tally, plan: Plan, k: int) -> Bounds:
    """Return the running bounds after the last look taken, q (m,) and u (m, k); 1 where no look was taken.

    The last column of `running`, computed only for looks that were taken and once per distinct count.

    Raises:
        SpecError: a sample number is neither 0 nor the plan's.
    """
    check_numbers(votes.n[:, : len(plan.looks)], plan.looks)
    last = Bounds(np.ones(len(votes.n)), np.ones((len(votes.n), k)))
    for look, level in enumerate(plan.spent_alpha[: votes.n.shape[1]]):
        at, taken = taken_at(votes, look)
        if len(at):
            sharper = bounds(taken, level, k, plan.bound, plan.classes).minimum(Bounds(last.q[at], last.u[at]))
            last.q[at], last.u[at] = sharper.q, sharper.u
    return last


def taken_at(votes: Tally, look: int) -> tuple[NDArray[np.int64], Tally]:
    """Return the indices of the images that took a look, and their votes at it."""
    at = np.flatnonzero(votes.n[:, look])
    return at, Tally(votes.n[at, look], votes.label_votes[at, look], votes.rivals[at, look])


def step(votes: Tally, before: Bounds, radii: Sequence[float], plan: Plan, k: int) -> tuple[Bounds, BoolArray]:
    """One look: the bounds at its share of alpha, the running minimum, and which images continue.

    Args:
        votes: Tally of shape (m,) at each image's current look, rivals (m, K), K >= k; the looks may differ.
        before: running bounds of the previous looks, q (m,) and u (m, k); all ones before the first look.
        radii: L2 radii to decide, in units of the [0, 1] range.
        plan: looks, alpha, bound, sigma.
        k: rank of the certificate, 1 <= k < classes.

    Returns:
        The running bounds, q (m,) and u (m, k), and bool (m,): some radius is undecided and still reachable.

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
        raise SpecError(f"expected votes at one of the looks {plan.looks}, got other sample numbers", code="E-SPEC-095")
    now = bounds(votes, np.array(plan.spent_alpha)[at], k, plan.bound, plan.classes).minimum(before)
    return now, undecided(votes, now, radii, plan, k)


# gamma = min(0.05, 0.01 (n / 3000)^0.6): cautious while votes are few (a wrong stop loses a certificate), bolder later
# (a wrong continuation costs many samples)
_GAMMA, _GAMMA_AT, _GAMMA_POWER, _GAMMA_MOST = 0.01, 3000, 0.6, 0.05


def undecided(votes: Tally, now: Bounds, radii: Sequence[float], plan: Plan, k: int) -> BoolArray:
    """Which images have a radius that is not certified yet and is still reachable.

    Args:
        votes: Tally of shape (m,) at each image's current look, rivals (m, K), K >= k.
        now: running bounds, q (m,) and u (m, k).
        radii: L2 radii to decide, in units of the [0, 1] range.
        plan: looks, alpha, bound, sigma.
        k: rank of the certificate.

    Returns:
        bool (m,): continue to the next look. Always False at the last look.

    Raises:
        SpecError: if a sample number is not one of the plan's looks.

    >>> from smoothcert.stats.bounds import tally
    >>> plan = Plan((100, 1000, 10_000), 0.001, "rankcp", classes=3, sigma=0.5)
    >>> votes = tally([[100, 0, 0], [52, 48, 0]], [0, 0], k=1)
    >>> now = Bounds(np.array([0.1, 0.7]), np.array([[0.1], [0.7]]))
    >>> undecided(votes, now, [0.5, 1.0], plan, k=1).tolist()
    [True, False]
    """
    more: BoolArray = np.asarray(votes.n < plan.looks[-1])
    if plan.stop == "never":
        return more
    if plan.stop == "worth":
        found: BoolArray = np.any([worth(votes, now, r, plan, k) for r in radii], axis=0)
        return found
    futures = list(_futures(votes, now, plan, k))
    draw_on = np.zeros(votes.n.shape, dtype=np.bool_)
    for r in radii:
        open_now = ~certified_at(now, r, plan.sigma, plan.eta)
        for future in futures:
            draw_on |= open_now & certified_at(future, r, plan.sigma, plan.eta)
    return draw_on & more


def worth(votes: Tally, now: Bounds, r: float, plan: Plan, k: int) -> BoolArray:
    """Whether radius r is undecided, and going on is worth its samples.

    Args:
        votes: Tally of shape (m,) at each image's current look, rivals (m, K), K >= k.
        now: running bounds, q (m,) and u (m, k).
        r: L2 radius >= 0, in units of the [0, 1] range.
        plan: looks, alpha, bound, sigma, price.
        k: rank of the certificate.

    Returns:
        bool (m,); False at the last look.

    >>> from smoothcert.stats.bounds import tally
    >>> plan = Plan((100, 1000, 10_000), 0.001, "rankcp", classes=3, sigma=0.5, stop="worth", price=30_000)
    >>> votes = tally([[750, 250, 0], [720, 280, 0]], [0, 0], k=1)
    >>> now = Bounds(np.array([0.3, 0.34]), np.array([[0.3], [0.34]]))
    >>> worth(votes, now, 0.32, plan, k=1).tolist()
    [True, False]
    """
    at = np.flatnonzero(~certified_at(now, r, plan.sigma, plan.eta) & (votes.n < plan.looks[-1]))
    n, label = votes.n[at], votes.label_votes[at]
    rivals, misses = gamma_quantile(n - label, POINTS), (n - label)[:, None]
    miss = rivals / (rivals + label[:, None] + 0.5)
    shares = votes.rivals[at, None, :k] / np.maximum(misses, 1)[..., None] * miss[..., None]
    before = Bounds(now.q[at, None], now.u[at, None])
    chance = certified_at(_at_last_look(miss, shares, before, plan), r, plan.sigma, plan.eta) @ MASSES
    worth_it = np.zeros(votes.n.shape, dtype=np.bool_)
    worth_it[at] = plan.price * chance > np.minimum(n, plan.looks[-1] - n)
    return worth_it


def reachable(votes: Tally, now: Bounds, r: float, plan: Plan, k: int) -> BoolArray:
    """Whether radius r can still be certified at the last look (predictive futility; gamma grows with n).

    Args:
        votes: Tally of shape (m,) at each image's current look, rivals (m, K), K >= k.
        now: running bounds, q (m,) and u (m, k).
        r: L2 radius >= 0, in units of the [0, 1] range.
        plan: looks, alpha, bound, sigma.
        k: rank of the certificate.

    Returns:
        bool (m,); False at the last look.

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
    """Yield the bounds after the last look in scenarios (a) and (b)."""
    if not np.all(np.isin(votes.n, plan.looks)):
        raise SpecError(f"expected votes at one of the looks {plan.looks}, got other sample numbers", code="E-SPEC-095")
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
    """Return the running bounds after the last look if the votes have exactly these proportions."""
    last, k = float(plan.looks[-1]), rivals.shape[-1]
    n = np.full(miss.shape, last)
    votes = Tally(n, last - last * miss, last * rivals)  # type: ignore[arg-type]  # real-valued: a projection
    return bounds(votes, plan.spent_alpha[-1], k, plan.bound, plan.classes).minimum(now)
