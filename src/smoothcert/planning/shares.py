"""How the label's probability is distributed over images, estimated from a few hundred votes each.

The share of votes itself misleads: 300 votes of 300 do not mean a probability of one, and images near a threshold are
spread by chance. The distribution behind the votes is estimated by nonparametric maximum likelihood (Kiefer and
Wolfowitz, Annals of Mathematical Statistics 27, 1956), on a grid in z = Phi^-1(p), by expectation maximisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, log_ndtr

from smoothcert.errors import SpecError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LOWEST, HIGHEST, STEP = -4.0, 5.0, 0.05
ROUNDS = 20_000
TOLERANCE = 3e-4
_CHECKED_EVERY = 25


def grid() -> FloatArray:
    """The points z = Phi^-1(p) between which the label's probability is told apart."""
    return np.linspace(LOWEST, HIGHEST, round((HIGHEST - LOWEST) / STEP) + 1)


@dataclass(frozen=True, eq=False)
class Seen:
    """What the votes of N images say about the label's probability; images with equal votes share a row.

    Attributes:
        logs: float (u, points): logarithm of the probability of each number of votes at each point of the grid.
        row: int (N,): the row of each image.
    """

    logs: FloatArray
    row: IntArray

    @property
    def images(self) -> int:
        """N."""
        return len(self.row)

    @cached_property
    def numbers(self) -> IntArray:
        """Images of each row, int (u,)."""
        return np.bincount(self.row, minlength=len(self.logs))

    @cached_property
    def shares(self) -> FloatArray:
        """Share of the images that each row has, float (u,)."""
        shares: FloatArray = self.numbers / self.images
        return shares

    @cached_property
    def likelihood(self) -> FloatArray:
        """Likelihood of each point, relative to the row's best: float (u, points), in [0, 1]."""
        relative: FloatArray = np.exp(self.logs - self.logs.max(axis=1, keepdims=True))
        return relative

    def posterior(self, mixture: FloatArray) -> FloatArray:
        """Return the distribution of an image's own probability, float (u, points), where images follow a mixture."""
        joint = self.likelihood * mixture
        shares: FloatArray = joint / joint.sum(axis=1, keepdims=True)
        return shares

    def companions(self) -> FloatArray:
        """Return how likely each image is to be the one behind a point: float (points, N), rows summing to one."""
        relative = np.exp(self.logs - self.logs.max(axis=0))[self.row]
        shares: FloatArray = (relative / relative.sum(axis=0)).T
        return shares


def seen(votes: ArrayLike, copies: int) -> Seen:
    """Take the votes of images for their labels.

    Args:
        votes: int (N,), 0 to copies, N >= 1.
        copies: votes an image, >= 1.

    Raises:
        SpecError: there is no image, or a number of votes is out of range.

    >>> at = seen([300], 300).likelihood[0]
    >>> bool(at[-1] == 1), round(float(at[np.searchsorted(grid(), 2.32)]), 3)
    (True, 0.059)
    """
    distinct, row = np.unique(np.asarray(votes, dtype=np.float64), return_inverse=True)
    x = distinct[:, None]
    if not x.size or np.any((x < 0) | (x > copies)):
        raise SpecError(f"expected votes from 0 to {copies} of at least one image, got others or none")
    ways = gammaln(copies + 1) - gammaln(x + 1) - gammaln(copies - x + 1)
    return Seen(ways + x * log_ndtr(grid()) + (copies - x) * log_ndtr(-grid()), row)


def mixture(votes: Seen) -> FloatArray:
    """Return the distribution on the grid that explains the votes best, float (points,), summing to one.

    No distribution on the grid has a mean log-likelihood an image that is higher by more than TOLERANCE, unless ROUNDS
    ended the search first.

    >>> found = mixture(seen([150] * 50 + [290] * 50, 300))
    >>> round(float(found[grid() > 0.7].sum()), 2)
    0.5
    """
    start = np.full((1, votes.logs.shape[1]), 1 / votes.logs.shape[1])
    best: FloatArray = climb(votes, start, np.zeros_like(start), ROUNDS)[0]
    return best


def climb(votes: Seen, start: FloatArray, tilts: FloatArray, rounds: int) -> FloatArray:
    """Maximise mean log-likelihood plus a linear term over distributions on the grid, several at once.

    Each round multiplies by the gradient, which is non-negative, and renormalises; that never lowers the objective
    (Baum and Eagon, Bulletin of the AMS 73, 1967). Without tilts it is expectation maximisation.

    Args:
        votes: what the votes say.
        start: float (B, points): where to begin, positive, rows summing to one.
        tilts: float (B, points) >= 0: the linear terms.
        rounds: rounds at most.

    Returns:
        float (B, points), rows summing to one.
    """
    found, rows, shares = start, votes.likelihood, votes.shares
    for done in range(rounds):
        gradient = (shares / (found @ rows.T)) @ rows + tilts
        level = (found * gradient).sum(axis=1)
        if done % _CHECKED_EVERY == 0 and np.all(gradient.max(axis=1) - level <= TOLERANCE):
            break
        found = found * gradient / level[:, None]
    normal: FloatArray = found / found.sum(axis=1, keepdims=True)
    return normal
