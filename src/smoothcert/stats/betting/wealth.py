"""The bets, and the wealth that they have come to: look by look, or from stored looks at once.

The theorem, its proof and the symbols are in `smoothcert.stats.betting`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from smoothcert.errors import SpecError
from smoothcert.stats.betting.batch import Batch
from smoothcert.stats.betting.tangents import LARGEST, ROWS, lines, unanimous_miss
from smoothcert.stats.binomial import FloatArray
from smoothcert.stats.bounds import IntArray

BoolArray = NDArray[np.bool_]

MOST_LOOKS = 2000
"""Looks per image for which the rounding error is covered."""
ROUNDING = 1e-11
"""Error of the log-wealth per vote of n_max that is allowed for."""
_BOLDEST = 0.98  # of the bet with which one vote could lose everything
_FEWEST = 16.0  # votes for which an expert is made
_STEP = 3.0  # ratio of the votes for which neighbouring experts are made
_MIXING = 2.0  # log-wealth that having several experts costs
_FIRST_BLOCK = 4  # looks; most small ratios need no more
_BLOCK = 2_000_000  # floats per array when stored looks are evaluated


@dataclass(frozen=True)
class Bets:
    """How votes are bet on: fixed before the first vote is drawn.

    Attributes:
        k: rank of the certificate, 1 <= k <= 50.
        ratios: the grid r / sigma, increasing, > 0.
        alpha: error probability of one image's certificate, in (0, 1).
        n_max: most samples per image, >= 1.
        eta: total-variation distance of the delivered noise from Gaussian noise, for one sample, in [0, 1).

    Raises:
        SpecError: if a value is out of range.

    >>> bets = Bets(1, (0.5, 1.0), 0.001, 100_000)
    >>> bets.log_factors.shape, round(bets.threshold, 4)
    ((2, 1, 256, 3, 9), 6.9078)
    """

    k: int
    ratios: tuple[float, ...]
    alpha: float
    n_max: int
    eta: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.k <= LARGEST:
            raise SpecError(
                f"expected 1 <= k <= {LARGEST} with betting, got {self.k}; choose a smaller k", code="E-SPEC-042"
            )
        if not self.ratios or any(not a < b < math.inf for a, b in itertools.pairwise((0.0, *self.ratios))):
            raise SpecError(f"expected increasing positive values of r / sigma, got {self.ratios}", code="E-SPEC-043")
        if not (0 < self.alpha < 1 and 0 <= self.eta < 1):
            raise SpecError(
                f"expected 0 < alpha < 1 and 0 <= eta < 1, got {self.alpha} and {self.eta}", code="E-SPEC-044"
            )
        if self.n_max < 1:
            raise SpecError(f"expected n_max >= 1, got {self.n_max}", code="E-SPEC-045")

    @property
    def threshold(self) -> float:
        """Log-wealth that refutes a null: ln(1 / alpha), and what rounding may have added."""
        return -math.log(self.alpha) + ROUNDING * self.n_max

    @property
    def nats(self) -> float:
        """Log-wealth that an image is expected to need, N."""
        return -math.log(self.alpha) + _MIXING

    @cached_property
    def experts(self) -> tuple[tuple[float, ...], ...]:
        """For each ratio, the votes n_0 < ... < n_max for which each expert is made."""
        return tuple(self._experts(rho) for rho in self.ratios)

    def _experts(self, rho: float) -> tuple[float, ...]:
        growth_each = -math.log1p(-unanimous_miss(self.k, rho))
        wanted = self.nats / growth_each if growth_each > 0 else math.inf
        first = min(max(wanted, _FEWEST), float(self.n_max))
        others = itertools.takewhile(lambda n: n > first, (self.n_max / _STEP**i for i in itertools.count()))
        return (first, *reversed(list(others)))

    @cached_property
    def log_weights(self) -> FloatArray:
        """float64 (ratios, experts): ln w; -inf fills rows with fewer experts."""
        filled = np.full((len(self.ratios), max(map(len, self.experts))), -np.inf)
        for row, n in zip(filled, self.experts, strict=True):
            row[: len(n)] = 0.5 * np.log(n) - math.log(math.fsum(map(math.sqrt, n)))
        return filled

    @cached_property
    def log_factors(self) -> FloatArray:
        """float64 (ratios, k, 256, 3, experts): ln(1 + lambda v) of a vote for label, T, others.

        The second axis is t - 1, the third the row of the tangent. Rows with fewer experts repeat their first expert.
        """
        size = self.log_weights.shape[1]
        return np.array([[self._factors(t, r, size) for t in range(1, self.k + 1)] for r in range(len(self.ratios))])

    def _factors(self, t: int, ratio: int, size: int) -> FloatArray:
        line = lines(t, self.ratios[ratio], self.eta)
        boldest = (_BOLDEST / -line.member)[:, None]
        made_for = np.array(self.experts[ratio][1:])
        bets = np.minimum(np.sqrt(2 * self.nats / made_for) / line.deviation[:, None], boldest)
        size_of_bet = np.concatenate([boldest, bets, np.repeat(boldest, size - 1 - len(made_for), axis=1)], axis=1)
        pays = np.stack([line.label, line.member, line.other], axis=1)
        return np.log1p(size_of_bet[:, None, :] * pays[:, :, None])


def growth(log_factors: FloatArray, label: FloatArray, members: FloatArray, others: FloatArray) -> FloatArray:
    """Mean log-growth per vote of the best expert at given shares.

    Args:
        log_factors: float64 (..., 3, experts).
        label, members, others: float (...): shares of the label, of T and of other classes, which sum to 1.
    """
    each = log_factors[..., 0, :] * label[..., None]
    each += log_factors[..., 1, :] * members[..., None]
    each += log_factors[..., 2, :] * others[..., None]
    best: FloatArray = each.max(axis=-1)
    return best


def tangent_at(
    label: IntArray, members: IntArray, n: IntArray, log_factors: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The factors of each t's tangent at so many votes, and the growth they promise at the shares of votes + 1/2.

    Args:
        label, n: int64 (..., 1): votes of the label, and all votes.
        members: int64 (..., G, K): votes of T for each t.
        log_factors: float64 (k, 256, 3, experts), of one ratio; k = K.

    Returns:
        Factors float64 (..., G, K, 3, experts) and growth float64 (..., G, K).
    """
    label, n = label[..., None], n[..., None]
    others = n - label - members
    factors = log_factors[np.arange(log_factors.shape[0]), ROWS * others // (n + 1)]
    shares = (label + 0.5) / (n + 1.5), (members + 0.5) / (n + 1.5), np.where(others > 0, others + 0.5, 0) / (n + 1.5)
    return factors, growth(factors, *np.broadcast_arrays(*shares))


def gain(batch: Batch, log_factors: FloatArray) -> FloatArray:
    """Log-growth of each expert's wealth in a batch.

    Args:
        batch: votes before and in the batch, leading axes (...).
        log_factors: float64 (k, 256, 3, experts), of one ratio.

    Returns:
        float64 (..., G, experts).
    """
    factors, promise = tangent_at(batch.label, batch.members, batch.n, log_factors)
    last = batch.members.shape[-1] - 1
    t = np.where(batch.n > 0, promise.argmax(axis=-1), last)[..., None]
    chosen = np.take_along_axis(factors, t[..., None, None], axis=-3)[..., 0, :, :]
    members = np.take_along_axis(batch.new_members, t, axis=-1)
    others = (batch.new_n - batch.new_label)[..., None] - members
    total = chosen[..., 0, :] * batch.new_label[..., None]
    total += chosen[..., 1, :] * members
    total += chosen[..., 2, :] * others
    return total


def mixture(log_wealth: FloatArray, log_weights: FloatArray) -> FloatArray:
    """Log-wealth of the mixture: float64 (..., experts) and (experts,) to (...)."""
    each = log_wealth + log_weights
    top = each.max(axis=-1)
    total: FloatArray = top + np.log(np.exp(each - top[..., None]).sum(axis=-1))
    return total


@dataclass(frozen=True, eq=False)
class Wealth:
    """Where the bets on m images stand: R ratios, and G rivals for k = 1, or G = 1 for all sets of k > 1 rivals.

    Attributes:
        log: float64 (R, m, G, experts): log-wealth of each expert.
        rejected: bool (R, m, G): the null was refuted, now or at an earlier look.
        looks: batches bet on so far; the allowance for rounding is for at most 2000.
    """

    log: FloatArray
    rejected: BoolArray
    looks: int = 0

    @classmethod
    def start(cls, bets: Bets, images: int, rivals: int) -> Wealth:
        """Return wealth 1 everywhere, for so many images with so many columns of rivals."""
        shape = (len(bets.ratios), images, rivals if bets.k == 1 else 1)
        return cls(np.zeros((*shape, bets.log_weights.shape[1])), np.zeros(shape, dtype=np.bool_))

    @property
    def certified(self) -> BoolArray:
        """bool (m, R): every null of this ratio and of all smaller ones is refuted."""
        return np.logical_and.accumulate(self.rejected.all(axis=2), axis=0).T

    def widened(self, rivals: int) -> Wealth:
        """Add columns of rivals without votes so far; their wealth is that of the last column, a rival without votes.

        Args:
            rivals: columns wanted, at least as many as there are (ignored if k > 1).
        """
        more = max(rivals - self.rejected.shape[2], 0) if self.rejected.shape[2] > 1 else 0
        last = self.log[:, :, -1:], self.rejected[:, :, -1:]
        log, rejected = (np.repeat(each, more, axis=2) for each in last)
        wider = np.concatenate([self.log, log], axis=2)
        return Wealth(wider, np.concatenate([self.rejected, rejected], axis=2), self.looks)


def look(wealth: Wealth, before: ArrayLike, new: ArrayLike, bets: Bets) -> Wealth:
    """Bet on one batch of votes of each image.

    Args:
        wealth: as it stood before the batch.
        before: int (m, 1 + w): votes before the batch, arranged as by `columns`: the label first; a rival keeps its
            column over all looks; at least one column is that of a rival without votes, unless all rivals have one.
        new: int (m, 1 + w): votes of the batch; zeros leave an image as it is.
        bets: what is bet on.

    Returns:
        The wealth after the batch; the argument is not changed.

    Raises:
        SpecError: if the shapes do not fit, a count is negative, or there are more votes than n_max.

    >>> bets = Bets(1, (0.5, 1.0, 2.0), 0.001, 1000)
    >>> start = Wealth.start(bets, images=1, rivals=2)
    >>> first = look(start, [[0, 0, 0]], [[98, 2, 0]], bets)
    >>> first.certified.tolist()
    [[True, True, False]]
    >>> mixture(first.log[2], bets.log_weights[2]).round(2).tolist()
    [[-2.64, 0.88]]
    """
    old, votes = (np.asarray(each, dtype=np.int64) for each in (before, new))
    images, rivals = wealth.rejected.shape[1:]
    if old.shape != votes.shape or old.ndim != 2 or len(old) != images:
        raise SpecError(f"expected votes ({images}, 1 + w) twice, got {old.shape} and {votes.shape}", code="E-SPEC-046")
    if bets.k == 1 and old.shape[1] != 1 + rivals:
        raise SpecError(
            f"expected columns of the label and {rivals} rivals, got {old.shape[1]}; use `widened`", code="E-SPEC-047"
        )
    _check_votes(np.stack([old, old + votes], axis=1), bets)
    _check_looks(wealth.looks + 1)
    batch = Batch.of(old, votes, bets.k)
    log = wealth.log + np.stack([gain(batch, factors) for factors in bets.log_factors])
    reached = np.stack([mixture(each, w) for each, w in zip(log, bets.log_weights, strict=True)]) >= bets.threshold
    return Wealth(log, wealth.rejected | reached, wealth.looks + 1)


def certified_by_betting(votes: ArrayLike, bets: Bets) -> BoolArray:
    """Decide from stored looks which ratios of the grid are certified; as many `look`s would.

    Args:
        votes: int (m, L, 1 + w): cumulative votes at each look, as from `columns`; L <= 2000.
        bets: what is bet on.

    Returns:
        bool (m, R): certified ratios come first; the certified radius is sigma times the last of them.

    Raises:
        SpecError: if votes decrease, exceed n_max, or have fewer than k rivals, or there are too many looks.

    >>> from smoothcert.stats.betting.batch import columns
    >>> bets = Bets(1, (0.5, 1.0, 1.5, 2.0), 0.001, 1000)
    >>> stored = columns([[{0: 97, 1: 3}, {0: 192, 1: 8}], [{1: 60, 0: 40}]], [0, 0], classes=3, k=1)
    >>> certified_by_betting(stored, bets).tolist()
    [[True, True, False, False], [False, False, False, False]]
    """
    counts = np.asarray(votes, dtype=np.int64)
    if counts.ndim != 3:
        raise SpecError(f"expected votes (m, L, 1 + w), got {counts.shape}", code="E-SPEC-048")
    _check_votes(counts, bets)
    certified = np.zeros((len(counts), len(bets.ratios)), dtype=np.bool_)
    step = max(1, _BLOCK // max(1, counts[0].size * 3 * bets.log_weights.shape[1] * bets.k)) if len(counts) else 1
    for i in range(0, len(counts), step):
        certified[i : i + step] = _certified(counts[i : i + step], bets)
    return certified


def _certified(counts: IntArray, bets: Bets) -> BoolArray:
    """Ratio by ratio from the smallest, only for images of which all smaller ones are certified."""
    new = np.diff(counts, axis=1, prepend=0)
    batch, alive = Batch.of(counts - new, new, bets.k), np.arange(len(counts))
    certified = np.zeros((len(counts), len(bets.ratios)), dtype=np.bool_)
    for r, (factors, weights) in enumerate(zip(bets.log_factors, bets.log_weights, strict=True)):
        won = np.flatnonzero(_won(batch, factors, weights, bets.threshold))
        alive, batch = alive[won], batch.rows(won)
        certified[alive, r] = True
        if not len(alive):
            break
    return certified


def _won(batch: Batch, factors: FloatArray, weights: FloatArray, threshold: float) -> BoolArray:
    """Whether every null of one ratio is refuted at some look, bool (m,): looks in growing blocks, while one is not."""
    images, looks = batch.n.shape[:2]
    open_now, total = np.arange(images), np.zeros((images, 1, batch.members.shape[2], len(weights)))
    refuted = np.zeros((images, batch.members.shape[2]), dtype=np.bool_)
    first, width = 0, _FIRST_BLOCK
    while first < looks and len(open_now):
        part = batch.looks(open_now, slice(first, first + width))
        path = np.concatenate([total[open_now], gain(part, factors)], axis=1).cumsum(axis=1)
        total[open_now] = path[:, -1:]
        refuted[open_now] |= np.any(mixture(path[:, 1:], weights) >= threshold, axis=1)
        open_now = open_now[~refuted[open_now].all(axis=1)]
        first, width = first + width, 3 * width
    return np.asarray(refuted.all(axis=1))


def _check_looks(looks: int) -> None:
    if looks > MOST_LOOKS:
        raise SpecError(f"expected at most {MOST_LOOKS} looks, got {looks}", code="E-SPEC-050")


def _check_votes(counts: IntArray, bets: Bets) -> None:
    """Raise unless cumulative counts (m, L, 1 + w) can be bet on."""
    if counts.shape[-1] < 1 + bets.k:
        raise SpecError(
            f"expected votes of the label and at least {bets.k} rivals, got {counts.shape[-1]} columns",
            code="E-SPEC-049",
        )
    _check_looks(counts.shape[1])
    if np.any(np.diff(counts, axis=1, prepend=0) < 0):
        raise SpecError(
            "expected cumulative votes >= 0 that never decrease, got a decrease; check the looks' order",
            code="E-SPEC-051",
        )
    if np.any(counts.sum(axis=-1) > bets.n_max):
        raise SpecError(
            f"expected at most n_max = {bets.n_max} votes per image, got more; raise n_max", code="E-SPEC-052"
        )
