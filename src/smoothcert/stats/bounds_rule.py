"""Certificates from confidence bounds on probabilities: the rule of `rankcp`, `simuem` and `cohen`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from smoothcert.stats.binomial import FloatArray
from smoothcert.stats.bounds import Bounds, IntArray, Tally, bounds, tally
from smoothcert.stats.radius import certified_at, radius
from smoothcert.stats.rule import Certified, Rows, Rule, StoredVotes, check_numbers
from smoothcert.stats.sequential import BoolArray, Plan, step, unanimous_radius

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
        return unanimous_radius(self.plan, self.k)


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
