"""The certificate of one image, and the radii of many images, from class counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray
from smoothcert.stats.bounds import bounds, tally
from smoothcert.stats.radius import radius
from smoothcert.stats.rounding import round_down
from smoothcert.stats.rule import StoredVotes
from smoothcert.stats.rules import r_max, rule_of
from smoothcert.stats.sequential import Plan


@dataclass(frozen=True)
class Certificate:
    """The label stays among the k most probable classes under every perturbation with L2 norm below the radius.

    For any fixed image this statement is wrong with probability at most alpha over the noise drawn for that image.

    Attributes:
        label: the label; None for an abstention.
        k: rank of the certificate; k = 1 is the top label.
        radius: L2 radius in units of the [0, 1] range, rounded down to 6 decimals; 0.0 for an abstention.
        certified_at: those of the given radii that are certified.
        samples: noise samples used.
    """

    label: int | None
    k: int
    radius: float
    certified_at: tuple[float, ...]
    samples: int


def certify_counts(counts: ArrayLike, label: int, plan: Plan, k: int = 1, radii: Sequence[float] = ()) -> Certificate:
    """Certificate of one image from its votes.

    Args:
        counts: int (c,), the votes of a single look, or int (L, c), cumulative votes at plan.looks[:L].
        label: the label, in 0..c-1; must not be chosen from these votes.
        plan: looks, alpha, bound, sigma. For a single look at n use `Plan((n,), ...)`, which spends all of alpha there.
        k: rank of the certificate, 1 <= k < c.
        radii: L2 radii to decide, in units of the [0, 1] range.

    Returns:
        A Certificate; label None (radius 0.0) where nothing is certified.

    Raises:
        SpecError: if the counts do not fit the plan, or k or the label is out of range.

    >>> plan = Plan((1000,), 0.001, "cohen", classes=3, sigma=0.5)
    >>> certify_counts([990, 8, 2], 0, plan, radii=(0.5, 1.0))
    Certificate(label=0, k=1, radius=0.989004, certified_at=(0.5,), samples=1000)
    >>> certify_counts([510, 488, 2], 0, plan).label is None
    True
    """
    votes = np.atleast_2d(np.asarray(counts, dtype=np.int64))
    if votes.shape[-1] != plan.classes:
        raise SpecError(f"expected counts of {plan.classes} classes, got {votes.shape[-1]}", code="E-SPEC-063")
    tally(votes, np.full(len(votes), label), k)  # refuses counts that are none
    looks = [(int(look.sum()), {int(c): int(look[c]) for c in np.flatnonzero(look)}) for look in votes]
    found = rule_of(plan, k).certificates(StoredVotes([looks], [label], len(looks), k))
    samples, exact = max(n for n, _ in looks), float(found.radius[0])
    if exact <= 0:
        return Certificate(None, k, 0.0, (), samples)
    kept = tuple(r for r in radii if found.at(r)[0])
    return Certificate(label, k, round_down(exact), kept, samples)


def radii_from_counts(
    counts: ArrayLike, labels: ArrayLike, k: int, sigma: float, alpha: float = 0.001, bound: str = "rankcp"
) -> FloatArray:
    """Certified radii of many images, each from a single look that spends all of alpha.

    Args:
        counts: int (m, c): votes.
        labels: int (m,): labels; must not be chosen from these votes.
        k: rank of the certificate, 1 <= k < c.
        sigma: noise standard deviation, > 0, in units of the [0, 1] range.
        alpha: error probability of one certificate, in (0, 1).
        bound: one of `BOUNDS`.

    Returns:
        float64 (m,): L2 radii in units of the [0, 1] range, rounded down to 6 decimals; 0.0 for an abstention.

    Raises:
        SpecError: if an argument is out of range.

    >>> radii_from_counts([[990, 8, 2], [510, 488, 2]], [0, 0], 1, 0.5, bound="cohen").tolist()
    [0.989004, 0.0]
    """
    votes = np.asarray(counts, dtype=np.int64)
    pair = bounds(tally(votes, labels, k), alpha, k, bound, votes.shape[-1])
    return round_down(np.maximum(radius(pair, sigma), 0.0))


def r_max_of_counts(counts: ArrayLike, k: int, sigma: float, alpha: float = 0.001, bound: str = "rankcp") -> float:
    """Largest attainable radius R_max of a table of counts: that of unanimous votes at the largest n in it.

    Args:
        counts: int (m, c): votes.
        k: rank of the certificate, 1 <= k < c.
        sigma: noise standard deviation, > 0, in units of the [0, 1] range.
        alpha: error probability of one certificate, in (0, 1).
        bound: one of `BOUNDS`.

    Returns:
        An L2 radius in units of the [0, 1] range, not rounded; radii beyond it are not attainable.

    Raises:
        SpecError: if an argument is out of range.

    >>> round(r_max_of_counts([[990, 8, 2]], 1, 0.5, bound="cohen"), 6)
    1.231631
    """
    votes = np.asarray(counts, dtype=np.int64)
    return r_max(Plan((int(votes.sum(axis=1).max()),), alpha, bound, votes.shape[-1], sigma), k)
