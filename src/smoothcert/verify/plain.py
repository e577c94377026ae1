"""A second implementation in plain Python: no NumPy, no SciPy, nothing shared with `smoothcert.stats`.

Bounds are not inverted again; the binomial tail is *evaluated* at the bound that was claimed. Radii are not solved for
again either: the probabilities are compared at them, with `math.erfc` in place of SciPy's normal distribution. Claims
over a data set are checked likewise: binomial terms follow from their ratios, outwards from the most probable number,
and are divided by their own sum, so that no factorial and no gamma function is needed.
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
"""How far a radius may be from the one at which the margin changes its sign, in units of sigma."""
R_MAX_SLACK = 1e-7
"""The same for R_max, whose bounds are computed anew: those that were claimed are larger by up to 1e-9 of their own."""


def binomial_tail(x: int, n: int, p: float) -> float:
    """Return P(X <= x), X binomial (n, p), summed from its largest term downwards.

    Args:
        x: successes, 0 <= x < n, not above n p (the tail sums downwards).
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
    if x <= 1000:  # exact: at n = 10,000,000 lgamma's rounding would be as large as what is looked for
        return math.log(math.comb(n, x))
    return math.lgamma(n + 1) - math.lgamma(x + 1) - math.lgamma(n - x + 1)


@lru_cache(maxsize=100_000)
def is_upper_bound(u: float, x: int, n: int, level: float) -> bool:
    """Whether u is a sound and not needlessly loose upper confidence bound for x successes of n at a level.

    Sound: P(X <= x) at u is at most the level (u = 1 always is). Not loose: at a bound smaller by 4e-9 it is not.
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
    """Return by how much a label survives at radius r / sigma: above 0 it does, below 0 it does not.

    Args:
        q: upper bound of 1 - p_label.
        rivals: upper bounds of the k most probable rivals, descending.
        r: radius divided by sigma, 0 or more.
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
    """Whether r is the largest radius / sigma at which a label survives, by the sign of its margin on both sides of r.

    Sound: at r - slack the label survives. Not too small: at r + slack it does not. An r of 0 or less claims nothing,
    so it has only to be true that no positive radius holds. Not a number is no radius.

    Args:
        r: radius divided by sigma.
        q: upper bound of 1 - p_label.
        rivals: upper bounds of the k most probable rivals, descending.
        eta: total-variation term.
        slack: what rounding may do to r.
    """
    sound = r <= 0.0 or margin(q, rivals, r - slack, eta) >= 0.0
    return sound and margin(q, rivals, max(r, 0.0) + slack, eta) <= 0.0


def winner(votes: Mapping[int, int] | None) -> int | None:
    """Return the class with most votes, the lowest of several; None without votes."""
    if not votes:
        return None
    most = max(votes.values())
    return min(c for c, count in votes.items() if count == most)


def unanimous(n: int, level: float) -> float:
    """Return the upper confidence bound of 0 successes among n: the u with (1 - u)^n = level."""
    return -math.expm1(math.log(level) / n)


def shares(bound: str, classes: int, k: int, level: float) -> tuple[float, float | None]:
    """Return the levels of the label's bound and of each rival's; None where rivals have no bound of their own."""
    if bound == "cohen" or (bound == "rankcp" and classes == 2):
        return level, None
    return (0.7 * level, 0.3 * level / k) if bound == "rankcp" else (level / classes,) * 2


def total_variation(values: int, sigma: float, levels: int) -> float:
    """Return the total-variation term of one image of so many values: max(T, 4) 2^-64 each, T thresholds."""
    return values * max(thresholds(sigma, levels), 4) * 2.0**-64


def thresholds(sigma: float, levels: int) -> int:
    """Return how many 64-bit thresholds integer noise needs: grid points whose tail is at least 2^-64, both sides."""
    widest = -quantile(2.0**-64) * sigma * levels
    return 2 * (math.floor(widest - 0.5) + 1)


def schedule(n_max: int, stopping: str) -> tuple[int, ...]:
    """Return the looks a request leads to: n_max, then two thirds of the look after it, down to 100."""
    looks = [n_max]
    while stopping == "looks" and 2 * looks[0] // 3 >= 100:
        looks.insert(0, 2 * looks[0] // 3)
    return tuple(looks)


def levels(looks: Sequence[int], alpha: float) -> tuple[float, ...]:
    """Return the error level of each look: 0.3 alpha for the last; the rest half equally, half by growth of sqrt(n)."""
    if len(looks) == 1:
        return (alpha,)
    early = list(looks[:-1])
    roots = [math.sqrt(n) for n in early]
    growth = [roots[0], *(b - a for a, b in itertools.pairwise(roots))]
    return (*(0.7 * alpha * (0.5 / len(early) + 0.5 * step / roots[-1]) for step in growth), 0.3 * alpha)


CLAIM_SLACK = 1e-8
"""How far a claimed share may be on the safe side of the exact one."""
_ROUNDING = 1e-8  # relative, of a tail; what is claimed keeps a distance of 1e-9 of its share, so sound claims pass
_LEAST = 1e-25  # terms below this share of the largest are left out


def at_least(x: int, n: int, p: float) -> float:
    """Return P(X >= x), X binomial (n, p).

    Example:
        >>> round(at_least(2, 3, 0.5), 12)
        0.5
    """
    if x <= 0 or p >= 1.0:
        return 1.0 if x <= n else 0.0
    terms = list(_terms(n, p))
    return math.fsum(term for i, term in terms if i >= x) / math.fsum(term for _, term in terms)


def at_most(x: int, n: int, p: float) -> float:
    """Return P(X <= x), X binomial (n, p).

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
    """Whether p is a sound and not needlessly small lower confidence limit for s successes of m at a level.

    Sound: P(X >= s) at p is at most the level (p = floor, below which nothing is claimed, always is). Not too small:
    at a limit larger by `SLACK` it is not.
    """
    if not floor <= p < 1.0:
        return False
    sound = p == floor or at_least(s, m, p) <= level * (1 + _ROUNDING)
    return sound and at_least(s, m, p + CLAIM_SLACK) >= level * (1 - _ROUNDING)


def is_upper_limit(p: float, s: int, m: int, level: float) -> bool:
    """Whether p is a sound and not needlessly large upper confidence limit for s successes of m at a level."""
    if not 0.0 < p <= 1.0:
        return False
    sound = p == 1.0 or at_most(s, m, p) <= level * (1 + _ROUNDING)
    return sound and at_most(s, m, p - CLAIM_SLACK) >= level * (1 - _ROUNDING)


def is_population_bound(p: float, s: int, m: int, alpha: float, level: float) -> bool:
    """Whether p is the lower limit of the robust share of a population, of whose m draws s were certified.

    P(certified) <= p + alpha (1 - p), so the right-hand side is the lower limit of the probability of being certified.
    """
    return p >= 0.0 and is_lower_limit(alpha + (1.0 - alpha) * p, s, m, level, floor=alpha)


def is_bad_runs(bad: int, m: int, alpha: float, level: float) -> bool:
    """Whether `bad` is the smallest number that more than that many of m certificates are wrong with P <= level."""
    if not 0 <= bad <= m:
        return False
    sound = at_least(bad + 1, m, alpha) <= level * (1 + _ROUNDING)
    return sound and (bad == 0 or at_least(bad, m, alpha) >= level * (1 - _ROUNDING))


def one_each(groups: Iterable[str | None], seed: int) -> list[int]:
    """Return the place of one image a group: that with the smallest SHA-256 of the JSON list [seed, group, place]."""
    least: dict[str, tuple[str, int]] = {}
    for place, name in enumerate(group or "" for group in groups):
        mark = hashlib.sha256(json.dumps([seed, name, place]).encode()).hexdigest()
        if name not in least or (mark, place) < least[name]:
            least[name] = (mark, place)
    return [place for _, place in least.values()]


def spread(counts: Counter[int]) -> tuple[float, float, int]:
    """Return mean, median and largest of whole numbers, each given with how often it occurs; 0 of none."""
    total = sum(counts.values())
    if not total:
        return 0.0, 0.0, 0
    mean = sum(value * times for value, times in counts.items()) / total
    middle, passed = [], 0
    for value in sorted(counts):
        wanted = {(total - 1) // 2, total // 2}
        middle += [value for place in wanted if passed <= place < passed + counts[value]]
        passed += counts[value]
    return mean, sum(middle) / len(middle), max(counts)
