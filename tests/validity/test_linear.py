"""A linear classifier's smoothed version is itself: the exact radius is |w.x + b| / ||w||."""

import numpy as np
import pytest
from scipy.special import ndtr

from smoothcert.stats import BOUNDS, Plan, bounds, radius, running, tally

from .simulate import ALPHA, allowed

SIGMA = 0.5


def test_with_real_noise_in_five_dimensions():
    rng = np.random.default_rng(0)
    w, b, repetitions, n = np.array([1.0, -2.0, 0.5, 0.0, 3.0]), 0.25, 2000, 200
    x = np.array([0.2, 0.1, 0.9, 0.5, 0.1])
    exact = abs(w @ x + b) / np.linalg.norm(w)
    noise = rng.normal(0, SIGMA, (repetitions, n, 5))
    right = ((x + noise) @ w + b > 0).sum(axis=1)
    counts = np.stack([right, n - right], axis=1)
    votes = tally(counts, np.zeros(repetitions, dtype=int), 1)
    certified = radius(bounds(votes, ALPHA, 1, "rankcp", 2), SIGMA)
    assert np.mean(certified > exact) <= allowed(repetitions)
    assert np.mean(certified > 0.5 * exact) > 0.5  # not valid by certifying nothing


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("bound", BOUNDS)
def test_any_look_of_any_bound(bound, margin):
    repetitions, rng = 10_000, np.random.default_rng(1)
    plan = Plan((100, 150, 225, 500, 1000), ALPHA, bound, 2, SIGMA)
    steps = np.diff((0, *plan.looks))
    right = rng.binomial(steps, ndtr(margin / SIGMA), (repetitions, len(steps))).cumsum(axis=1)
    counts = np.stack([right, np.array(plan.looks) - right], axis=2)
    path = running(tally(counts, np.zeros(right.shape, dtype=int), 1), plan, 1)
    assert np.mean((radius(path, SIGMA) > margin).any(axis=1)) <= allowed(repetitions)
