"""The distribution of the label's probability: maximum likelihood, checked by its optimality conditions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import binom

from refusals import refuses
from smoothcert.planning.population import TOLERANCE, climb, grid, mixture, seen


def test_likelihood_is_the_binomials():
    found = seen([0, 7, 300], 300)
    expected = np.array([binom.logpmf(x, 300, ndtr(grid())) for x in (0, 7, 300)])
    assert np.allclose(found.logs, expected, atol=1e-8, rtol=1e-9)
    assert np.all(found.likelihood.max(axis=1) == 1)


@settings(max_examples=25)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=40))
def test_no_distribution_on_the_grid_explains_the_votes_better(votes):
    """Kiefer and Wolfowitz: at the optimum no direction gains, so the mean gradient is at most one everywhere."""
    found = seen(votes, 60)
    best = mixture(found)
    like = found.likelihood[found.row]
    gain = (like / (like @ best)[:, None]).mean(axis=0)
    assert best.sum() == pytest.approx(1)
    assert np.all(best >= 0)
    assert gain.max() <= 1 + 1.01 * TOLERANCE


def test_two_groups_are_told_apart():
    rng = np.random.default_rng(0)
    p = np.repeat([0.6, 0.97], [30, 70])
    best = mixture(seen(rng.binomial(500, p), 500))
    low = ndtr(grid()) < 0.8
    assert best[low].sum() == pytest.approx(0.3, abs=0.01)
    assert best[low] @ ndtr(grid())[low] / best[low].sum() == pytest.approx(0.6, abs=0.02)


def test_a_linear_term_moves_the_distribution_its_way():
    votes = seen(np.random.default_rng(1).binomial(100, 0.9, 50), 100)
    start = np.full((2, len(grid())), 1 / len(grid()))
    up = (ndtr(grid()) > 0.9).astype(float)
    found = climb(votes, start, np.stack([0 * up, 0.05 * up]), 2000)
    assert found[1] @ up > found[0] @ up


def test_images_with_equal_votes_share_a_row():
    votes = seen([7, 3, 7, 7], 10)
    assert (votes.images, votes.numbers.tolist(), votes.row.tolist()) == (4, [1, 3], [1, 0, 1, 1])
    assert votes.companions().shape == (len(grid()), 4)


def test_posterior_and_companions_are_distributions():
    votes = seen([10, 50, 99], 100)
    assert np.allclose(votes.posterior(mixture(votes)).sum(axis=1), 1)
    companions = votes.companions()
    assert np.allclose(companions.sum(axis=1), 1)
    assert companions[np.searchsorted(grid(), 0.0)].argmax() == 1
    assert companions[-1].argmax() == 2


@pytest.mark.parametrize("votes", [[], [-1], [101]])
def test_impossible_votes_are_refused(votes):
    with refuses("E-SPEC-024", match="expected votes from 0 to 100"):
        seen(votes, 100)
