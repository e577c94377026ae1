import re
from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smoothcert.stats import format_down, format_up, round_down, round_up, scientific_up

values = st.floats(-1e6, 1e6)
digits = st.integers(0, 6)


@given(values, digits)
def test_sound_tight_and_idempotent(x, d):
    low, high = round_down(x, d), round_up(x, d)
    unit = 10.0**-d
    assert low <= x <= high
    assert x - low < unit * (1 + 1e-6)
    assert high - x < unit * (1 + 1e-6)
    assert round_down(low, d) == low == round_up(low, d)
    assert round_up(high, d) == high == round_down(high, d)


@given(values, digits)
def test_printed_digits_bracket_the_shortest_decimal(x, d):
    assert Decimal(format_down(x, d)) <= Decimal(repr(x)) <= Decimal(format_up(x, d))


@given(st.integers(-(10**6), 10**6), st.integers(0, 6))
def test_decimals_stay_what_they_are(j, d):
    x = j / 10**d
    assert round_down(x, d) == x == round_up(x, d)


def test_arrays_and_the_case_that_rounds_up_elsewhere():
    assert round_down(np.array([0.12371, 0.5]), 3).tolist() == [0.123, 0.5]
    assert round_up(np.array([0.12371, 0.5]), 3).tolist() == [0.124, 0.5]
    assert round_down(np.array([-np.inf, np.inf]), 3).tolist() == [-np.inf, np.inf]
    assert format_up(-0.0000001, 3) == "0.000"


@given(st.floats(1e-300, 1e300))
def test_scientific_notation_is_never_below_the_value(x):
    printed = scientific_up(x)
    assert re.fullmatch(r"\d\.\de[+-]\d{2,3}", printed)
    assert Decimal(printed) >= Decimal(repr(x))
    assert Decimal(printed) <= Decimal(repr(x)) * Decimal("1.1")
