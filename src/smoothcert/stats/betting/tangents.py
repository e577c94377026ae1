"""The null hypothesis "radius r does not hold", and the straight lines below it on which votes are bet.

Notation: f is the base classifier, p_j the probability that f classifies a noise sample as j, p_T the sum over a set T
of classes, l the label, z = Phi^-1(p_l), rho = r / sigma, t = |T|, and

    g_t(x) = Phi(Phi^-1(t Phi(Phi^-1(x) - rho)) - rho),    infinite where t Phi(Phi^-1(x) - rho) >= 1.

**Theorem** (Jia et al., ICLR 2020, Theorem 1, arXiv:1912.09899). Suppose that a change d, ||d||_2 < r, drives l out of
the k most probable classes. Then there is a set G of k rivals with p_T >= g_t(p_l) for every non-empty T in G.

Proof. At x + d, some set G of k rivals has p_j(x + d) >= p_l(x + d) for each j in G, hence p_T(x + d) >= t p_l(x + d)
for each T in G. By the lemma of Neyman and Pearson and ||d|| < r, p_l(x + d) >= Phi(z - rho) and
p_T(x + d) <= Phi(Phi^-1(p_T) + rho). Together Phi(Phi^-1(p_T) + rho) >= t Phi(z - rho), which is p_T >= g_t(p_l). If
t Phi(z - rho) >= 1, no such T exists: the label and its t rivals would have more than all probability.

**Tangents.** x -> t Phi(Phi^-1(x) - rho) is increasing and convex, for its derivative t exp(rho Phi^-1(x) - rho^2 / 2)
increases. So is u -> Phi(Phi^-1(u) - rho), and so is g_t, the composition of both. Hence a tangent of g_t at any
a = Phi(z) is nowhere above it. With y = Phi^-1(t Phi(z - rho)), the slope s = t exp(rho (z + y) - rho^2) and
c = s a - g_t(a), every null has

    s p_l - p_T <= c.

If delivered noise is within eta in total variation of Gaussian noise, p_l and p_T change by at most eta, and
c + (1 + s) eta takes the place of c. A vote pays s - c if it is for the label, -1 - c if for a member of T, and -c
otherwise: its expectation under the null is not positive.

**The point of contact** is free. Here it depends on the share o of classes that are neither l nor in T: it is the point
of the null with that share, Phi(z) + g_t(Phi(z)) = 1 - o, for o = 0, 1/256, ..., 255/256.

**Arithmetic.** c is increased by another (1 + s) 1e-12, which covers rounding: the line through the floats that are bet
on, intercept `other` = -c and slope `label` - `other`, has room to spare below g_t. `lines` checks this on a grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import FloatArray

ROWS = 256
"""Values of the share of third classes for which a tangent is kept."""
SLACK = 1e-12
"""Added to eta: covers the rounding of a tangent's coefficients, which is below a tenth of it for t <= 50."""
LARGEST = 50
"""Largest t for which rounding is covered."""
_FAR = np.concatenate([np.linspace(-38, -9, 30), np.linspace(-8.9, 8.9, 179), [9.0, 38.0]])


@dataclass(frozen=True, eq=False)
class Lines:
    """Pay-offs of one vote, for one t and one rho: row i for a share i / 256 of third classes.

    Attributes:
        label: float64 (256,): s - c, what a vote for the label pays.
        member: float64 (256,): -1 - c, what a vote for a member of T pays.
        other: float64 (256,): -c, what any other vote pays.
        deviation: float64 (256,): standard deviation of the pay-off at the point of contact.
    """

    label: FloatArray
    member: FloatArray
    other: FloatArray
    deviation: FloatArray


def null(z: FloatArray, t: int, rho: float) -> FloatArray:
    """Return g_t(Phi(z)), the least probability of T under the null; infinite where no T is likely enough.

    Args:
        z: float (...): normal quantile of the label's probability.
        t: number of classes in T, >= 1.
        rho: r / sigma, > 0.

    >>> null(np.array([0.0, 1.0, 3.0]), 2, 1.0).round(4).tolist()
    [0.0701, inf, inf]
    """
    u = t * ndtr(z - rho)
    inside = u < 1
    return np.where(inside, ndtr(ndtri(np.where(inside, u, 0.5)) - rho), np.inf)


def unanimous_miss(k: int, rho: float) -> float:
    """Return 1 - p_l at the null with G of k equally probable rivals and no other class: the least that drives l out.

    >>> round(unanimous_miss(1, 1.0), 4), round(unanimous_miss(3, 1.0), 4)
    (0.1587, 0.3724)
    """
    return float(ndtr(-rho - ndtri(1 / (k + 1))))


def lines(t: int, rho: float, eta: float = 0.0) -> Lines:
    """Compute the tangents below the null of one (t, rho), and check that they are below it.

    Args:
        t: number of classes in T, 1 <= t <= 50.
        rho: r / sigma, > 0.
        eta: total-variation distance of the delivered noise from Gaussian noise, for one sample, in [0, 1).

    Returns:
        Lines of 256 rows.

    Raises:
        SpecError: if t, rho or eta is out of range, or a tangent exceeds the null (then SciPy's functions are not
            accurate on this machine).

    >>> line = lines(1, 1.0)
    >>> [round(float(pay[0]), 4) for pay in (line.label, line.member, line.other, line.deviation)]
    [0.3173, -1.6827, -0.6827, 0.7307]
    """
    if not (1 <= t <= LARGEST and 0 < rho < np.inf and 0 <= eta < 1):
        raise SpecError(
            f"expected 1 <= t <= {LARGEST}, rho > 0 and 0 <= eta < 1, got {t}, {rho} and {eta}", code="E-SPEC-040"
        )
    share = np.arange(ROWS) / ROWS
    z = _contact(t, rho, share)
    y = ndtri(t * ndtr(z - rho))
    g, s = ndtr(y - rho), t * np.exp(rho * (z - rho + y))
    slack = (1 + s) * (eta + SLACK)
    c, gain = s * ndtr(z) - g, s * ndtr(-z) + g  # gain = s - c, without cancellation
    deviation = np.sqrt(ndtr(z) * gain**2 + g * (1 + c) ** 2 + share * c**2)
    found = Lines(gain - slack, -1 - (c + slack), -(c + slack), deviation)
    _check(found, np.concatenate([_FAR, z]), t, rho, eta)
    return found


def _contact(t: int, rho: float, share: FloatArray) -> FloatArray:
    """The z at which Phi(z) + g_t(Phi(z)) = 1 - share: in closed form where the share is 0, else by bisection."""
    first = rho + ndtri(1 / (t + 1))
    low, high = np.full(share.shape, -38.0), np.full(share.shape, first)
    for _ in range(64):
        middle = (low + high) / 2
        above = ndtr(middle) + null(middle, t, rho) > 1 - share
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where(share == 0, first, low)


def _check(found: Lines, z: FloatArray, t: int, rho: float, eta: float) -> None:
    """Raise if a line with eta of slack exceeds g_t at some Phi(z)."""
    s, c = (found.label - found.other)[:, None], -found.other[:, None]
    if np.any(s * ndtr(z) - c + (1 + s) * eta > null(z, t, rho)):
        raise SpecError(
            f"expected tangents below the null at t = {t}, r / sigma = {rho}, eta = {eta:g}, got one above it; "
            "SciPy's normal distribution is not accurate on this machine: install another build of SciPy",
            code="E-SPEC-041",
        )
