"""The images behind a pilot: probability vectors that fit the grid and the rivals' votes."""

import numpy as np
import pytest
from scipy.special import ndtri

from refusals import refuses
from smoothcert.planning.population import STEP, estimate_population, grid

from .populations import mixed, vectors


@pytest.fixture(scope="module")
def population():
    rng = np.random.default_rng(3)
    probabilities, labels = vectors(mixed(60, rng), rng)
    return estimate_population(rng.multinomial(200, probabilities), labels, rng)


def test_vectors_are_probabilities_in_their_cells(population):
    own = population.vectors[np.arange(len(population.labels)), population.labels]
    assert np.allclose(population.vectors.sum(axis=1), 1)
    assert population.vectors.min() >= 0
    assert np.all(np.abs(ndtri(own) - grid()[population.point]) <= STEP / 2 + 1e-6)


def test_points_are_averaged_and_weighted(population):
    ones = np.ones((len(population.labels), 1))
    assert np.allclose(population.at_points(ones), 1)
    weights = population.weights(population.best)
    by_point = np.bincount(population.point, weights, len(population.best))
    assert weights.sum() == pytest.approx(1)
    assert np.allclose(by_point, population.best, atol=1e-9)


@pytest.mark.parametrize("alike", [0.5, 40.0])
def test_rivals_are_as_alike_as_the_images_show(alike):
    """One strong rival an image, or the same shares for all: the strongest rival's share is recovered."""
    rng = np.random.default_rng(4)
    shares = rng.dirichlet(alike * np.full(7, 1 / 7), 150)
    probabilities = np.column_stack([np.full(150, 0.7), 0.3 * shares])
    found = estimate_population(rng.multinomial(100, probabilities), np.zeros(150, dtype=np.int64), rng)
    near = np.abs(found.vectors[:, 0] - 0.7) < 0.05
    strongest = found.vectors[near, 1:].max(axis=1) / found.vectors[near, 1:].sum(axis=1)
    assert strongest.mean() == pytest.approx(shares.max(axis=1).mean(), abs=0.06)


def test_a_label_whose_images_have_no_rival_votes_is_no_trouble():
    rng = np.random.default_rng(5)
    found = estimate_population(np.array([[100, 0, 0], [0, 100, 0], [90, 4, 6]]), np.array([0, 1, 0]), rng)
    assert np.allclose(found.vectors.sum(axis=1), 1)


@pytest.mark.parametrize("counts", [np.zeros((0, 3), dtype=int), np.array([[5, 5, 0], [5, 6, 0]])])
def test_uneven_or_no_votes_are_refused(counts):
    with refuses("E-SPEC-025"):
        estimate_population(counts, np.zeros(len(counts), dtype=np.int64), np.random.default_rng(0))
