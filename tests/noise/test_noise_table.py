"""Thresholds against mpmath, their ends, and the total variation distance."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import MPContext
from scipy.special import ndtr

from smoothcert.errors import SpecError
from smoothcert.noise import cpu, grid_table, table

MP = MPContext()
MP.prec = 300


def phi(i, sigma, levels):
    return MP.ncdf(MP.mpf(2 * i + 1) / (2 * levels * MP.mpf(sigma)))


def threshold(i, sigma, levels):
    return int(MP.ceil(MP.ldexp(phi(i, sigma, levels), 64)))


@pytest.mark.parametrize(("sigma", "size"), [(0.25, 1158), (0.5, 2316), (1.0, 4630)])
def test_sizes_at_8_bits(sigma, size):
    assert len(grid_table(sigma, 255).thresholds) == size


def test_every_threshold_of_one_table():
    made = grid_table(0.25, 255)
    wanted = [threshold(made.first + j, 0.25, 255) for j in range(len(made.thresholds))]
    assert made.thresholds.tolist() == wanted


@pytest.mark.parametrize(("sigma", "levels"), [(0.5, 255), (1.0, 255), (0.1, 4095), (0.25, 65535), (1.0, 65535)])
def test_random_thresholds(sigma, levels):
    made = grid_table(sigma, levels)
    places = np.random.default_rng(levels).integers(0, len(made.thresholds), 60)
    for j in places.tolist():
        assert int(made.thresholds[j]) == threshold(made.first + j, sigma, levels)


@settings(max_examples=30)
@given(st.floats(0.01, 3.0), st.sampled_from([1, 7, 100, 255]))
def test_ends_of_any_table(sigma, levels):
    if levels * sigma < 0.06:
        return
    made = grid_table(sigma, levels)
    last = made.first + len(made.thresholds) - 1
    assert MP.ldexp(phi(made.first, sigma, levels), 64) >= 1 > MP.ldexp(phi(made.first - 1, sigma, levels), 64)
    assert int(made.thresholds[0]) == threshold(made.first, sigma, levels)
    assert int(made.thresholds[-1]) == threshold(last, sigma, levels) < 2**64
    assert threshold(last + 1, sigma, levels) == 2**64


def test_ends_of_the_uniform():
    made = grid_table(0.25, 255)
    ends = np.array([0, 1, 2, 2**64 - 2, 2**64 - 1], np.uint64)
    assert made.steps(ends)[0] == made.first
    assert made.steps(ends)[-1] == made.last
    edge = made.thresholds[600]
    below, at = made.steps(np.array([int(edge) - 1, int(edge)], np.uint64))
    assert at == below + 1


def test_unsettled_values_are_computed_again(monkeypatch):
    wanted = grid_table(0.25, 255).thresholds.tolist()
    monkeypatch.setattr(table, "MARGIN", 1 << 96)
    assert grid_table.__wrapped__(0.25, 255).thresholds.tolist() == wanted


def test_fixed_point_error_is_far_below_the_margin():
    """The Taylor values differ from 300-bit ones by less than MARGIN / 100."""
    levels, sigma = 4095, 0.3
    below = sigma.as_integer_ratio()
    for j in np.random.default_rng(1).integers(0, 11000, 150).tolist():
        distance = (2 * j + 1) * (below[1] << table.FRACTION) // (2 * levels * below[0])
        (value,) = table._normal_cdf(distance // table._BLOCK, np.array([distance], dtype=object))
        exact = MP.ldexp(phi(-j - 1, sigma, levels), table.FRACTION)
        assert abs(exact - value) < table.MARGIN / 100


def exact_total_variation(sigma, levels):
    """Half the sum of |delivered - ideal| over all integers, in 300 bits."""
    made = grid_table(sigma, levels)
    edges = [0, *made.thresholds.tolist(), 2**64]
    delivered = {made.first + j: MP.mpf(b - a) / 2**64 for j, (a, b) in enumerate(pairwise(edges))}
    total = MP.mpf(0)
    for i in range(made.first - 400, made.last + 401):
        ideal = phi(i, sigma, levels) - phi(i - 1, sigma, levels)
        total += abs(delivered.get(i, 0) - ideal)
    return total / 2


@pytest.mark.parametrize(
    ("sigma", "levels"), [(0.25, 4), (0.5, 3), (0.07, 1), (0.12, 1), (0.2, 1), (1.0, 1), (0.25, 255)]
)
def test_exact_total_variation_is_below_the_bound(sigma, levels):
    exact = exact_total_variation(sigma, levels)
    assert 0 < exact < table.total_variation(1, grid_table(sigma, levels))


def test_eta_at_28x28x3():
    etas = [table.total_variation(28 * 28 * 3, grid_table(sigma, 255)) for sigma in (0.25, 0.5, 1.0)]
    assert [f"{eta:.1e}" for eta in etas] == ["1.5e-13", "3.0e-13", "5.9e-13"]
    assert etas[0] == 2352 * 1158 / 2**64


def test_probabilities_are_differences_of_phi():
    made = grid_table(0.5, 255)
    steps = np.arange(made.first, made.last + 1)
    wanted = ndtr((steps + 0.5) / 255 / 0.5) - ndtr((steps - 0.5) / 255 / 0.5)
    np.testing.assert_allclose(made.probabilities(), wanted, atol=1e-15)
    assert made.probabilities().sum() == pytest.approx(1, abs=1e-14)


def test_guide_brackets_every_search():
    made = grid_table(1.0, 255)
    words = np.random.default_rng(2).integers(0, 2**64 - 1, 20000, np.uint64, endpoint=True)
    counts = np.searchsorted(made.thresholds, words, side="right")
    entries = (words >> np.uint64(made.shift)).astype(np.int64)
    assert (made.guide[entries] <= counts).all()
    assert (counts <= made.guide[entries + 1]).all()


def test_compiled_search_at_every_edge():
    made = grid_table(0.25, 255)
    search = cpu.njit(lambda word, thresholds, guide, shift: cpu._count(word, thresholds, guide, shift))
    edges = made.thresholds.tolist()
    words = [0, 1, 2**64 - 2, 2**64 - 1, *edges, *(e - 1 for e in edges), *(min(e + 1, 2**64 - 1) for e in edges)]
    wanted = np.searchsorted(made.thresholds, np.array(words, np.uint64), side="right")
    got = [search(np.uint64(w), made.thresholds, made.guide, np.uint64(made.shift)) for w in words]
    assert got == wanted.tolist()
    assert (got[0], got[3]) == (0, len(edges))


def test_numpy_scalars_make_the_same_table():
    wanted = grid_table(0.3, 255).thresholds
    np.testing.assert_array_equal(grid_table.__wrapped__(np.float64(0.3), np.int64(255)).thresholds, wanted)


def test_tables_are_shared_and_read_only():
    assert grid_table(0.25, 255) is grid_table(0.25, 255)
    with pytest.raises(ValueError, match="read-only"):
        grid_table(0.25, 255).thresholds[0] = 0


@pytest.mark.parametrize(("sigma", "levels", "match"), [(1e-4, 255, "too small"), (20.0, 65535, "over 8388608")])
def test_refused_tables(sigma, levels, match):
    with pytest.raises(SpecError, match=match):
        grid_table(sigma, levels)
