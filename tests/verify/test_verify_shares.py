"""Claims over a data set in plain Python: against exact fractions, mpmath, NumPy and `smoothcert.stats`."""

import math
from collections import Counter
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from smoothcert.stats import interval
from smoothcert.stats.population import bad_runs, one_per_group, population_bound
from smoothcert.verify import plain as shares

alphas = st.floats(1e-6, 0.3)
deltas = st.floats(1e-5, 0.2)
pairs = st.integers(1, 5000).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m)))


def exact_tail(x, n, p):
    """P(X >= x) in exact fractions."""
    p = Fraction(p)
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(max(x, 0), n + 1))


@settings(max_examples=100)
@given(st.integers(0, 40).flatmap(lambda n: st.tuples(st.integers(-1, n + 1), st.just(n))), st.floats(0, 1))
def test_small_tails_are_exact(pair, p):
    x, n = pair
    wanted = exact_tail(x, n, p)
    assert shares.at_least(x, n, p) == pytest.approx(float(wanted), rel=1e-12, abs=1e-20)
    assert shares.at_most(x - 1, n, p) == pytest.approx(float(1 - wanted), rel=1e-12, abs=1e-20)


@pytest.mark.parametrize("n", [10_000, 1_000_000, 10_000_000])
@pytest.mark.parametrize("p", [1e-3, 0.3, 0.999])
@pytest.mark.parametrize("away", [0.0, 2.0, 4.0])
def test_large_tails_are_mpmaths(n, p, away):
    x = min(n, round(n * p + away * math.sqrt(n * p * (1 - p))))
    with mpmath.workdps(60):  # P(X >= x) by the first term and the ratios of those after it
        exact = mpmath.mpf(p)
        term = mpmath.binomial(n, x) * exact**x * (1 - exact) ** (n - x)
        total = mpmath.mpf(0)
        for i in range(x, n + 1):
            total += term
            term *= mpmath.mpf(n - i) / (i + 1) * exact / (1 - exact)
            if term < total * mpmath.mpf("1e-20"):
                break
    assert shares.at_least(x, n, p) == pytest.approx(float(total), rel=1e-8)


@settings(max_examples=150)
@given(pairs, st.sampled_from([0.5, 0.95, 0.999]))
def test_exact_intervals_are_accepted_and_others_refused_to_either_side(pair, confidence):
    s, m = pair
    level = (1 - confidence) / 2
    low, high = interval(s, m, confidence)
    assert shares.is_lower_limit(low, s, m, level)
    assert shares.is_upper_limit(high, s, m, level)
    assert not shares.is_lower_limit(low + 1e-6, s, m, level)
    assert not shares.is_lower_limit(low - 1e-6, s, m, level)
    assert not shares.is_upper_limit(high + 1e-6, s, m, level)
    assert not shares.is_upper_limit(high - 1e-6, s, m, level)


@settings(max_examples=150)
@given(pairs, alphas, deltas)
def test_population_bounds_are_accepted_and_others_refused(pair, alpha, delta):
    s, m = pair
    bound = population_bound(s, m, alpha, delta)
    assert shares.is_population_bound(bound, s, m, alpha, delta)
    assert not shares.is_population_bound(bound + 1e-6, s, m, alpha, delta)
    assert not shares.is_population_bound(bound - 1e-6, s, m, alpha, delta)
    without_alpha = population_bound(s, m, 1e-12, delta)
    assert not shares.is_population_bound(without_alpha, s, m, alpha, delta) or without_alpha - bound < 1e-6


def test_the_population_bound_of_the_design_page():
    assert shares.is_population_bound(0.5866695, 2400, 4000, 0.001, 0.05) is False
    assert shares.is_population_bound(population_bound(2400, 4000, 0.001), 2400, 4000, 0.001, 0.05)


@pytest.mark.parametrize("m", [100_000, 1_000_000, 10_000_000])
@pytest.mark.parametrize("share", [0.0, 1e-6, 0.3, 0.999, 1.0])
def test_claims_over_many_images_are_accepted(m, share):
    s = round(m * share)
    low, high = interval(s, m)
    assert shares.is_lower_limit(low, s, m, 0.025)
    assert shares.is_upper_limit(high, s, m, 0.025)
    assert shares.is_population_bound(population_bound(s, m, 0.001, 0.05 / 18), s, m, 0.001, 0.05 / 18)


@pytest.mark.parametrize("p", [math.nan, -0.1, 1.0, 1.5, math.inf])
def test_what_is_no_lower_limit(p):
    assert not shares.is_lower_limit(p, 8, 10, 0.05)
    assert not shares.is_population_bound(p, 8, 10, 0.001, 0.05)


@pytest.mark.parametrize("p", [math.nan, -0.1, 0.0, 1.0, 1.5])
def test_what_is_no_upper_limit(p):
    assert not shares.is_upper_limit(p, 8, 10, 0.05)


@settings(max_examples=100)
@given(st.integers(1, 60), alphas, deltas)
def test_the_number_of_bad_runs_is_the_smallest_by_brute_force(m, alpha, delta):
    tails = [exact_tail(b + 1, m, alpha) for b in range(m + 1)]
    assume(all(abs(tail / Fraction(delta) - 1) > 1e-7 for tail in tails))
    wanted = next(b for b, tail in enumerate(tails) if tail <= delta)
    assert [b for b in range(-1, m + 2) if shares.is_bad_runs(b, m, alpha, delta)] == [wanted]


@settings(max_examples=60)
@given(st.integers(1, 2_000_000), alphas, deltas)
def test_the_number_of_bad_runs_is_that_of_stats(m, alpha, delta):
    bad = bad_runs(m, alpha, delta)
    assert shares.is_bad_runs(bad, m, alpha, delta)


@given(st.lists(st.sampled_from(["a", "b", "ü", "", None])), st.integers(0, 2**64 - 1))
def test_one_image_a_group_is_that_of_stats(groups, seed):
    wanted = one_per_group((group or "" for group in groups), seed)
    assert sorted(shares.one_each(groups, seed)) == wanted.tolist()


@given(st.lists(st.integers(0, 10**6)))
def test_mean_median_and_largest_are_numpys(values):
    wanted = (np.mean(values), np.median(values), max(values)) if values else (0.0, 0.0, 0)
    assert shares.spread(Counter(values)) == pytest.approx(wanted, rel=1e-12)
