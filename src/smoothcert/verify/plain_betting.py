"""Certificates by betting in plain Python: a second implementation of the rule in `smoothcert.stats.betting`.

The cumulative looks of one image are followed radius by radius and rival by rival, with `math` alone; nothing is shared
with `smoothcert.stats`. Both implementations compute the logarithm of the wealth to within 1e-11 n_max, and the first
asks for 1e-11 n_max more than ln(1 / alpha), so a claim is accepted if the wealth found here is within what that leaves
open: then the exact wealth is at least 1 / alpha up to a factor 1 - 2e-11 n_max.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from smoothcert.verify.plain import phi, quantile

Votes = Mapping[int, int]
ROUNDING = 1e-11
"""Error of a log-wealth, per vote of n_max."""
_SHARES = 256  # shares of third classes that have a tangent of their own
_SLACK = 1e-12  # added to eta


@dataclass(frozen=True)
class Rule:
    """What was fixed before the votes.

    Attributes:
        k: rank of the certificate, 1 <= k < classes.
        ratios: the grid of radii, each divided by sigma, increasing, > 0.
        alpha: error probability.
        n_max: most samples per image.
        classes: number of classes.
        eta: total-variation term of one sample.
    """

    k: int
    ratios: tuple[float, ...]
    alpha: float
    n_max: int
    classes: int
    eta: float = 0.0


def is_certified_count(count: int, looks: Sequence[Votes], label: int, rule: Rule) -> bool:
    """Whether a claimed number of certified ratios, the first of the grid, is sound and not needlessly small.

    Sound: the wealth at each of them reaches 1 / alpha. Not small: at the next ratio it does not. Both up to rounding.

    Args:
        count: ratios that are claimed to be certified.
        looks: cumulative votes by class at each look, in order.
        label: the class that the certificates are for.
        rule: what was fixed before the votes.
    """
    error = ROUNDING * rule.n_max
    if not 0 <= count <= len(rule.ratios):
        return False
    if not all(is_certified(rho, looks, label, rule, -error) for rho in rule.ratios[:count]):
        return False
    return count == len(rule.ratios) or not is_certified(rule.ratios[count], looks, label, rule, 3 * error)


def certified_count(looks: Sequence[Votes], label: int, rule: Rule) -> int:
    """Return how many ratios of the grid are certified, from the first to the one before the first that is not.

    Example:
        >>> rule = Rule(1, (0.5, 1.0, 1.5, 2.0), alpha=0.001, n_max=1000, classes=1000)
        >>> certified_count([{7: 98, 3: 2}, {7: 490, 3: 10}], 7, rule)
        3
    """
    for count, rho in enumerate(rule.ratios):
        if not is_certified(rho, looks, label, rule):
            return count
    return len(rule.ratios)


def is_certified(rho: float, looks: Sequence[Votes], label: int, rule: Rule, more: float = 0.0) -> bool:
    """Whether each null at one ratio is refuted at some look: log-wealth of at least ln(1 / alpha) + more."""
    last = looks[-1] if looks else {}
    seen = sorted((c for c in last if c != label and last[c]), key=lambda c: -last[c])  # most voted first: it may fail
    unseen = rule.classes - 1 - len(seen)
    if rule.k > 1:
        return _refuted(_batches_of_sets(looks, label, [*seen, *[-1] * min(unseen, rule.k)], rule.k), rho, rule, more)
    rivals = [*seen, *[-1] * min(unseen, 1)]  # rivals without a vote are alike
    return all(_refuted(_batches_of_one(looks, label, rival), rho, rule, more) for rival in rivals)


Batch = tuple[int, int, list[int], int, int, list[int]]
"""Votes, the label's, and T's for t = 1, 2, ..., before a batch; then the same in the batch."""


def _batches_of_one(looks: Sequence[Votes], label: int, rival: int) -> Iterator[Batch]:
    before: Votes = {}
    for now in looks:
        old = sum(before.values()), before.get(label, 0), before.get(rival, 0)
        total, own, other = sum(now.values()), now.get(label, 0), now.get(rival, 0)
        yield old[0], old[1], [old[2]], total - old[0], own - old[1], [other - old[2]]
        before = now


def _batches_of_sets(looks: Sequence[Votes], label: int, rivals: Sequence[int], k: int) -> Iterator[Batch]:
    """T before: the t least of the k most voted rivals; T in the batch: as many votes as any set's T can have."""
    before: Votes = {}
    for now in looks:
        pairs = sorted((-before.get(c, 0), now.get(c, 0) - before.get(c, 0)) for c in rivals)
        old, new = [-votes for votes, _ in pairs[:k]], [votes for _, votes in pairs]
        n, own = sum(before.values()), before.get(label, 0)
        least = [sum(old[k - t :]) for t in range(1, k + 1)]
        most = [sum(heapq.nlargest(t, new[k - t :])) for t in range(1, k + 1)]
        yield n, own, least, sum(now.values()) - n, now.get(label, 0) - own, most
        before = now


def _refuted(batches: Iterator[Batch], rho: float, rule: Rule, more: float) -> bool:
    """Whether the mixture's wealth reaches 1 / alpha at some look, in logarithms."""
    bets = _bets(rho, rule)
    need = more - math.log(rule.alpha)
    wealth = list(bets.log_weights)
    for n, label, members, new_n, new_label, new_members in batches:
        t, share = bets.choice(n, label, members)
        own, other = new_label, new_members[t - 1]
        third = new_n - own - other
        each = zip(wealth, bets.log_factors(t, share), strict=True)
        wealth = [w + own * gain + other * loss + third * fee for w, (gain, loss, fee) in each]
        top = max(wealth)
        if top + math.log(math.fsum(math.exp(w - top) for w in wealth)) >= need:
            return True
    return False


class _Bets:
    """The experts of one ratio, their weights, and their bets on each tangent."""

    def __init__(self, rho: float, rule: Rule) -> None:
        self._rho, self._rule = rho, rule
        self._nats = 2.0 - math.log(rule.alpha)
        each = -math.log1p(-phi(-rho - quantile(1.0 / (rule.k + 1))))
        first = min(max(self._nats / each if each else math.inf, 16.0), float(rule.n_max))
        self._others: list[float] = []
        while (n := rule.n_max / 3.0 ** len(self._others)) > first:
            self._others.append(n)
        self._others.reverse()
        roots = [math.sqrt(n) for n in (first, *self._others)]
        self.log_weights = [math.log(root / math.fsum(roots)) for root in roots]
        self._known: dict[tuple[int, int], list[tuple[float, float, float]]] = {}

    def choice(self, n: int, label: int, members: Sequence[int]) -> tuple[int, int]:
        """Return t and the tangent's number: the t that promises most per vote; all of k before the first vote."""
        if n == 0:
            return len(members), 0
        thirds = [n - label - own for own in members]
        if len(members) == 1:
            return 1, _SHARES * thirds[0] // (n + 1)
        best, chosen = -math.inf, (1, 0)
        for t, (own, third) in enumerate(zip(members, thirds, strict=True), 1):
            share = _SHARES * third // (n + 1)
            x, y, z = label + 0.5, own + 0.5, third + 0.5 if third else 0.0
            promise = max(x * gain + y * loss + z * fee for gain, loss, fee in self.log_factors(t, share))
            if promise > best:
                best, chosen = promise, (t, share)
        return chosen

    def log_factors(self, t: int, share: int) -> list[tuple[float, float, float]]:
        """Return for each expert the logarithm of what a vote for the label, for T, and for others does to it."""
        if (t, share) not in self._known:
            self._known[t, share] = self._computed(t, share / _SHARES)
        return self._known[t, share]

    def _computed(self, t: int, o: float) -> list[tuple[float, float, float]]:
        z = _contact(t, self._rho, o)
        y = quantile(t * phi(z - self._rho))
        g, s = phi(y - self._rho), t * math.exp(self._rho * (z - self._rho + y))
        c, gain, slack = s * phi(z) - g, s * phi(-z) + g, (1.0 + s) * (self._rule.eta + _SLACK)
        deviation = math.sqrt(phi(z) * gain**2 + g * (1.0 + c) ** 2 + o * c**2)
        most = 0.98 / (1.0 + c + slack)
        bets = [most, *(min(math.sqrt(2.0 * self._nats / n) / deviation, most) for n in self._others)]
        pays = gain - slack, -1.0 - (c + slack), -(c + slack)
        return [(math.log1p(b * pays[0]), math.log1p(b * pays[1]), math.log1p(b * pays[2])) for b in bets]


_bets = lru_cache(maxsize=1000)(_Bets)


def _contact(t: int, rho: float, share: float) -> float:
    """Return z with Phi(z) + g_t(Phi(z)) = 1 - share."""
    high = rho + quantile(1.0 / (t + 1))
    if share == 0.0:
        return high
    low = -38.0
    for _ in range(64):
        middle = (low + high) / 2.0
        if phi(middle) + phi(quantile(t * phi(middle - rho)) - rho) > 1.0 - share:
            high = middle
        else:
            low = middle
    return low
