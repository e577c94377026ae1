"""The images behind a pilot: probability vectors on the grid of the label's probability, with the rivals' shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, ndtr

from smoothcert.errors import SpecError
from smoothcert.planning.shares import STEP, FloatArray, IntArray, Seen, grid, mixture, seen

EVERYWHERE, WHERE_LIKELY = 16, 1500
"""Probability vectors at each point of the grid, and shared among the points by how likely they are."""
ALIKE = tuple(np.geomspace(0.25, 64, 17))


@dataclass(frozen=True, eq=False)
class Population:
    """What a pilot of N images says about the images it was drawn from.

    Attributes:
        votes: the votes for the labels.
        best: float (points,): the distribution of the label's probability that explains them best.
        vectors: float (E, c): possible class probabilities, in the order of their points.
        labels: int (E,): their labels.
        point: int (E,): the point of the grid in whose cell the label's probability lies.
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
        """Return the weight of each vector, float (E,), where the label's probability follows a mixture."""
        shares = (mixture / self._counts)[self.point]
        normal: FloatArray = shares / shares.sum()
        return normal

    @property
    def _counts(self) -> IntArray:
        return np.bincount(self.point, minlength=len(self.best))

    @property
    def _starts(self) -> IntArray:
        return np.concatenate([[0], np.cumsum(self._counts)[:-1]])


def population(counts: IntArray, labels: IntArray, rng: np.random.Generator) -> Population:
    """Estimate the images behind a pilot.

    Each vector takes its label and its rivals' shares from an image of the pilot whose votes agree with its point.

    Args:
        counts: int (N, c): votes, the same number for each image.
        labels: int (N,): reference labels.
        rng: source of randomness.

    Raises:
        SpecError: there is no image, or the numbers of votes differ.
    """
    if not len(counts) or len(set(counts.sum(axis=1).tolist())) != 1:
        raise SpecError("expected at least one image, each with the same number of votes")
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
    """Give the label p and share the rest among its rivals: float (E, c) for E images of the pilot.

    A draw from the Dirichlet posterior of the rivals' shares: their votes, plus as many votes in the proportions of
    all images of that label as make the votes of all images most likely.
    """
    rivals = counts.astype(np.float64)
    rivals[np.arange(len(counts)), labels] = 0.0
    prior = _usual(rivals, labels)[labels]
    shares = rng.standard_gamma((rivals + _alike(rivals, prior) * prior)[image])
    shares /= np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
    vectors: FloatArray = (1 - p)[:, None] * shares
    vectors[np.arange(len(image)), labels[image]] = p
    return vectors


def _usual(rivals: FloatArray, labels: IntArray) -> FloatArray:
    """Return each label's usual rival shares (c, c): its own images' rival votes, and one vote as in all images."""
    classes = rivals.shape[1]
    everywhere = rivals.sum(axis=0) + 1 / classes
    table = np.tile(everywhere / everywhere.sum(), (classes, 1))
    np.add.at(table, labels, rivals)
    np.fill_diagonal(table, 0.0)
    usual: FloatArray = table / table.sum(axis=1, keepdims=True)
    return usual


def _alike(rivals: FloatArray, prior: FloatArray) -> float:
    """Return how alike the rivals of images of one label are, in votes: maximum likelihood of a Dirichlet-multinomial.

    Args:
        rivals: float (N, c): rival votes.
        prior: float (N, c): the usual shares for each image's label, summing to one.
    """
    best = max(ALIKE, key=lambda votes: _log_likelihood(rivals, votes * prior, votes))
    return float(best)


def _log_likelihood(rivals: FloatArray, concentration: FloatArray, total: float) -> float:
    voted = rivals > 0
    each = gammaln(rivals[voted] + concentration[voted]) - gammaln(concentration[voted])
    drawn = rivals.sum(axis=1)
    return float(each.sum() + (gammaln(total) - gammaln(drawn + total)).sum())
