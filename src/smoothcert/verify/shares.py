"""Claims over a data set, a second time in plain Python: binomial tails added up term by term, at the claimed figure.

Nothing is inverted and nothing is shared with `smoothcert.stats`: the terms follow from their ratios, outwards from the
most probable number, and are divided by their own sum, so that no factorial and no gamma function is needed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator

SLACK = 1e-8
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
    return sound and at_least(s, m, p + SLACK) >= level * (1 - _ROUNDING)


def is_upper_limit(p: float, s: int, m: int, level: float) -> bool:
    """Whether p is a sound and not needlessly large upper confidence limit for s successes of m at a level."""
    if not 0.0 < p <= 1.0:
        return False
    sound = p == 1.0 or at_most(s, m, p) <= level * (1 + _ROUNDING)
    return sound and at_most(s, m, p - SLACK) >= level * (1 - _ROUNDING)


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
