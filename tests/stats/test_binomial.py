import itertools

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from smoothcert.errors import SpecError
from smoothcert.stats import interval, lower_bound, upper_bound
from smoothcert.stats.binomial import sign_test

LEVELS = (0.05, 0.001, 5e-5, 1e-8)
TRIALS = (1, 7, 100, 1000, 87_318, 100_000, 1_000_000)
HARD = sorted(
    {
        (x, n)
        for n in TRIALS
        for x in (0, 1, 2, 5, 40, 999, 1000, n // 10, n // 2, 9 * n // 10, n - 2, n - 1)
        if 0 <= x < n
    }
)


def tail(x, n, u):
    """P(Binomial(n, u) <= x) in 50 digits: the terms from x downwards, until they stop mattering."""
    if u == 1.0:
        return mpmath.mpf(0)
    u = mpmath.mpf(u)
    odds = (1 - u) / u
    log_term = mpmath.loggamma(n + 1) - mpmath.loggamma(x + 1) - mpmath.loggamma(n - x + 1)
    term = mpmath.exp(log_term + x * mpmath.log(u) + (n - x) * mpmath.log1p(-u))
    total = term
    for i in range(x, 0, -1):
        term *= odds * i / (n - i + 1)
        total += term
        if term < total * mpmath.mpf("1e-22") and i < n * u:
            break
    return total


@pytest.mark.parametrize("a", LEVELS)
def test_never_below_the_true_quantile_and_close_to_it(a):
    with mpmath.workdps(50):
        for x, n in HARD:
            u = float(upper_bound(x, n, a))
            assert tail(x, n, u) <= a, (x, n)
            assert u == 1.0 or tail(x, n, u / (1 + 1e-8)) > a, (x, n)


def test_real_valued_successes_against_fifty_digits():
    with mpmath.workdps(50):
        for x, n, a in itertools.product((0.3, 2.5, 61.7), (100.0, 4321.5), (0.05, 1e-4)):
            u = mpmath.mpf(float(upper_bound(x, n, a)))
            above = mpmath.betainc(x + 1, n - x, u, 1, regularized=True)
            near = mpmath.betainc(x + 1, n - x, u / (1 + mpmath.mpf("1e-8")), 1, regularized=True)
            assert above <= a < near


def test_closed_forms():
    n = np.array([1, 10, 100_000])
    np.testing.assert_allclose(upper_bound(0, n, 0.001), -np.expm1(np.log(0.001) / n), rtol=2e-9)
    np.testing.assert_allclose(upper_bound(n - 1, n, 0.001), np.exp(np.log1p(-0.001) / n), rtol=2e-9)
    assert upper_bound(n, n, 0.001).tolist() == [1.0, 1.0, 1.0]
    assert float(upper_bound(0, 0, 0.001)) == 1.0


def test_coverage_is_exact_by_enumeration():
    n, a = 40, 0.05
    u = upper_bound(np.arange(n + 1), n, a)
    for p in np.linspace(0.001, 0.999, 500):
        assert binom.pmf(np.arange(n + 1)[u < p], n, p).sum() <= a


counts = st.integers(1, 10**7).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n)))
level = st.floats(1e-8, 0.5)


@given(counts, level, st.floats(1.01, 10))
def test_monotone_in_successes_trials_and_level(xn, a, factor):
    x, n = xn
    u = upper_bound(x, n, a)
    slack = 1 + 3e-9  # the inflation
    assert x / n < u <= 1
    assert u <= upper_bound(x + 1, n, a) * slack
    assert upper_bound(x, n + 1, a) <= u * slack
    assert u <= upper_bound(x, n, a / factor) * slack


@given(counts, level)
def test_lower_bound_is_the_complement_rounded_down(xn, a):
    x, n = xn
    low, high = float(lower_bound(x, n, a)), float(upper_bound(n - x, n, a))
    assert 0 <= low <= x / n
    assert low <= max(0.0, 1 - mpmath.mpf(high))
    assert low >= 1 - high - 1e-15


def test_broadcasts():
    assert upper_bound(np.zeros((3, 1)), np.array([10, 20]), 0.01).shape == (3, 2)
    assert upper_bound(np.zeros((0,)), 10, 0.01).shape == (0,)


@pytest.mark.parametrize(
    "args", [(-1, 5, 0.1), (6, 5, 0.1), (1, 5, 0.0), (1, 5, 1.0), (float("nan"), 5, 0.1), (1, 5, float("nan"))]
)
def test_refusals(args):
    with pytest.raises(SpecError):
        upper_bound(*args)


@pytest.mark.parametrize(("s", "m"), [(0, 10), (3, 10), (10, 10), (2400, 4000), (1, 100_000)])
def test_interval_against_scipy(s, m):
    ref = binomtest(s, m).proportion_ci(confidence_level=0.95, method="exact")
    low, high = interval(s, m)
    assert low == pytest.approx(ref.low, rel=1e-8, abs=1.1e-9)
    assert high == pytest.approx(ref.high, rel=1e-8)
    assert low <= ref.low + 1e-12
    assert high >= ref.high - 1e-12


@given(st.integers(0, 500), st.integers(0, 500))
def test_sign_test_against_scipy(a, b):
    expected = binomtest(a, a + b, 0.5).pvalue if a + b else 1.0
    assert float(sign_test(a, b)) == pytest.approx(expected, rel=1e-9)


def test_prediction_needs_eleven_votes_at_one_in_a_thousand():
    p = sign_test(np.arange(1, 15), 0)
    assert int(np.flatnonzero(p <= 0.001)[0]) + 1 == 11


def test_sign_test_refuses_negative_votes():
    with pytest.raises(SpecError):
        sign_test(-1, 3)
