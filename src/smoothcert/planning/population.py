"""The population behind a pilot: the distribution of the label probability over images, and the rivals' shares.

Vote shares themselves are biased: 300 votes out of 300 do not mean a probability of one, and noise spreads images near
a threshold. The mixing distribution is estimated by nonparametric maximum likelihood (Kiefer and Wolfowitz, Annals of
Mathematical Statistics 27, 1956, doi:10.1214/aoms/1177728066) on a grid in z = Phi^-1(p), by expectation maximisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, log_ndtr, ndtr

from smoothcert.errors import SpecError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LOWEST, HIGHEST, STEP = -4.0, 5.0, 0.05
ROUNDS = 20_000
TOLERANCE = 3e-4
_CHECKED_EVERY = 25


def grid() -> FloatArray:
    """Return the grid of the label probability, in z = Phi^-1(p)."""
    return np.linspace(LOWEST, HIGHEST, round((HIGHEST - LOWEST) / STEP) + 1)


@dataclass(frozen=True, eq=False)
class Seen:
    """Likelihood of the label probability given the votes of N images; images with equal votes share a row.

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
        """Number of images per row, int (u,)."""
        return np.bincount(self.row, minlength=len(self.logs))

    @cached_property
    def shares(self) -> FloatArray:
        """Share of the images per row, float (u,)."""
        shares: FloatArray = self.numbers / self.images
        return shares

    @cached_property
    def likelihood(self) -> FloatArray:
        """Likelihood of each point, relative to the row's best: float (u, points), in [0, 1]."""
        relative: FloatArray = np.exp(self.logs - self.logs.max(axis=1, keepdims=True))
        return relative

    def posterior(self, mixture: FloatArray) -> FloatArray:
        """Return the posterior of the label probability of each row, float (u, points), under a mixing distribution."""
        joint = self.likelihood * mixture
        shares: FloatArray = joint / joint.sum(axis=1, keepdims=True)
        return shares

    def companions(self) -> FloatArray:
        """Return, for each point, the probability of each image to have it: float (points, N), rows summing to one."""
        relative = np.exp(self.logs - self.logs.max(axis=0))[self.row]
        shares: FloatArray = (relative / relative.sum(axis=0)).T
        return shares


def seen(votes: ArrayLike, samples: int) -> Seen:
    """Return the likelihood of the votes of images for their labels.

    Args:
        votes: int (N,), 0 to samples, N >= 1.
        samples: votes per image, >= 1.

    Raises:
        SpecError: there is no image, or a number of votes is out of range.

    >>> at = seen([300], 300).likelihood[0]
    >>> bool(at[-1] == 1), round(float(at[np.searchsorted(grid(), 2.32)]), 3)
    (True, 0.059)
    """
    distinct, row = np.unique(np.asarray(votes, dtype=np.float64), return_inverse=True)
    x = distinct[:, None]
    if not x.size or np.any((x < 0) | (x > samples)):
        raise SpecError(
            f"expected votes from 0 to {samples} of at least one image, got others or none", code="E-SPEC-024"
        )
    ways = gammaln(samples + 1) - gammaln(x + 1) - gammaln(samples - x + 1)
    return Seen(ways + x * log_ndtr(grid()) + (samples - x) * log_ndtr(-grid()), row)


def mixture(votes: Seen) -> FloatArray:
    """Return the maximum-likelihood mixing distribution on the grid, float (points,), summing to one.

    No distribution on the grid has a mean log-likelihood per image that is higher by more than TOLERANCE, unless ROUNDS
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

    Each round multiplies by the gradient, which is non-negative, and renormalises, which never decreases the objective
    (Baum and Eagon, Bulletin of the AMS 73, 1967). Without tilts this is expectation maximisation.

    Args:
        votes: likelihood of the votes.
        start: float (B, points): starting points, positive, rows summing to one.
        tilts: float (B, points) >= 0: the linear terms.
        rounds: maximum number of rounds.

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


EVERYWHERE, WHERE_LIKELY = 16, 1500
"""Number of probability vectors per point of the grid, and number distributed by the weights of the points."""
CONCENTRATIONS = tuple(np.geomspace(0.25, 64, 17))


@dataclass(frozen=True, eq=False)
class Population:
    """Estimate of the population from which a pilot of N images was drawn.

    Attributes:
        votes: likelihood of the votes for the labels.
        best: float (points,): maximum-likelihood distribution of the label probability.
        vectors: float (E, c): possible class probabilities, in the order of their points.
        labels: int (E,): their labels.
        point: int (E,): index of the grid point nearest to the label probability.
    """

    votes: Seen
    best: FloatArray
    vectors: FloatArray
    labels: IntArray
    point: IntArray

    def at_points(self, values: FloatArray) -> FloatArray:
        """Average values (E, F) of the vectors at each point of the grid: float (F, points)."""
        means: FloatArray = np.add.reduceat(values, self._starts, axis=0).T / self._counts.astype(np.float64)
        return means

    def weights(self, mixture: FloatArray) -> FloatArray:
        """Return the weight of each vector, float (E,), under a mixing distribution of the label probability."""
        shares = (mixture / self._counts)[self.point]
        normal: FloatArray = shares / shares.sum()
        return normal

    @property
    def _counts(self) -> IntArray:
        return np.bincount(self.point, minlength=len(self.best))

    @property
    def _starts(self) -> IntArray:
        return np.concatenate([[0], np.cumsum(self._counts)[:-1]])


def estimate_population(counts: IntArray, labels: IntArray, rng: np.random.Generator) -> Population:
    """Estimate the population behind a pilot.

    Each vector takes its label and its rivals' shares from a pilot image, drawn by the likelihood of its point.

    Args:
        counts: int (N, c): votes, the same number for each image.
        labels: int (N,): reference labels.
        rng: random number generator.

    Raises:
        SpecError: there is no image, or the numbers of votes differ.
    """
    if not len(counts) or len(set(counts.sum(axis=1).tolist())) != 1:
        raise SpecError("expected at least one image, each with the same number of votes", code="E-SPEC-025")
    votes = seen(counts[np.arange(len(counts)), labels], int(counts[0].sum()))
    best = mixture(votes)
    number = EVERYWHERE + np.floor(WHERE_LIKELY * best).astype(np.int64)
    point = np.repeat(np.arange(len(best)), number)
    pairs = zip(votes.companions(), number, strict=True)
    image = np.concatenate([rng.choice(len(counts), size, p=shares) for shares, size in pairs])
    p = np.asarray(ndtr(grid()[point] + STEP * (rng.random(len(point)) - 0.5)))
    return Population(votes, best, _vectors(counts, labels, image, p, rng), labels[image], point)


def _vectors(
    counts: IntArray, labels: IntArray, image: IntArray, p: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return probability vectors (E, c) with p for the label and the rest divided among its rivals.

    The shares are drawn from the Dirichlet posterior of the rivals' votes. Its prior is proportional to the usual
    shares for that label; its concentration is the maximum-likelihood one.
    """
    rivals = counts.astype(np.float64)
    rivals[np.arange(len(counts)), labels] = 0.0
    prior = _usual(rivals, labels)[labels]
    shares = rng.standard_gamma((rivals + _concentration(rivals, prior) * prior)[image])
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
    vectors: FloatArray = (1 - p)[:, None] * shares
    vectors[np.arange(len(image)), labels[image]] = p
    return vectors


def _usual(rivals: FloatArray, labels: IntArray) -> FloatArray:
    """Return the usual rival shares per label (c, c): rival votes of its images plus one vote as in all images."""
    classes = rivals.shape[1]
    everywhere = rivals.sum(axis=0) + 1 / classes
    table = np.tile(everywhere / everywhere.sum(), (classes, 1))
    np.add.at(table, labels, rivals)
    np.fill_diagonal(table, 0.0)
    usual: FloatArray = table / table.sum(axis=1, keepdims=True)
    return usual


def _concentration(rivals: FloatArray, prior: FloatArray) -> float:
    """Return the maximum-likelihood concentration of a Dirichlet-multinomial of the rivals' votes.

    Args:
        rivals: float (N, c): rival votes.
        prior: float (N, c): usual shares for the label of each image, summing to one.
    """
    best = max(CONCENTRATIONS, key=lambda votes: _log_likelihood(rivals, votes * prior, votes))
    return float(best)


def _log_likelihood(rivals: FloatArray, concentration: FloatArray, total: float) -> float:
    voted = rivals > 0
    each = gammaln(rivals[voted] + concentration[voted]) - gammaln(concentration[voted])
    drawn = rivals.sum(axis=1)
    return float(each.sum() + (gammaln(total) - gammaln(drawn + total)).sum())
