"""Procedures that look right and are not: the simulation must catch them."""

import numpy as np
import pytest

from smoothcert.stats import bounds, radius, tally

from .simulate import ALPHA, allowed, share_with_levels


def test_choosing_and_bounding_on_the_same_votes_fails_in_a_tie():
    repetitions, n = 100_000, 1000
    rng = np.random.default_rng(0)
    first = rng.binomial(n, 0.5, repetitions)
    counts = np.stack([first, n - first], axis=1)
    chosen = tally(counts, counts.argmax(axis=1), 1)
    wrong = np.mean(radius(bounds(chosen, ALPHA, 1, "cohen", 2), 0.5) > 0)
    assert wrong > allowed(repetitions)
    assert wrong == pytest.approx(0.095, abs=0.005)
    fixed = tally(counts, np.zeros(repetitions, dtype=int), 1)
    assert np.mean(radius(bounds(fixed, ALPHA, 1, "cohen", 2), 0.5) > 0) <= allowed(repetitions)


@pytest.mark.slow
def test_dropping_bonferroni_fails_where_two_terms_tie():
    p, k, n, repetitions = (0.7, 0.2171, 0.0829), 2, 10_000, 100_000
    dropped = share_with_levels(p, k, n, ALPHA, ALPHA, repetitions)
    kept = share_with_levels(p, k, n, 0.7 * ALPHA, 0.3 * ALPHA / k, repetitions)
    assert dropped > allowed(repetitions)
    assert 1.1 * ALPHA <= dropped <= 1.25 * ALPHA
    assert kept <= allowed(repetitions)
