"""A second implementation in plain Python: no NumPy, no SciPy, no code shared with `smoothcert.stats`.

It checks claimed values instead of computing them. A confidence bound is checked by *evaluating* the binomial tail at
it; a radius by the margins (Jia et al., ICLR 2020, arXiv:1912.09899, Theorem 1) just below and above it, with
`math.erfc` for the normal distribution. Claims over a data set are checked likewise, with binomial terms computed from
their ratios, outwards from the mode, and divided by their sum: no factorial and no gamma function is needed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()
SLACK = 1e-9
"""Tolerance of a radius, in units of sigma, around the point where the margin changes sign."""
R_MAX_SLACK = 1e-7
"""Tolerance of R_max, whose bounds are computed here: the claimed ones are larger by up to 1e-9 relative."""


def binomial_tail(x: int, n: int, p: float) -> float:
    """Return P(X <= x) for X ~ Binomial(n, p), summed from its largest term downwards.

    Args:
        x: successes, 0 <= x < n, at most n p (the sum runs downwards).
        n: trials.
        p: success probability, in (0, 1).

    Example:
        >>> round(binomial_tail(1, 3, 0.5), 12)
        0.5
    """
    term = math.exp(_log_choose(n, x) + x * math.log(p) + (n - x) * math.log1p(-p))
    odds, total = (1 - p) / p, 0.0
    for i in range(x, -1, -1):
        total += term
        term *= i / (n - i + 1) * odds
        if term < total * 1e-17:
            break
    return total


def _log_choose(n: int, x: int) -> float:
    if x <= 1000:  # exact: at n = 10^7 the rounding error of lgamma would be as large as the tolerance
        return math.log(math.comb(n, x))
    return math.lgamma(n + 1) - math.lgamma(x + 1) - math.lgamma(n - x + 1)


@lru_cache(maxsize=100_000)
def is_upper_bound(u: float, x: int, n: int, level: float) -> bool:
    """Whether u is a sound and tight upper confidence bound for x successes out of n at a level.

    Sound: P(X <= x) at u is at most the level (u = 1 always is). Tight: at a bound smaller by 4e-9 relative it is not.
    """
    if not 0.0 < u < 1.0:
        return u >= 1.0
    return binomial_tail(x, n, u) <= level * (1 + 1e-8) and binomial_tail(x, n, u * (1 - 4e-9)) >= level * (1 - 1e-8)


def phi(z: float) -> float:
    """Return the standard normal distribution function, accurate in its lower tail."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def quantile(p: float) -> float:
    """Return the standard normal quantile of a probability in [0, 1)."""
    return _NORMAL.inv_cdf(p) if p != 0.0 else -math.inf


def margin(q: float, rivals: Sequence[float], r: float, eta: float) -> float:
    """Return the margin of a label at a radius: positive if it is certified, negative if not.

    Args:
        q: upper bound of 1 - P(label).
        rivals: upper bounds of the k most probable rivals, descending.
        r: radius divided by sigma, >= 0.
        eta: total-variation term.

    Returns:
        The largest over t of log(label's least probability) - log(rivals' largest mean probability), Jia et al. 2020.
    """
    if q + eta >= 1.0:
        return -math.inf
    label = phi(-quantile(q + eta) - r)
    best, total = -math.inf, 0.0
    for t, u in enumerate(reversed(rivals), 1):
        total += u
        rival = phi(quantile(min(total, q) + eta) + r) / t if min(total, q) + eta < 1.0 else 1.0
        best = max(best, _log(label) - _log(rival))
    return best


def _log(p: float) -> float:
    return math.log(p) if p > 0.0 else -math.inf


def is_radius(r: float, q: float, rivals: Sequence[float], eta: float, slack: float = SLACK) -> bool:
    """Whether r is the largest certified radius / sigma, by the sign of the margin on both sides of r.

    Sound: the margin at r - slack is >= 0. Tight: at r + slack it is <= 0. For r <= 0, which claims nothing, only the
    second condition applies. False for NaN.

    Args:
        r: radius divided by sigma.
        q: upper bound of 1 - P(label).
        rivals: upper bounds of the k most probable rivals, descending.
        eta: total-variation term.
        slack: tolerance of r.
    """
    sound = r <= 0.0 or margin(q, rivals, r - slack, eta) >= 0.0
    return sound and margin(q, rivals, max(r, 0.0) + slack, eta) <= 0.0


def winner(votes: Mapping[int, int] | None) -> int | None:
    """Return the class with most votes (the lowest on a tie); None without votes."""
    if not votes:
        return None
    most = max(votes.values())
    return min(c for c, count in votes.items() if count == most)


def unanimous(n: int, level: float) -> float:
    """Return the upper confidence bound for 0 successes out of n: the u with (1 - u)^n = level."""
    return -math.expm1(math.log(level) / n)


def shares(bound: str, classes: int, k: int, level: float) -> tuple[float, float | None]:
    """Return the error levels of the label and of each rival; None if rivals have no bound of their own."""
    if bound == "cohen" or (bound == "rankcp" and classes == 2):
        return level, None
    return (0.7 * level, 0.3 * level / k) if bound == "rankcp" else (level / classes,) * 2


def total_variation(values: int, sigma: float, levels: int) -> float:
    """Return eta of one noisy image: max(T, 4) 2^-64 per value, T the number of thresholds."""
    return values * max(thresholds(sigma, levels), 4) * 2.0**-64


def thresholds(sigma: float, levels: int) -> int:
    """Return the number T of thresholds of integer noise: grid points whose tail is at least 2^-64, on both sides."""
    widest = -quantile(2.0**-64) * sigma * levels
    return 2 * (math.floor(widest - 0.5) + 1)


def schedule(n_max: int, stopping: str, bound: str = "rankcp") -> tuple[int, ...]:
    """Return the schedule of looks: n_max, then repeatedly 2/3 of it (floor), with betting 10/11, down to 100."""
    looks, (part, whole) = [n_max], (10, 11) if bound == "betting" else (2, 3)
    while (stopping == "looks" or bound == "betting") and part * looks[0] // whole >= 100:
        looks.insert(0, part * looks[0] // whole)
    return tuple(looks)


def levels(looks: Sequence[int], alpha: float) -> tuple[float, ...]:
    """Return the alpha spent at each look: 0.3 alpha at the last; the rest half equally, half by growth of sqrt(n)."""
    if len(looks) == 1:
        return (alpha,)
    early = list(looks[:-1])
    roots = [math.sqrt(n) for n in early]
    growth = [roots[0], *(b - a for a, b in itertools.pairwise(roots))]
    return (*(0.7 * alpha * (0.5 / len(early) + 0.5 * step / roots[-1]) for step in growth), 0.3 * alpha)


CLAIM_SLACK = 1e-8
"""Tolerance of a claimed share on the safe side of the exact one."""
_ROUNDING = 1e-8  # relative tolerance of a tail; claims are inflated by 1e-9 of their share, so sound claims pass
_LEAST = 1e-25  # terms below this share of the largest are left out


def at_least(x: int, n: int, p: float) -> float:
    """Return P(X >= x) for X ~ Binomial(n, p).

    Example:
        >>> round(at_least(2, 3, 0.5), 12)
        0.5
    """
    if x <= 0 or p >= 1.0:
        return 1.0 if x <= n else 0.0
    terms = list(_terms(n, p))
    return math.fsum(term for i, term in terms if i >= x) / math.fsum(term for _, term in terms)


def at_most(x: int, n: int, p: float) -> float:
    """Return P(X <= x) for X ~ Binomial(n, p).

    Example:
        >>> round(at_most(1, 3, 0.5), 12)
        0.5
    """
    if x >= n or p <= 0.0:
        return 1.0 if x >= 0 else 0.0
    terms = list(_terms(n, p))
    return math.fsum(term for i, term in terms if i <= x) / math.fsum(term for _, term in terms)


def _terms(n: int, p: float) -> Iterator[tuple[int, float]]:
    """Yield (i, P(X = i) / P(X = mode)), first from the mode upwards, then downwards."""
    if p <= 0.0 or p >= 1.0:
        yield (0 if p <= 0.0 else n), 1.0
        return
    odds, mode = p / (1.0 - p), min(n, int((n + 1) * p))
    term = 1.0
    for i in range(mode, n + 1):
        yield i, term
        term *= (n - i) / (i + 1) * odds
        if term < _LEAST:
            break
    term = 1.0
    for i in range(mode, 0, -1):
        term *= i / (n - i + 1) / odds
        if term < _LEAST:
            break
        yield i - 1, term


def is_lower_limit(p: float, s: int, m: int, level: float, floor: float = 0.0) -> bool:
    """Whether p is a sound and tight lower confidence bound for s successes out of m at a level.

    Sound: P(X >= s) at p is at most the level (p = floor, below which nothing is claimed, always is). Tight: at a bound
    larger by `CLAIM_SLACK` it is not.
    """
    if not floor <= p < 1.0:
        return False
    sound = p == floor or at_least(s, m, p) <= level * (1 + _ROUNDING)
    return sound and at_least(s, m, p + CLAIM_SLACK) >= level * (1 - _ROUNDING)


def is_upper_limit(p: float, s: int, m: int, level: float) -> bool:
    """Whether p is a sound and tight upper confidence bound for s successes out of m at a level."""
    if not 0.0 < p <= 1.0:
        return False
    sound = p == 1.0 or at_most(s, m, p) <= level * (1 + _ROUNDING)
    return sound and at_most(s, m, p - CLAIM_SLACK) >= level * (1 - _ROUNDING)


def is_population_bound(p: float, s: int, m: int, alpha: float, level: float) -> bool:
    """Whether p is the lower bound on the robust fraction of a population, of whose m draws s were certified.

    P(certified) <= p + alpha (1 - p), so the right-hand side is the lower bound on P(certified).
    """
    return p >= 0.0 and is_lower_limit(alpha + (1.0 - alpha) * p, s, m, level, floor=alpha)


def is_bad_runs(bad: int, m: int, alpha: float, level: float) -> bool:
    """Whether `bad` is the smallest b with P(X > b) <= level for X ~ Binomial(m, alpha)."""
    if not 0 <= bad <= m:
        return False
    sound = at_least(bad + 1, m, alpha) <= level * (1 + _ROUNDING)
    return sound and (bad == 0 or at_least(bad, m, alpha) >= level * (1 - _ROUNDING))


def one_each(groups: Iterable[str | None], seed: int) -> list[int]:
    """Return the index of one image per group: that with the smallest SHA-256 of the JSON list [seed, group, index]."""
    least: dict[str, tuple[str, int]] = {}
    for place, name in enumerate(group or "" for group in groups):
        mark = hashlib.sha256(json.dumps([seed, name, place]).encode()).hexdigest()
        if name not in least or (mark, place) < least[name]:
            least[name] = (mark, place)
    return [place for _, place in least.values()]


def spread(counts: Counter[int]) -> tuple[float, float, int]:
    """Return mean, median and maximum of whole numbers given by their multiplicities; 0 if there are none."""
    total = sum(counts.values())
    if not total:
        return 0.0, 0.0, 0
    mean = sum(value * times for value, times in counts.items()) / total
    middle, passed = [], 0
    for value in sorted(counts):
        ranks = {(total - 1) // 2, total // 2}
        middle += [value for rank in ranks if passed <= rank < passed + counts[value]]
        passed += counts[value]
    return mean, sum(middle) / len(middle), max(counts)
