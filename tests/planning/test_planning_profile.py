"""The trace of the profile likelihood, where it is known: votes so many that every image's side is plain."""

import numpy as np
import pytest
from scipy.special import ndtr, xlogy
from scipy.stats import norm

from smoothcert.planning.forecast import traces
from smoothcert.planning.population import grid, mixture, seen


def _ends(trace, effect, tails=(0.025, 0.975)):
    values = trace.mixtures @ effect
    below = np.cumsum(trace.weights)
    return [values[np.searchsorted(below, tail)] for tail in tails]


@pytest.mark.parametrize("above", [70, 95, 100])
def test_a_plain_share_has_the_likelihood_ratio_interval(above):
    """With s of N images above, the loss at share t is s log(s / N t) + (N - s) log((N - s) / N (1 - t))."""
    votes = seen([40] * (100 - above) + [380] * above, 400)
    effect = (ndtr(grid()) > 0.5).astype(float)
    low, high = _ends(traces(votes, mixture(votes), effect[None])[0], effect)
    share = above / 100
    t = np.linspace(0.001, 0.999, 9981)
    loss = 100 * (xlogy(share, share / t) + xlogy(1 - share, (1 - share) / (1 - t)))
    inside = t[2 * loss <= norm.ppf(0.975) ** 2]
    assert low == pytest.approx(inside.min(), abs=0.01)
    assert high == pytest.approx(inside.max(), abs=0.01)


def test_what_the_votes_cannot_tell_stays_open():
    """Unanimous votes of 100 leave open whether probabilities lie above 0.999, but not whether they lie above 0.9."""
    votes = seen([100] * 50, 100)
    effects = np.stack([ndtr(grid()) > 0.999, ndtr(grid()) > 0.9]).astype(float)
    found = traces(votes, mixture(votes), effects)
    low, high = _ends(found[0], effects[0])
    assert low < 0.7
    assert high > 0.9
    low, high = _ends(found[1], effects[1])
    assert low > 0.9


def test_masses_are_a_distribution_and_means_rise():
    votes = seen(np.random.default_rng(2).binomial(200, 0.8, 30), 200)
    effect = ndtr(grid())
    trace = traces(votes, mixture(votes), effect[None])[0]
    means = trace.mixtures @ effect
    assert trace.weights.sum() == pytest.approx(1)
    assert np.allclose(trace.mixtures.sum(axis=1), 1)
    assert means[0] < mixture(votes) @ effect < means[-1]
