import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smoothcert.errors import SpecError
from smoothcert.stats import Plan, bounds, certified_at, r_max, r_max_fixed, tally, votes_needed


@pytest.mark.parametrize(
    ("sigma", "expected"), [(0.25, [40, 301, 5114, 218_105]), (0.5, [19, 40, 100, 301]), (1.0, [14, 19, 27, 40])]
)
def test_the_printed_numbers(sigma, expected):
    assert [votes_needed(r, sigma, 0.001) for r in (0.25, 0.5, 0.75, 1.0)] == expected


@given(st.floats(0.05, 1.2), st.sampled_from([0.25, 0.5, 1.0]), st.sampled_from([0.05, 0.001, 1e-6]))
def test_needed_votes_certify_and_one_fewer_do_not(r, sigma, alpha):
    n = votes_needed(r, sigma, alpha)
    votes = tally(np.array([[n, 0, 0], [n - 1, 0, 0]]), [0, 0], 1)
    assert certified_at(bounds(votes, alpha, 1, "cohen", 3), r, sigma).tolist() == [True, False]


def test_out_of_reach():
    assert votes_needed(3.0, 0.25) is None
    assert votes_needed(100.0, 0.25) is None


def test_r_max_agrees_with_the_plan():
    for n in (100, 5000, 100_000):
        assert r_max_fixed(n, 0.25) == pytest.approx(r_max(Plan((n,), 0.001, "cohen", 5, 0.25), 1), abs=1e-12)
    assert r_max_fixed(1, 0.25) < 0


def test_refusals():
    for call in (lambda: votes_needed(0, 0.25), lambda: votes_needed(1, 0), lambda: r_max_fixed(0, 0.25)):
        with pytest.raises(SpecError):
            call()
