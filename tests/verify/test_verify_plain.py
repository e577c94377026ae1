"""The second implementation against SciPy, mpmath and `smoothcert.stats`."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import betaincc, ndtr, ndtri

from smoothcert.noise import make_noise
from smoothcert.stats import Bounds, certified_at, radius, upper_bound
from smoothcert.stats import schedule as stats_schedule
from smoothcert.stats.sequential import alpha_spending as stats_levels
from smoothcert.verify import plain

levels = st.floats(1e-12, 0.3)
counts = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n)))


def exact_tail(x, n, p):
    """P(X <= x) to 30 digits."""
    with mpmath.workdps(40):
        p = mpmath.mpf(p)
        term = mpmath.binomial(n, x) * p**x * (1 - p) ** (n - x)
        total = mpmath.mpf(0)
        for i in range(x, -1, -1):
            total += term
            term *= mpmath.mpf(i) / (n - i + 1) * (1 - p) / p
            if term < total * mpmath.mpf("1e-30"):
                break
        return total


@settings(max_examples=200)
@given(counts, levels)
def test_the_tail_is_scipys_at_upper_bounds(pair, level):
    x, n = pair
    u = float(upper_bound(x, n, level))
    assume(u < 1)
    assert plain.binomial_tail(x, n, u) == pytest.approx(float(betaincc(x + 1, n - x, u)), rel=1e-9)
    assert plain.is_upper_bound(u, x, n, level)


@pytest.mark.parametrize("n", [10, 1000, 100_000, 10_000_000])
@pytest.mark.parametrize("share", [0.0, 1e-5, 1e-3, 0.1, 0.45])
@pytest.mark.parametrize("level", [1e-3, 1e-9])
def test_the_tail_is_mpmaths(n, share, level):
    x = int(share * n)
    u = float(upper_bound(x, n, level))
    error = plain.binomial_tail(x, n, u) / exact_tail(x, n, u) - 1
    assert abs(error) < (1e-9 if x <= 1000 or n <= 100_000 else 1e-7)
    assert plain.is_upper_bound(u, x, n, level)


@settings(max_examples=200)
@given(counts, levels)
def test_a_bound_off_by_a_millionth_is_refused(pair, level):
    x, n = pair
    u = float(upper_bound(x, n, level))
    assume(u < 1 - 1e-5)
    assert not plain.is_upper_bound(u * (1 - 1e-6), x, n, level)
    assert not plain.is_upper_bound(u * (1 + 1e-6), x, n, level)


@pytest.mark.parametrize(("u", "accepted"), [(1.0, True), (2.0, True), (0.0, False), (-1.0, False), (math.nan, False)])
def test_what_is_no_probability(u, accepted):
    assert plain.is_upper_bound(u, 3, 10, 0.001) is accepted


@given(st.floats(-37, 37))
def test_phi_is_accurate_in_the_lower_tail(z):
    assert plain.phi(z) == pytest.approx(float(mpmath.ncdf(z)), rel=1e-12)


@given(st.floats(-300, -1e-9).map(lambda e: 10.0**e))
def test_the_quantile_inverts_phi(p):
    assert plain.quantile(p) == pytest.approx(float(ndtri(p)), rel=1e-12, abs=1e-12)


@st.composite
def bounded(draw):
    """q and k descending rival bounds, sigma and a radius."""
    q = draw(st.floats(1e-9, 1.0))
    rivals = sorted(draw(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=5)), reverse=True)
    return q, rivals, draw(st.sampled_from([0.12, 0.25, 0.5, 1.0])), draw(st.floats(0, 3))


@settings(max_examples=500)
@given(bounded(), st.sampled_from([0.0, 3e-13, 1e-6]))
def test_margins_decide_as_stats_does(case, eta):
    q, rivals, sigma, r = case
    margin = plain.margin(q, rivals, r / sigma, eta)
    assume(abs(margin) > 1e-9)
    decided = bool(certified_at(Bounds(np.array(q), np.array(rivals)), r, sigma, eta))
    assert decided == (margin > 0)


@settings(max_examples=100)
@given(st.floats(0.001, 0.49), st.floats(0.0, 2.0))
def test_one_rival_at_q_is_cohens_radius(q, r):
    """Certified exactly below Phi^-1(1 - q)."""
    limit = -float(ndtri(q))
    assume(abs(limit - r) > 1e-6)
    assert (plain.margin(q, [q], r, 0.0) > 0) == (r < limit)


def test_the_margin_is_the_largest_over_t():
    """Two rivals of 0.2 and 0.1 at r = 0.5, label at least 0.6, by hand."""
    label = ndtr(ndtri(0.6) - 0.5)
    first = math.log(label) - math.log(ndtr(ndtri(0.1) + 0.5))
    both = math.log(label) - math.log(ndtr(ndtri(0.3) + 0.5) / 2)
    assert plain.margin(0.4, [0.2, 0.1], 0.5, 0.0) == pytest.approx(max(first, both), rel=1e-12)
    assert plain.margin(1.0, [0.2], 0.0, 0.0) == -math.inf


@given(st.integers(100, 10_000_000), st.sampled_from(["looks", "fixed"]), st.floats(1e-12, 0.49))
def test_looks_and_levels_are_those_of_the_plan(n_max, stopping, alpha):
    looks = plain.schedule(n_max, stopping)
    assert looks == stats_schedule(n_max, stopping)
    spent = plain.levels(looks, alpha)
    assert spent == pytest.approx(stats_levels(looks, alpha), rel=1e-11)
    assert math.fsum(spent) == pytest.approx(alpha, rel=1e-12)


@settings(max_examples=500)
@given(bounded(), st.sampled_from([0.0, 3e-13, 1e-6]))
def test_radii_of_stats_are_accepted_and_others_refused_to_either_side(case, eta):
    q, rivals, sigma, _ = case
    r = float(radius(Bounds(np.array(q), np.array(rivals)), sigma, eta)) / sigma
    assert plain.is_radius(r, q, rivals, eta)
    assert not plain.is_radius(max(r, 0.0) + 1e-7, q, rivals, eta)
    if r > 1e-6:
        assert not plain.is_radius(r - 1e-7, q, rivals, eta)
        assert not plain.is_radius(0.0, q, rivals, eta)
    assert not plain.is_radius(math.nan, q, rivals, eta)
    assert not plain.is_radius(math.inf, q, rivals, eta)


@settings(max_examples=50)
@given(st.floats(1e-6, 0.4), st.floats(1e-6, 0.4), st.floats(1e-6, 0.4))
def test_the_accepted_radius_is_the_root_by_mpmath(q, one, other):
    """k = 2: the radius is where mpmath's largest margin over t changes its sign."""
    rivals = sorted((one, other), reverse=True)
    assume(plain.margin(q, rivals, 1e-3, 0.0) > 0)

    def margin(r):
        label = mpmath.ncdf(-normal_quantile(q) - r)
        sums = (min(rivals[1], q), min(sum(rivals), q))
        return max(label - mpmath.ncdf(normal_quantile(s) + r) / t for t, s in enumerate(sums, 1))

    with mpmath.workdps(30):
        low, high = mpmath.mpf(0), mpmath.mpf(20)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if margin(middle) >= 0 else (low, middle)
    assert plain.is_radius(float(low), q, rivals, 0.0)


def normal_quantile(p):
    """Phi^-1(p) to 30 digits."""
    return mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p) - 1)


@given(st.dictionaries(st.integers(0, 9), st.integers(0, 5)))
def test_the_winner_has_most_votes_and_the_lowest_number(votes):
    counts = np.array([votes.get(c, -1) for c in range(10)])
    assert plain.winner(votes) == (int(counts.argmax()) if votes else None)


@pytest.mark.parametrize(("n", "level"), [(1, 0.05), (100, 7e-4), (100_000, 1e-9), (10_000_000, 1e-4)])
def test_the_bound_of_no_success_is_scipys(n, level):
    assert plain.unanimous(n, level) == pytest.approx(float(upper_bound(0, n, level)), rel=2e-9)


@pytest.mark.parametrize("steps", [0.06, 0.08, 0.1, 0.17, 0.28, 0.5, 1.0, 3.3, 63.75])
@pytest.mark.parametrize("levels", [255, 4095])
def test_the_total_variation_is_that_of_the_noise(steps, levels):
    """Down to the smallest noise there may be, of two thresholds, where max(T, 4) is not T."""
    sigma = steps / levels
    noise = make_noise("grid", sigma, levels, 0)
    assert plain.total_variation(3 * 28 * 28, sigma, levels) == pytest.approx(noise.eta(3 * 28 * 28), rel=1e-12)


@pytest.mark.parametrize(("sigma", "expected"), [(0.25, 1158), (0.5, 2316), (1.0, 4630)])
def test_thresholds_are_those_of_the_noise_table(sigma, expected):
    assert plain.thresholds(sigma, 255) == expected
    noise = make_noise("grid", sigma, 255, 0)
    assert noise.eta(3 * 28 * 28) == pytest.approx(3 * 28 * 28 * expected * 2.0**-64, rel=1e-3)
