import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.pages import unpack
from smoothcert.report.html_report.data import step_of, tenths_down, tenths_up
from smoothcert.report.html_report.images import MICRO, micro_down, micro_up, pack

WHOLE = st.lists(st.integers(0, 2**32 - 1), max_size=50)


@given(WHOLE, st.booleans())
def test_a_column_comes_back(values, steps):
    packed = pack(np.array(values, dtype=np.int64), steps)
    assert unpack(packed).tolist() == values
    assert packed["bytes"] == min(w for w in (1, 2, 4) if max(values, default=0) < 256**w)


@pytest.mark.parametrize("bad", [-1, 2**32])
def test_numbers_that_do_not_fit_are_refused(bad):
    with pytest.raises(ValueError, match="expected whole numbers"):
        pack(np.array([1, bad]))


@given(st.lists(st.floats(0, 40), min_size=1, max_size=20))
def test_millionths_stay_on_their_side(values):
    exact = np.array(values)
    below, above = micro_down(exact) / MICRO, micro_up(exact) / MICRO
    assert (below <= exact).all()
    assert (above >= exact).all()
    assert (above - below <= 1.001 / MICRO).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_tenths_of_a_percent_stay_on_their_side(shares):
    exact = np.array(shares)
    assert (tenths_down(exact) / 1000 <= exact + 1e-15).all()
    assert (tenths_up(exact) / 1000 >= exact - 1e-15).all()
    assert (tenths_up(exact) - tenths_down(exact) <= 1).all()


@given(st.floats(0.01, 200))
def test_a_slider_has_a_fine_and_round_step(end):
    step = step_of(end)
    assert 400 <= end * MICRO / step <= 1000.5
    assert str(step).rstrip("0") in {"1", "2", "5"}
