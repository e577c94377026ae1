"""When another batch is worth its samples: a stopping rule that can lose power, never validity.

A certificate is worth `price` samples. The posterior of (p_l, p_T) after Jeffreys' prior is represented by 16 x 5
points: quantiles of Gamma(x_T + 1/2) and Gamma(x_l + 1/2) by the approximation of Wilson and Hilferty (PNAS 17, 1931),
and the votes for third classes as they are. At each point the wealth of the best expert grows by v per vote, so that
the certificate takes m = (missing log-wealth) / v more votes. If m is at most what is left of n_max, going on gains
price - m; otherwise it costs min(n, what is left), about the votes that it takes to find that out. Going on is worth it
if the mean gain is above 0 for some ratio of which a null is not refuted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from smoothcert.errors import SpecError
from smoothcert.stats.betting.batch import Batch
from smoothcert.stats.betting.wealth import Bets, BoolArray, Wealth, growth, mixture, tangent_at
from smoothcert.stats.binomial import MASSES, POINTS, FloatArray, gamma_quantile
from smoothcert.stats.bounds import IntArray

_LABEL = np.arange(-2.0, 3)
_WEIGHTS = MASSES[:, None] * (ndtr(_LABEL + 0.5) - ndtr(_LABEL - 0.5))
_BLOCK = 4096  # images at a time


def worth(wealth: Wealth, votes: ArrayLike, bets: Bets, price: ArrayLike) -> BoolArray:
    """Return which images should draw another batch.

    Args:
        wealth: after the last look.
        votes: int (m, 1 + w): cumulative votes at that look, in the columns of the wealth.
        bets: what is bet on.
        price: float (R,) or one number: samples that one certificate of each ratio is worth, for example 3 n_max.

    Returns:
        bool (m,); False at n_max votes.

    Raises:
        SpecError: if a price is not a number >= 0.

    >>> from smoothcert.stats.betting.wealth import look
    >>> bets = Bets(1, (1.0,), 0.001, 100_000)
    >>> counts = np.array([[1000, 5], [880, 120], [600, 400]])
    >>> after = look(Wealth.start(bets, images=3, rivals=1), np.zeros_like(counts), counts, bets)
    >>> worth(after, counts, bets, price=300_000).tolist()
    [False, True, False]
    """
    prices = np.broadcast_to(np.asarray(price, dtype=np.float64), len(bets.ratios))
    if not np.all(prices >= 0):
        raise SpecError(f"expected prices >= 0, got {price!r}", code="E-SPEC-053")
    counts = np.asarray(votes, dtype=np.int64)
    batch = Batch.of(counts, np.zeros_like(counts), bets.k)
    draw_on: BoolArray = np.zeros(len(counts), dtype=np.bool_)
    for r in range(len(bets.ratios)):
        refuted = np.all(wealth.rejected[r], axis=1)
        still = np.flatnonzero(~draw_on & ~refuted & (batch.n[:, 0] < bets.n_max))
        for rows in np.split(still, range(_BLOCK, len(still), _BLOCK)):
            draw_on[rows] = _worth_it(wealth, batch.rows(rows), bets, (r, rows), float(prices[r]))
    return draw_on


def _worth_it(wealth: Wealth, batch: Batch, bets: Bets, at: tuple[int, IntArray], price: float) -> BoolArray:
    """Whether some t of the rival with least wealth promises a gain: bool, one per row."""
    r, rows = at
    factors = bets.log_factors[r]
    reached = np.where(wealth.rejected[r, rows], np.inf, mixture(wealth.log[r, rows], bets.log_weights[r]))
    worst = reached.argmin(axis=-1)[:, None]
    short = bets.threshold - np.take_along_axis(reached, worst, axis=-1)[:, 0]
    members = np.take_along_axis(batch.members, worst[..., None], axis=1)
    tangents, _ = tangent_at(batch.label, members, batch.n, factors)
    found = np.zeros(len(rows), dtype=np.bool_)
    for t in range(members.shape[-1]):
        v = _growths(tangents[:, 0, t], batch.label[:, 0], members[:, 0, t], batch.n[:, 0])
        found |= _gain(v, short, batch.n[:, 0], bets.n_max - batch.n[:, 0], price) > 0
    return found


def _growths(factors: FloatArray, label: IntArray, members: IntArray, n: IntArray) -> FloatArray:
    """Mean log-growth of the best expert at each point of the posterior: (rows, 16, 5)."""
    p_t = gamma_quantile(members, POINTS)[:, :, None]
    p_l = gamma_quantile(label, _LABEL)[:, None, :]
    others = (n - label - members)[:, None, None]
    total = p_t + p_l + others
    return growth(factors[:, None, None], *np.broadcast_arrays(p_l / total, p_t / total, others / total))


def _gain(v: FloatArray, short: FloatArray, n: IntArray, left: IntArray, price: float) -> FloatArray:
    """Mean gain of going on, in samples: (rows,)."""
    needed = np.divide(short[:, None, None], v, out=np.full(v.shape, np.inf), where=v > 0)
    gains = np.where(needed <= left[:, None, None], price - needed, -np.minimum(n, left)[:, None, None])
    mean: FloatArray = (_WEIGHTS * gains).sum(axis=(1, 2))
    return mean
