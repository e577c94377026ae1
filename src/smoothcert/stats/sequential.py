"""Group-sequential sampling: the schedule of looks, the alpha spent at each, and the running bounds.

Look i spends a_i of alpha, with sum a_i <= alpha (alpha spending: Lan and DeMets, Biometrika 70, 1983,
doi:10.1093/biomet/70.3.659; here by the union bound, without exact boundaries). The bounds of all looks then hold
jointly with probability at least 1 - alpha, so their running minimum is valid under any stopping rule and for every
radius at once.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import SpecError
from smoothcert.stats.bounds import BOUNDS, Bounds, Tally, bounds

BETTING = "betting"
"""The rule that has no confidence bounds (`stats.betting`)."""
FIRST_LOOK = 100  # minimum number of samples of a look
GROWTH = (2, 3)  # each look has two thirds of the samples of the next
BETTING_GROWTH = (10, 11)  # betting divides no alpha among looks, so they can be closer
Stop = Literal["worth", "futility", "never"]
LAST_SHARE = 0.3  # of alpha, spent at the last look
_SHAVE = 1 - 1e-12  # keeps the float sum of the spent alpha at or below alpha


def schedule(n_max: int, stopping: str = "looks", bound: str = "rankcp") -> tuple[int, ...]:
    """Sample numbers of the looks, built backwards from n_max by factors of 1.5; of 1.1 for betting.

    Args:
        n_max: maximum number of noise samples per image; >= 100 for "looks", >= 1 for "fixed".
        stopping: "looks", or "fixed" for a single look at n_max; with betting, looks of "fixed" are the same, and all
            of them are taken.
        bound: one of `BOUNDS`, or "betting".

    Returns:
        Increasing sample numbers; the last is n_max.

    Raises:
        SpecError: if n_max is too small or the rule unknown.

    >>> schedule(1000)
    (131, 197, 296, 444, 666, 1000)
    >>> schedule(1000, "fixed")
    (1000,)
    """
    if stopping not in ("looks", "fixed"):
        raise SpecError(f"expected stopping to be looks or fixed, got {stopping!r}", code="E-SPEC-088")
    least = FIRST_LOOK if stopping == "looks" else 1
    if n_max < least:
        raise SpecError(
            f"expected n_max >= {least} with stopping = {stopping}, got {n_max}; raise n_max", code="E-SPEC-089"
        )
    (less, more), backwards = BETTING_GROWTH if bound == BETTING else GROWTH, [n_max]
    single = stopping == "fixed" and bound != BETTING
    while not single and (n := backwards[-1] * less // more) >= FIRST_LOOK:
        backwards.append(n)
    return tuple(reversed(backwards))


def alpha_spending(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Alpha spent at each look; the sum is at most alpha.

    The last of K looks spends a_K = 0.3 alpha, and for i < K
    a_i = 0.7 alpha / 2 (1 / (K - 1) + (sqrt(n_i) - sqrt(n_(i-1))) / sqrt(n_(K-1))), with n_0 = 0.
    A single look spends all of alpha.

    Args:
        looks: increasing sample numbers.
        alpha: error probability of one certificate, in (0, 1).

    Returns:
        One value per look, in the same order.

    >>> [round(a, 6) for a in alpha_spending((100, 400, 1600), 0.001)]
    [0.00035, 0.00035, 0.0003]
    >>> alpha_spending((1000,), 0.001)
    (0.001,)
    """
    if len(looks) == 1:
        return (alpha,)
    before = len(looks) - 1
    roots = [0.0, *(math.sqrt(n) for n in looks[:-1])]
    grown = [(b - a) / roots[-1] for a, b in itertools.pairwise(roots)]
    early = [(1 - LAST_SHARE) * alpha * (1 / before + g) / 2 for g in grown]
    return tuple(a * _SHAVE for a in (*early, LAST_SHARE * alpha))


@dataclass(frozen=True)
class Plan:
    """How votes become bounds: fixed before the first vote is drawn.

    Attributes:
        looks: increasing sample numbers, e.g. from `schedule`.
        alpha: error probability of one certificate, in (0, 1), for each k.
        bound: one of `BOUNDS`, or "betting".
        classes: number of classes c, >= 2.
        sigma: noise standard deviation, > 0, in units of the [0, 1] range.
        eta: total-variation distance of the noise drawn from Gaussian noise, for one noisy image, >= 0.
        grid: increasing L2 radii that are decided, for betting; for the others every radius is.
        stop: when an image draws no further: when going on is not worth its samples ("worth"), when no open radius is
            plausible any more ("futility"), or at the last look ("never"). Power only.
        price: samples that one certificate is worth, > 0, for "worth".

    Raises:
        SpecError: if a value is out of range.

    >>> plan = Plan(schedule(100_000), 0.001, "rankcp", classes=10, sigma=0.25)
    >>> len(plan.spent_alpha), sum(plan.spent_alpha) <= plan.alpha
    (18, True)
    """

    looks: tuple[int, ...]
    alpha: float
    bound: str
    classes: int
    sigma: float
    eta: float = 0.0
    grid: tuple[float, ...] = ()
    stop: Stop = "futility"
    price: float = math.inf

    def __post_init__(self) -> None:
        if not self.looks or any(b <= a for a, b in itertools.pairwise((0, *self.looks))):
            raise SpecError(f"expected increasing positive looks, got {self.looks}", code="E-SPEC-081")
        if not 0 < self.alpha < 1:
            raise SpecError(f"expected alpha strictly between 0 and 1, got {self.alpha}", code="E-SPEC-079")
        if self.bound not in (*BOUNDS, BETTING):
            raise SpecError(
                f"expected bound to be one of {', '.join(BOUNDS)}, {BETTING}, got {self.bound!r}", code="E-SPEC-143"
            )
        if any(not a < b < math.inf for a, b in itertools.pairwise((0.0, *self.grid))):
            raise SpecError(f"expected a grid of increasing positive radii, got {self.grid}", code="E-SPEC-140")
        if self.stop not in get_args(Stop):
            raise SpecError(f"expected stop to be worth, futility or never, got {self.stop!r}", code="E-SPEC-141")
        if not self.price > 0:
            raise SpecError(f"expected a price above 0, got {self.price}", code="E-SPEC-142")
        if self.classes < 2:
            raise SpecError(f"expected at least 2 classes, got {self.classes}", code="E-SPEC-093")
        if not (self.sigma > 0 and self.eta >= 0):
            raise SpecError(f"expected sigma > 0 and eta >= 0, got {self.sigma} and {self.eta}", code="E-SPEC-094")

    @property
    def takes_all(self) -> bool:
        """Whether each image takes all looks."""
        return len(self.looks) == 1 or self.stop == "never"

    def with_stopping(self, stopping: str) -> Plan:
        """Return the plan with another stopping rule and the same n_max.

        Args:
            stopping: "looks" or "fixed".
        """
        looks = schedule(self.looks[-1], "fixed" if self.looks[-1] < FIRST_LOOK else stopping, self.bound)
        if self.bound != BETTING:
            return replace(self, looks=looks)
        if stopping == "fixed":
            return replace(self, looks=looks, stop="never")
        if len(self.looks) == 1:
            return replace(self, looks=looks, stop="worth", price=3.0 * looks[-1])
        return replace(self, looks=looks)

    @cached_property
    def spent_alpha(self) -> tuple[float, ...]:
        """Alpha spent at each look by confidence bounds; betting divides no alpha among looks."""
        return alpha_spending(self.looks, self.alpha)


def one_look(plan: Plan, bound: str | None = None) -> Plan:
    """Return a plan whose bounds at a single look answer questions of sample size.

    Args:
        plan: the plan of a run.
        bound: one of `BOUNDS` (default: that of the plan; rankcp for betting, which has no bounds at a look).
    """
    own = "rankcp" if plan.bound == BETTING else plan.bound
    return replace(plan, bound=bound or own, grid=(), stop="futility", price=math.inf)


BoolArray = NDArray[np.bool_]


def running(votes: Tally, plan: Plan, k: int) -> Bounds:
    """Running minimum of the bounds over the looks: valid at every look, under any stopping rule.

    Args:
        votes: Tally of shape (m, L) (rivals (m, L, K), K >= k), L <= number of looks, cumulative counts; column i holds
            the votes at plan.looks[i], or n = 0 where the look was not taken.
        plan: looks, alpha and bound.
        k: rank of the certificate, 1 <= k < classes.

    Returns:
        Bounds with q (m, L) and u (m, L, k). A look that was not taken leaves the bounds unchanged; before the first
        look they are 1.

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
        raise SpecError(f"expected votes at the looks {plan.looks}, got other sample numbers", code="E-SPEC-010")
    each = bounds(votes, np.array(plan.spent_alpha[:width]), k, plan.bound, plan.classes)
    return Bounds(np.minimum.accumulate(each.q, axis=1), np.minimum.accumulate(each.u, axis=1))
