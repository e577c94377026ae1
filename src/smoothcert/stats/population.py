"""Claims over a data set of m images, of which s are certified with the correct label.

Abstentions, wrong classes and images without a result stay in the denominator m.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from smoothcert.errors import SpecError
from smoothcert.stats.binomial import interval, lower_bound


@dataclass(frozen=True)
class Claim:
    """What s certified images out of m say about these images and about the population.

    Attributes:
        certified: s, images certified with the correct label.
        images: m, all images of the run.
        observed: certified accuracy, s / m.
        low: lower end of the exact two-sided Clopper-Pearson interval of s / m.
        high: its upper end.
        sample: lower bound on how many of these images are truly robust (`sample_bound`).
        population: lower bound on the robust fraction of the population (`population_bound`).
        joint: the same at level delta / entries, so that the bounds of all entries hold jointly.
    """

    certified: int
    images: int
    observed: float
    low: float
    high: float
    sample: int
    population: float
    joint: float


def claims(s: int, m: int, alpha: float, entries: int = 1, confidence: float = 0.95) -> Claim:
    """All claims about one entry (one sigma, k and radius) of the results table.

    Args:
        s: images certified with the correct label, 0 <= s <= m.
        m: images of the run, >= 1.
        alpha: error probability of one certificate, in (0, 1).
        entries: number of entries quoted together, fixed before the run; each joint bound is at level delta / entries.
        confidence: 1 - delta, in (0, 1).

    Returns:
        A Claim; fractions are not rounded (round lower bounds down, upper bounds up).

    Raises:
        SpecError: if an argument is out of range.

    >>> from smoothcert.stats.rounding import round_down
    >>> c = claims(2400, 4000, 0.001, entries=9)
    >>> c.sample, round_down(c.population), round_down(c.joint)
    (2392, 0.586669, 0.579678)
    """
    if not entries >= 1:
        raise SpecError(f"expected at least 1 entry of the results table, got {entries}", code="E-SPEC-064")
    delta = 1 - confidence
    low, high = interval(s, m, confidence)
    sample = sample_bound(s, m, alpha, delta)
    population = population_bound(s, m, alpha, delta)
    joint = population_bound(s, m, alpha, delta / entries)
    return Claim(s, m, observed(s, m), low, high, sample, population, joint)


def observed(s: int, m: int) -> float:
    """Certified accuracy of these images, s / m.

    Args:
        s: images certified with the correct label, 0 <= s <= m.
        m: images of the run, >= 1.

    Returns:
        A fraction in [0, 1].

    Raises:
        SpecError: if s is outside [0, m] or m < 1.

    >>> observed(2400, 4000)
    0.6
    """
    if not (m >= 1 and 0 <= s <= m):
        raise SpecError(f"expected 0 <= certified <= images and images >= 1, got {s} of {m}", code="E-SPEC-065")
    return s / m


def bad_runs(m: int, alpha: float, delta: float = 0.05) -> int:
    """Upper bound, at confidence 1 - delta, on how many of m independent certificates are wrong.

    The (1 - delta)-quantile of Binomial(m, alpha). Each certificate fails with probability at most alpha on its own
    noise, so the number of failures is stochastically smaller than Binomial(m, alpha), also for unequal rates.

    Args:
        m: images, >= 0.
        alpha: error probability of one certificate, in (0, 1).
        delta: error probability of this statement, in (0, 1).

    Returns:
        The smallest b with P(X > b) <= delta.

    Raises:
        SpecError: if an argument is out of range.

    >>> bad_runs(4000, 0.001, 0.05)
    8
    """
    _check(m, alpha, delta)

    def rare(b: int) -> bool:
        return b >= m or bool(betainc(b + 1, m - b, alpha) <= delta)

    return bisect_left(range(m + 1), True, key=rare)


def sample_bound(s: int, m: int, alpha: float, delta: float = 0.05) -> int:
    """Lower bound on how many of these m images are truly robust: max(0, s - bad_runs(m, alpha, delta)).

    Holds with probability at least 1 - delta over the noise draws; needs independent noise per image. For a joint
    statement over several sigma, pass delta / number of sigma.

    Args:
        s: images certified with the correct label, 0 <= s <= m.
        m: images of the run, >= 1.
        alpha: error probability of one certificate, in (0, 1).
        delta: error probability of this statement, in (0, 1).

    Returns:
        A number of images.

    Raises:
        SpecError: if an argument is out of range.

    >>> sample_bound(2400, 4000, 0.001)
    2392
    """
    observed(s, m)
    return max(0, s - bad_runs(m, alpha, delta))


def population_bound(s: int, m: int, alpha: float, delta: float = 0.05) -> float:
    """Lower bound on the fraction of the population on which the smoothed classifier is robust.

    p_L = max(0, (q_L - alpha) / (1 - alpha)), where q_L is the one-sided Clopper-Pearson lower bound of s out of m at
    level delta. Proof: for one image drawn from the population and then certified with its own noise,
    P(certified) <= P(robust) + alpha P(not robust). The m images are independent repetitions of this experiment, so
    P(certified) >= q_L with probability at least 1 - delta over images and noise. Sequential looks are covered, because
    alpha covers them. For a joint statement over several entries, pass delta / number of entries.

    Args:
        s: images certified with the correct label, 0 <= s <= m.
        m: images drawn independently from the population, >= 1.
        alpha: error probability of one certificate, in (0, 1).
        delta: error probability of this statement, in (0, 1).

    Returns:
        A fraction in [0, 1), not rounded.

    Raises:
        SpecError: if an argument is out of range.

    >>> from smoothcert.stats.rounding import round_down
    >>> round_down(population_bound(2400, 4000, 0.001))
    0.586669
    """
    observed(s, m)
    _check(m, alpha, delta)
    q_low = float(lower_bound(s, m, delta))
    return max(0.0, (q_low - alpha) / (1 - alpha))


def _check(m: int, alpha: float, delta: float) -> None:
    if m < 0 or not 0 < alpha < 1 or not 0 < delta < 1:
        raise SpecError(f"expected m >= 0, alpha and delta in (0, 1), got {m}, {alpha} and {delta}", code="E-SPEC-066")


def one_per_group(groups: Iterable[object], seed: int) -> NDArray[np.int64]:
    """Draw one image per group (patient), so that the images behind a population bound are independent.

    Draws the image whose SHA-256 of (seed, group, index) is smallest: every image of a group is equally likely, and the
    draw is the same on every machine and with every library version. The bound is then about "one random image of a
    random group".

    Args:
        groups: the group of each image, m strings or integers (compared as text).
        seed: fixed before the run.

    Returns:
        int64 (number of groups,): indices of the drawn images, increasing.

    >>> one_per_group(["a", "a", "b", "b", "b"], seed=7).tolist()
    [0, 4]
    """
    best: dict[str, tuple[bytes, int]] = {}
    for index, group in enumerate(groups):
        name = str(group)
        mark = (hashlib.sha256(json.dumps([seed, name, index]).encode()).digest(), index)
        best[name] = min(mark, best.get(name, mark))
    return np.array(sorted(index for _, index in best.values()), dtype=np.int64)
