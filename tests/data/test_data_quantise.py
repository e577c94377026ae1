import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refusals import refuses
from smoothcert.data.checks import BITS
from smoothcert.data.transforms import PIECE, integers_of, levels_of_bits, on_grid, to_grid
from smoothcert.errors import DataError


@given(st.sampled_from(sorted(BITS.values())), st.lists(st.integers(0, 65535), min_size=1, max_size=30))
def test_grey_values_survive_the_way_through_float32(levels: int, values: list[int]) -> None:
    grey = np.minimum(np.array(values), levels)
    unit = (grey / levels).astype(np.float32)
    assert np.array_equal(to_grid(unit, levels, quantise=False), grey)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.sampled_from([8, 12, 16]))
def test_snapping_moves_a_pixel_by_at_most_half_a_step(values: list[float], bits: int) -> None:
    unit = np.array(values)
    grey, levels, done = integers_of(unit, None, bits)
    assert np.abs(grey / levels - unit).max() <= 0.5 / levels + 1e-12
    assert done == (f"quantised to {bits} bits",)
    assert grey.dtype == (np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.1234567], "--quantise 8"),
        ([np.nan], "NaN"),
        ([np.inf], "infinite"),
        ([0.0, 255.0], "look like grey values"),
        ([-2.1, 2.6], "look normalised"),
        ([-0.5, 300.0], "look normalised"),
        ([0.0, 1e9], "look normalised"),
    ],
)
def test_refused_floats(values: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        integers_of(np.array(values), None, None)


@pytest.mark.parametrize("quantise", [None, 8])
def test_range_is_checked_even_when_snapping(quantise: int | None) -> None:
    with refuses("E-DATA-139", match=r"be in \[0, 1\], got \[0, 200\]"):
        integers_of(np.array([0.0, 200.0], np.float32), None, quantise)


def test_the_coarsest_grid_that_fits_is_found() -> None:
    assert integers_of(np.array([0, 1 / 255]), None, None)[1] == 255
    assert integers_of(np.array([0, 1 / 4095]), None, None)[1] == 4095
    assert integers_of(np.array([0, 1 / 65535]), None, None)[1] == 65535
    assert integers_of(np.array([0, 1 / 255]), 65535, None)[0].tolist() == [0, 257]


@pytest.mark.parametrize("count", [PIECE - 1, PIECE, 2 * PIECE + 3])
def test_large_arrays_are_worked_on_in_pieces(count: int) -> None:
    grey = (np.arange(count) % 256).astype(np.uint8)
    assert np.array_equal(integers_of((grey / 255).astype(np.float32).reshape(1, -1), None, None)[0][0], grey)
    off = grey / 255
    off[-1] = 0.1234
    assert not on_grid(off, 255)


def test_half_floats_cannot_tell_a_fine_grid() -> None:
    assert not on_grid(np.array([0.3], np.float16), 4095)


def test_integers_pass_or_are_snapped_to_a_coarser_grid() -> None:
    eight = np.array([0, 7, 255], np.uint8)
    assert integers_of(eight, None, None) == (pytest.approx(eight), 255, ())
    assert integers_of(eight, None, 16)[1:] == (255, ())
    sixteen = np.array([0, 32768, 65535], np.uint16)
    snapped, levels, done = integers_of(sixteen, None, 8)
    assert (snapped.tolist(), levels, done) == ([0, 128, 255], 255, ("quantised to 8 bits from 65535 levels",))
    assert integers_of(sixteen, 65535, 12)[0].tolist() == [0, 2048, 4095]
    twelve = np.array([0, 4095], np.uint16)
    assert [integers_of(twelve, None, bits)[1] for bits in (12, 16)] == [4095, 65535]
    assert integers_of(twelve, 4095, None)[1] == 4095


@pytest.mark.parametrize(
    ("images", "levels", "quantise", "message"),
    [
        (np.array([0, 4095], np.uint16), None, None, "may be 12-bit"),
        (np.array([0, 4095], np.uint16), None, 8, "may be 12-bit"),
        (np.array([0, 255], np.uint8), 4095, 8, "levels must be 255 for uint8"),
        (np.array([0, 255], np.uint16), 255, None, "levels must be 255 for uint8 and 4095 or 65535 for uint16"),
        (np.array([0, 4096], np.uint16), None, 12, "--quantise 12 expects .* up to 4096"),
        (np.array([0, 4095], np.uint16), 1000, None, "255, 4095 or 65535, got 1000"),
        (np.array([0, 9], np.int64), None, None, "uint8, uint16 or float"),
        (np.array([True]), None, None, "got bool"),
        (np.array(["a"]), None, None, "uint8, uint16 or float"),
        (np.array([0, 9000], np.uint16), 4095, 8, "be in 0..4095, got 9000"),
        (np.array([], np.uint8), None, None, "at least one image"),
        (np.array([0.5]), None, 10, "8, 12 or 16 bits, got 10"),
    ],
)
def test_refused_grids(images: np.ndarray, levels: int | None, quantise: int | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        integers_of(images, levels, quantise)


def test_bits() -> None:
    assert [levels_of_bits(bits) for bits in (8, 12, 16)] == [255, 4095, 65535]
