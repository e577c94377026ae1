"""Preflight says what looks wrong before hours are spent, and says nothing where nothing is wrong."""

from pathlib import Path

import numpy as np
import pytest

from networks import loaded, small_request, write_grey_images, write_resnet
from smoothcert.engine.preflight import Preflight, preflight


def look(model: str | Path, data: Path, **settings: object) -> Preflight:
    return preflight(loaded(small_request(model, data, **settings)), 0.25, seed=1)


def test_a_sound_pair_raises_no_warning(grey):
    seen = look("nets:robust", grey)
    assert seen.warnings == ()
    assert (seen.clean.accuracy, seen.noisy_accuracy, seen.clean.images) == (1.0, 1.0, 12)
    assert seen.grey_levels == 63.75
    assert seen.seconds_at_most == pytest.approx(12 * 320 / seen.rate)


def test_a_classifier_that_was_not_trained_with_noise(grey, tmp_path):
    seen = look("nets:brittle", write_grey_images(tmp_path / "near.npz", (100, 101, 102, 103)))
    assert seen.clean.accuracy == 1.0
    assert seen.noisy_accuracy < 0.5
    (warning,) = seen.warnings
    assert "not trained with this noise" in warning


def test_permuted_labels(grey, tmp_path):
    with np.load(grey) as arrays:
        np.savez(tmp_path / "permuted.npz", images=arrays["images"], labels=(arrays["labels"] + 1) % 4)
    (warning,) = look("nets:robust", tmp_path / "permuted.npz").warnings
    assert "order of the labels" in warning


def test_a_classifier_of_another_noise_level(grey, tmp_path):
    path = write_resnet(tmp_path / "net.safetensors", sigma=0.5)
    assert "trained with sigma 0.5, not 0.25" in look(path, grey).warnings[0]
    same = write_resnet(tmp_path / "same.safetensors", sigma=0.25)
    assert not any("trained with sigma" in warning for warning in look(same, grey).warnings)


def test_the_pilot_takes_no_vote_of_the_run(grey):
    """More than one window of images, and fewer images than a batch, are both fine."""
    assert look("nets:robust", write_grey_images(grey.with_name("many.npz"), each=40)).clean.images == 64
    assert look("nets:robust", grey, limit=1).clean.images == 1
