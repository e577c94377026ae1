"""The plan of an image: at which sample numbers its votes are evaluated, and at which error levels.

Look i has its own error level a_i, and the levels sum to at most alpha. By the union bound the bounds of all
looks hold together with probability at least 1 - alpha, so their running minimum is valid under any stopping
rule and for every radius at once.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

from smoothcert.errors import SpecError
from smoothcert.stats.bounds import BOUNDS

FIRST_LOOK = 100  # no look has fewer samples
GROWTH = (2, 3)  # each look is two thirds of the next
LAST_SHARE = 0.3  # of alpha, kept for the last look
_SHAVE = 1 - 1e-12  # keeps the levels' float sum at or below alpha


def schedule(n_max: int, stopping: str = "looks") -> tuple[int, ...]:
    """Sample numbers at which the votes are evaluated, built backwards from n_max by factors 1.5.

    Args:
        n_max: most noisy copies an image; >= 100 for `looks`, >= 1 for `fixed`.
        stopping: `looks`, or `fixed` for one look at n_max.

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
        raise SpecError(f"expected stopping to be looks or fixed, got {stopping!r}")
    least = FIRST_LOOK if stopping == "looks" else 1
    if n_max < least:
        raise SpecError(f"expected n_max >= {least} with stopping = {stopping}, got {n_max}; raise n_max")
    backwards = [n_max]
    while stopping == "looks" and (n := backwards[-1] * GROWTH[0] // GROWTH[1]) >= FIRST_LOOK:
        backwards.append(n)
    return tuple(reversed(backwards))


def levels(looks: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Error level of each look; they sum to at most alpha.

    The last look gets 0.3 alpha; of the other 0.7 alpha one half is shared equally among the looks before
    it, the other half in proportion to the growth of sqrt(n). A single look gets all of alpha.

    Args:
        looks: increasing sample numbers.
        alpha: error probability of one image's certificate, in (0, 1).

    Returns:
        One level a look, in the same order.

    >>> [round(a, 6) for a in levels((100, 400, 1600), 0.001)]
    [0.00035, 0.00035, 0.0003]
    >>> levels((1000,), 0.001)
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
        alpha: error probability of one image's certificate, in (0, 1), for each k.
        bound: one of `BOUNDS`.
        classes: number of classes c, >= 2.
        sigma: noise standard deviation, > 0, in units of the [0, 1] range.
        eta: total-variation distance of the noise drawn from Gaussian noise, for one image.

    Raises:
        SpecError: if a value is out of range.

    >>> plan = Plan(schedule(100_000), 0.001, "rankcp", classes=10, sigma=0.25)
    >>> len(plan.levels), sum(plan.levels) <= plan.alpha
    (18, True)
    """

    looks: tuple[int, ...]
    alpha: float
    bound: str
    classes: int
    sigma: float
    eta: float = 0.0

    def __post_init__(self) -> None:
        if not self.looks or any(b <= a for a, b in itertools.pairwise((0, *self.looks))):
            raise SpecError(f"expected increasing positive looks, got {self.looks}")
        if not 0 < self.alpha < 1:
            raise SpecError(f"expected alpha strictly between 0 and 1, got {self.alpha}")
        if self.bound not in BOUNDS:
            raise SpecError(f"expected bound to be one of {', '.join(BOUNDS)}, got {self.bound!r}")
        if self.classes < 2:
            raise SpecError(f"expected at least 2 classes, got {self.classes}")
        if not (self.sigma > 0 and self.eta >= 0):
            raise SpecError(f"expected sigma > 0 and eta >= 0, got {self.sigma} and {self.eta}")

    @cached_property
    def levels(self) -> tuple[float, ...]:
        """Error level of each look."""
        return levels(self.looks, self.alpha)
