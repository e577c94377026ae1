import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smoothcert.stats.rounding import (
    format_down,
    format_up,
    full,
    percent_down,
    percent_exact,
    percent_of,
    percent_up,
    percents,
    round_down,
    round_up,
    scientific_up,
)

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


counts = st.integers(1, 10**6).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m)))
shares = st.floats(0, 1)


@given(counts, digits)
def test_a_share_of_images_is_printed_to_its_last_digit(counts, d):
    exact, unit = 100 * Fraction(*counts), Fraction(1, 10**d)
    low, high = Fraction(percent_of(*counts, d)), Fraction(percent_up(Fraction(*counts), d))
    assert low <= exact < low + unit
    assert high - unit < exact <= high
    assert low == high or exact.denominator != 1


def test_every_share_of_few_images_to_one_decimal():
    for m in range(1, 301):
        for s in range(m + 1):
            assert percent_of(s, m) == f"{1000 * s // m / 10:.1f}"


@given(shares, digits)
def test_bounds_are_printed_in_percent_without_rounding_on_the_way(x, d):
    exact, unit = 100 * Fraction(repr(x)), Fraction(1, 10**d)
    assert Fraction(percent_down(x, d)) <= exact < Fraction(percent_down(x, d)) + unit
    assert Fraction(percent_up(x, d)) - unit < exact <= Fraction(percent_up(x, d))
    assert percents(x, None) == f">= {percent_down(x)}"


@given(st.floats(0, 100), st.floats(0, 100))
def test_settings_are_printed_in_full(x, y):
    assert float(full(x)) == x
    assert (full(x) == full(y)) == (x == y)
    assert Fraction(percent_exact(x)) == 100 * Fraction(repr(x))


def test_two_radii_that_differ_in_the_seventh_digit():
    assert (full(1.3536676), full(1.35367)) == ("1.3536676", "1.35367")
