"""Norms of perturbations: closed forms where there are any, properties elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothcert.data import PERTURBATIONS, perturbation_norms
from smoothcert.data.inspection import rounding


def names(start):
    return next(name for name in PERTURBATIONS if name.startswith(start))


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 28), (3, 224)])
def test_one_grey_level_has_the_norm_of_its_closed_form(channels, side):
    found = perturbation_norms(np.full((channels, side, side), 100, np.uint8), 255)
    assert found[names("brightness")] == pytest.approx(np.sqrt(channels * side * side) / 255)


def test_a_flat_image_moves_by_brightness_alone():
    found = perturbation_norms(np.full((3, 20, 20), 80, np.uint8), 255)
    for start in ("contrast", "translation", "rotation", "JPEG", "rounding"):
        assert found[names(start)] == pytest.approx(0, abs=1e-12)


def test_white_cannot_become_brighter():
    assert perturbation_norms(np.full((1, 8, 8), 255, np.uint8), 255)[names("brightness")] == 0


def test_a_step_edge_moves_by_one_column():
    pixels = np.zeros((1, 10, 10), np.uint8)
    pixels[:, :, 5:] = 255
    assert perturbation_norms(pixels, 255)[names("translation")] == pytest.approx(np.sqrt(10))


def test_two_percent_contrast_of_two_greys():
    pixels = np.zeros((1, 2, 10), np.uint8)
    pixels[:, 0], pixels[:, 1] = 100, 150
    assert perturbation_norms(pixels, 255)[names("contrast")] == pytest.approx(0.02 * 25 / 255 * np.sqrt(20))


def test_sixteen_bits_are_rounded_by_at_most_half_a_grey_level():
    pixels = np.random.default_rng(0).integers(0, 65536, (1, 12, 12)).astype(np.uint16)
    image = pixels / 65535
    assert np.abs(rounding(image) - image).max() <= 0.5 / 255 + 1e-12
    assert 0 < perturbation_norms(pixels, 65535)[names("rounding")] < 0.5 / 255 * 12


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([1, 3]), st.sampled_from([255, 4095]))
def test_every_norm_is_finite_and_every_changed_image_in_range(seed, channels, levels):
    pixels = np.random.default_rng(seed).integers(0, levels + 1, (channels, 9, 11)).astype(np.uint16)
    assert all(np.isfinite(norm) and norm >= 0 for norm in perturbation_norms(pixels, levels).values())
    for change in PERTURBATIONS.values():
        changed = change(pixels / levels)
        assert changed.shape == pixels.shape
        assert changed.min() >= 0
        assert changed.max() <= 1
