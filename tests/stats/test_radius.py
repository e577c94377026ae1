import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from smoothcert.errors import SpecError
from smoothcert.stats import Bounds, certified_at, radius


def pair(q, u):
    return Bounds(np.asarray(q, dtype=float), np.sort(np.asarray(u, dtype=float))[..., ::-1])


probability = st.floats(1e-9, 0.999)
bounds_of = st.builds(pair, probability, st.lists(probability, min_size=1, max_size=5))
sigmas = st.sampled_from([0.12, 0.25, 0.5, 1.0])


def exact(b, sigma, t):
    """R_t in 30 digits, by bisection on the equation of the theorem."""
    with mpmath.workdps(30):
        q = mpmath.mpf(float(b.q))
        s_t = min(mpmath.fsum(mpmath.mpf(float(v)) for v in b.u[len(b.u) - t :]), q)
        z, s = (mpmath.sqrt(2) * mpmath.erfinv(2 * v - 1) for v in (1 - q, s_t))
        low, high = mpmath.mpf(-20), mpmath.mpf(20)
        for _ in range(80):
            mid = (low + high) / 2
            kept = mpmath.ncdf(z - mid) >= mpmath.ncdf(s + mid) / t
            low, high = (mid, high) if kept else (low, mid)
        return float(sigma * low)


@settings(max_examples=30)
@given(st.builds(pair, st.floats(1e-6, 0.99), st.lists(st.floats(1e-6, 0.99), min_size=1, max_size=4)), sigmas)
def test_against_thirty_digits(b, sigma):
    reference = max(exact(b, sigma, t) for t in range(1, len(b.u) + 1))
    assert float(radius(b, sigma)) == pytest.approx(reference, abs=1e-9)


@given(probability, sigmas)
def test_cohen_closed_form(q, sigma):
    assert float(radius(pair(q, [q]), sigma)) == pytest.approx(-sigma * ndtri(q), abs=1e-12)


@given(bounds_of, sigmas)
def test_scales_with_sigma(b, sigma):
    assert float(radius(b, 2 * sigma)) == 2 * float(radius(b, sigma))


@given(bounds_of, sigmas, st.floats(1.0, 1.5))
def test_falls_when_any_bound_rises(b, sigma, factor):
    base = radius(b, sigma)
    for i in range(len(b.u)):
        u = b.u.copy()
        u[i] = min(1.0, u[i] * factor)
        assert radius(pair(b.q, u), sigma) <= base + 1e-12
    assert radius(Bounds(b.q * factor, b.u), sigma) <= base + 1e-12
    assert radius(b, sigma, eta=1e-3) <= base + 1e-12


@given(bounds_of, sigmas)
def test_decision_agrees_with_the_radius(b, sigma):
    r = float(radius(b, sigma))
    assert bool(certified_at(b, 0.0, sigma)) == (r > 0) or abs(r) < 1e-12
    if r > 1e-9:
        assert certified_at(b, r * (1 - 1e-9), sigma)
        assert not certified_at(b, r * (1 + 1e-9) + 1e-12, sigma)


@given(probability, st.lists(probability, min_size=2, max_size=5))
def test_more_rivals_help(q, u):
    b = pair(q, u)
    fewer = Bounds(b.q, b.u[:-1])
    assert radius(b, 0.5) >= radius(fewer, 0.5) - 1e-9


def test_nothing_is_certified_where_the_label_may_have_no_mass():
    b = pair([1.0, 1 - 1e-15, 0.5], [[1.0], [1.0], [0.5]])
    assert radius(b, 0.5, eta=1e-12).tolist()[:2] == [-np.inf, -np.inf]
    assert not certified_at(b, 0.0, 0.5, eta=1e-12).any()


def test_eta_enters_once_a_sum():
    eta = 1e-3
    plain, lifted = pair(0.4, [0.2, 0.1, 0.05]), pair(0.4 + eta, [0.2, 0.1, 0.05 + eta])
    assert float(radius(plain, 0.25, eta)) == pytest.approx(float(radius(lifted, 0.25)), abs=1e-12)


def test_top_k_can_be_certified_below_one_half():
    b = pair(0.7, [0.35, 0.2, 0.1])
    assert float(radius(b, 0.5)) > 0


def test_zero_rivals_stay_finite():
    assert 0 < float(radius(pair(0.01, [0.0]), 1.0)) < 40
    assert 0 < float(radius(pair(0.0, [0.0]), 1.0)) < 40


def test_refusals():
    b = pair(0.1, [0.1])
    for call in (
        lambda: radius(b, 0.0),
        lambda: radius(b, 0.5, eta=-1.0),
        lambda: certified_at(b, -0.1, 0.5),
        lambda: certified_at(b, float("nan"), 0.5),
    ):
        with pytest.raises(SpecError):
            call()
