"""Images that a population bound takes, against every number of images tried one by one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothcert.planning.plan import images_for_chance, images_needed, width
from smoothcert.stats import interval, population_bound

MOST = 1500


def _bounds(share, alpha, wanted):
    return [population_bound(math.floor(share * m + 1e-9), m, alpha) >= wanted for m in range(1, MOST)]


@settings(max_examples=15)
@given(st.floats(0.3, 1.0), st.floats(0.2, 0.9), st.sampled_from([0.001, 0.05]))
def test_it_and_every_larger_number_suffice_and_the_one_before_does_not(share, wanted, alpha):
    needed = images_needed(share, alpha, wanted)
    if needed is None:
        assert (share - alpha) / (1 - alpha) <= wanted
    elif needed < MOST // 2:
        enough = _bounds(share, alpha, wanted)
        assert all(enough[needed - 1 :])
        assert needed == 1 or not enough[needed - 2]


def test_a_sawtooth_falls_back():
    """12 images would do at 0.9 for 0.6, and 13 would not: the number stands before no gap."""
    enough = _bounds(0.9, 0.001, 0.6)
    first = enough.index(True) + 1
    assert images_needed(0.9, 0.001, 0.6) >= first
    assert any(not each for each in enough[first - 1 :]) == (images_needed(0.9, 0.001, 0.6) > first)


@pytest.mark.parametrize("share", [0.6, 0.3, 0.0])
def test_a_share_that_is_too_low_is_helped_by_no_number(share):
    assert images_needed(share, 0.001, 0.6) is None


def test_a_share_hardly_above_takes_very_many():
    assert images_needed(0.6015, 0.001, 0.6) > 500_000
    assert images_needed(0.60041, 0.001, 0.6) is None


def test_width_is_the_exact_interval():
    found = width(0.5, "half", 400, 0.001, 0.6)
    assert (found.low, found.high) == interval(200, 400)
    assert found.population == population_bound(200, 400, 0.001)


@pytest.mark.parametrize("chance", [0.8, 0.95])
@pytest.mark.parametrize("share", [0.66, 0.75, 0.9])
def test_with_these_images_the_bound_is_reached_that_often(share, chance):
    """The chance is summed by brute force over the binomial distribution."""
    from scipy.stats import binom

    def chance_of(m):
        enough = [s for s in range(m + 1) if population_bound(s, m, 0.001) >= 0.6]
        return binom.sf(enough[0] - 1, m, share) if enough else 0.0

    m = images_for_chance(share, 0.001, 0.6, chance)
    assert chance_of(m) >= chance > chance_of(m - 1)
    assert all(chance_of(m + more) >= chance for more in range(1, 20))
    assert m > images_needed(share, 0.001, 0.6)
    rng = np.random.default_rng(0)
    reached = [population_bound(int(s), m, 0.001) >= 0.6 for s in rng.binomial(m, share, 400)]
    assert np.mean(reached) >= chance - 0.07
