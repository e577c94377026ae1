"""Certificates by betting as a rule: the bets while an image is sampled, and the certificates from stored looks.

While an image is sampled, only the radii that are asked for are bet on, to decide whether to draw on. The certificate
itself is derived from the stored looks at every radius of the grid: the largest radius all of whose nulls, and those of
every smaller radius of the grid, are refuted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from smoothcert.errors import SpecError
from smoothcert.stats.betting.batch import columns
from smoothcert.stats.betting.grid import bets_of, unanimous
from smoothcert.stats.betting.wealth import Bets, Wealth, certified_by_betting, look, mixture
from smoothcert.stats.betting.worth import worth
from smoothcert.stats.binomial import FloatArray
from smoothcert.stats.bounds import Bounds, IntArray
from smoothcert.stats.rule import Certified, Rows, Rule, StoredVotes, check_numbers
from smoothcert.stats.sequential import BoolArray, Plan

_ANY_PRICE = 1e18  # with it, all that counts is whether a certificate is plausible within n_max: futility
_FARTHEST = 10.0  # r / sigma that no number of votes attains
_TOGETHER = 256  # images whose looks are arranged in one array


@dataclass(frozen=True, eq=False)
class CertifiedOnGrid(Certified):
    """Certified radii of a grid: a radius is certified iff it is at most the image's largest certified one."""

    radius: FloatArray
    bounds: Bounds | None = None

    def at(self, r: float) -> BoolArray:
        """Return bool (m,): certified at radius r; r = 0 means any positive radius."""
        return (self.radius > 0) & (self.radius >= r)

    def of(self, rows: Rows) -> CertifiedOnGrid:
        """Return the certificates of some images."""
        return CertifiedOnGrid(self.radius[rows])

    @classmethod
    def joined(cls, parts: Sequence[CertifiedOnGrid]) -> CertifiedOnGrid:
        """Concatenate the certificates of consecutive blocks of images."""
        return cls(np.concatenate([part.radius for part in parts]))


@dataclass(frozen=True, eq=False)
class BettingState:
    """Where the bets on m images stand.

    Attributes:
        seen: int64 (m, w): the class of each column of rivals, those with votes first; -1: a rival without votes. Every
            image has a column of a rival without votes, unless all its rivals have votes.
        wealth: the wealth against the rivals of these columns; None where no radius is bet on.
    """

    seen: IntArray
    wealth: Wealth | None


class BettingRule(Rule[BettingState]):
    """Certificates by betting at one k."""

    names_wrong = True

    def __init__(self, plan: Plan, k: int, radii: Sequence[float] = ()) -> None:
        """Store what is fixed; `plan.grid` are the radii that are decided."""
        super().__init__(plan, k, radii)
        if not 1 <= k < plan.classes:
            raise SpecError(
                f"expected 1 <= k < {plan.classes} (the number of classes), got k = {k}; choose a smaller k",
                code="E-SPEC-037",
            )

    @cached_property
    def r_max(self) -> float:
        """Largest attainable radius R_max: the largest of the grid that unanimous votes certify; 0 if there is none."""
        if self._all is None:
            return 0.0
        return (0.0, *self.plan.grid)[int(certified_by_betting(unanimous(self.plan.looks, self.k), self._all).sum())]

    @property
    def _all(self) -> Bets | None:
        """The bets on every radius of the grid."""
        return self._bets(self.plan.grid)

    @cached_property
    def _asked(self) -> tuple[float, ...]:
        """The radii to decide that can be certified, increasing."""
        return tuple(sorted(r for r in self.radii if r <= self.r_max))

    def _bets(self, radii: Sequence[float]) -> Bets | None:
        plan = self.plan
        ratios = tuple(r / plan.sigma for r in radii)
        return bets_of(self.k, ratios, plan.alpha, plan.looks[-1], plan.eta) if ratios else None

    def start(self, images: int) -> BettingState:
        """Return the state of so many images without votes."""
        bets, width = self._bets(self._asked), min(self.k + 1, self.plan.classes - 1)
        seen = np.full((images, width), -1, dtype=np.int64)
        return BettingState(seen, None if bets is None else Wealth.start(bets, images, width))

    def step(
        self, state: BettingState, before: IntArray, after: IntArray, labels: IntArray
    ) -> tuple[BettingState, BoolArray]:
        """Take one look at the votes of each image."""
        plan, n = self.plan, after.sum(axis=1)
        if not np.all(np.isin(n, plan.looks)):
            raise SpecError(
                f"expected votes at one of the looks {plan.looks}, got other sample numbers", code="E-SPEC-095"
            )
        more, bets = n < plan.looks[-1], self._bets(self._asked)
        if bets is None or state.wealth is None:
            return state, more & (plan.stop == "never")
        seen, wealth = self._widened(state, after, labels)
        old, now = (_arranged(counts, seen, labels) for counts in (before, after))
        wealth = look(wealth, old, now - old, bets)
        if plan.stop != "never":
            more = worth(wealth, now, bets, plan.price if plan.stop == "worth" else _ANY_PRICE)
        return BettingState(seen, wealth), more

    def _widened(self, state: BettingState, after: IntArray, labels: IntArray) -> tuple[IntArray, Wealth]:
        """Give each rival that has its first votes a column: that of a rival without votes so far."""
        if state.wealth is None:
            raise ValueError("expected a state with bets")
        rows, first = np.arange(len(after)), after > 0
        first[rows, labels] = False
        row, column = np.nonzero(state.seen >= 0)
        first[row, state.seen[row, column]] = False
        used, new = (state.seen >= 0).sum(axis=1), first.sum(axis=1)
        if not new.any():
            return state.seen, state.wealth
        wanted = min(int((used + new).max()) + 1, self.plan.classes - 1)
        seen, wealth = _padded(state.seen, wanted), state.wealth.widened(wanted)
        row, cls = np.nonzero(first)
        place = np.arange(len(row)) - np.repeat(np.cumsum(new) - new, new)
        seen[row, used[row] + place] = cls
        return seen, wealth

    def decided(self, state: BettingState) -> BoolArray:
        """Return bool (m, radii): certified at each radius to decide, of these radii alone."""
        found = np.zeros((len(state.seen), len(self.radii)), dtype=np.bool_)
        if state.wealth is not None:
            found[:, [self.radii.index(r) for r in self._asked]] = state.wealth.certified
        return found

    def kept(self, r: float, n: int, votes: int, alone: bool = False) -> bool:
        """Whether a look of n votes certifies radius r, if the misses are divided equally among k rivals.

        All misses are then for T, the k rivals, and the tangent is that without third classes: the wealth depends on
        the votes alone, not on the looks. (For k > 1 rivals that are not quite equal lead to other sets T.)
        """
        plan, n_max = self.plan, n if alone else self.plan.looks[-1]
        if r > _FARTHEST * plan.sigma:
            return False
        bets = bets_of(self.k, (r / plan.sigma,), plan.alpha, n_max, plan.eta)
        label, members, _ = bets.log_factors[0, -1, 0]
        return bool(mixture(votes * label + (n - votes) * members, bets.log_weights[0]) >= bets.threshold)

    def rows(self, state: BettingState, keep: Rows) -> BettingState:
        """Return the state of some images, as narrow as they allow."""
        seen, wealth = state.seen[keep], state.wealth
        width = int((seen >= 0).sum(axis=1).max(initial=0)) + 1
        width = min(max(width, self.k + 1), self.plan.classes - 1)
        if wealth is not None:
            rivals = width if self.k == 1 else 1
            wealth = Wealth(wealth.log[:, keep, :rivals], wealth.rejected[:, keep, :rivals], wealth.looks)
        return BettingState(seen[:, :width], wealth)

    def join(self, states: Sequence[BettingState]) -> BettingState:
        """Concatenate the states of images."""
        width = max(each.seen.shape[1] for each in states)
        seen = np.concatenate([_padded(each.seen, width) for each in states])
        parts = [each.wealth.widened(width) for each in states if each.wealth is not None]
        if not parts:
            return BettingState(seen, None)
        log = np.concatenate([each.log for each in parts], axis=1)
        rejected = np.concatenate([each.rejected for each in parts], axis=1)
        return BettingState(seen, Wealth(log, rejected, max(each.looks for each in parts)))

    def certificates(self, votes: StoredVotes) -> CertifiedOnGrid:
        """Derive the certificates from stored looks."""
        looks = min(votes.looks, len(self.plan.looks))
        check_numbers(votes.numbers()[:, :looks], self.plan.looks)
        found, bets, grid = np.zeros(len(votes)), self._all, np.array((0.0, *self.plan.grid))
        taken = np.array([len(each[:looks]) for each in votes.images], dtype=np.int64)
        order = np.argsort(taken, kind="stable")
        order = order[taken[order] > 0]
        for start in range(0, len(order) if bets is not None else 0, _TOGETHER):
            some = order[start : start + _TOGETHER]
            each = [[counts for _, counts in votes.images[i][:looks]] for i in some]
            arranged = columns(each, [int(votes.labels[i]) for i in some], self.plan.classes, self.k)
            found[some] = grid[certified_by_betting(arranged, bets).sum(axis=1)]  # type: ignore[arg-type]
        return CertifiedOnGrid(found)


def _padded(seen: IntArray, width: int) -> IntArray:
    """Return a copy with at least so many columns."""
    more = max(width - seen.shape[1], 0)
    return np.concatenate([seen, np.full((len(seen), more), -1, dtype=np.int64)], axis=1)


def _arranged(counts: IntArray, seen: IntArray, labels: IntArray) -> IntArray:
    """Return the votes of the label and of the rivals of each column: int64 (m, 1 + w)."""
    rivals = np.where(seen >= 0, np.take_along_axis(counts, np.maximum(seen, 0), axis=1), 0)
    return np.concatenate([np.take_along_axis(counts, labels[:, None], axis=1), rivals], axis=1)
