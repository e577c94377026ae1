"""Warnings are raised where something is wrong, seldom by chance, and never where nothing is."""

import numpy as np
import pytest

from smoothcert.engine import warnings as warnings

NAMES = ("cat", "dog", "fox", "owl", "rat")
LABELS = np.arange(60) % 5


def test_sound_answers_raise_no_warning():
    assert warnings.of_predictions(LABELS, LABELS, NAMES) == []
    assert warnings.of_order(LABELS, LABELS, NAMES) is None
    assert warnings.of_scores(np.eye(5)[LABELS]) == []
    assert warnings.of_noise(clean=0.9, noisy=0.8, sigma=0.25) == warnings.of_training(0.25, None) == []


@pytest.mark.parametrize("shift", [1, 2, 4])
def test_exchanged_classes_are_named(shift):
    warning = warnings.of_order((LABELS + shift) % 5, LABELS, NAMES).words
    assert "0%, 100% if" in warning
    assert f"'{NAMES[0]}' means '{NAMES[-shift]}'" in warning
    assert "and so on" in warning


def test_two_exchanged_classes_of_many():
    swapped = np.array([1, 0, 2, 3, 4])
    warning = warnings.of_order(swapped[LABELS], LABELS, NAMES).words
    assert "'cat' means 'dog', 'dog' means 'cat')" in warning


def test_random_answers_are_seldom_taken_for_exchanged_classes():
    """The renaming is found and tried on different images, so that chance alone hardly ever raises this warning."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(300):
        labels, answers = rng.integers(0, 5, 64), rng.integers(0, 5, 64)
        found += warnings.of_order(answers, labels, NAMES) is not None
    assert found <= 3


def test_one_answer_for_all():
    (warning,) = warnings.of_predictions(np.full(60, 2), LABELS, NAMES)
    assert "'fox' for all 60 images" in warning
    assert warnings.of_predictions(np.zeros(60, int), np.zeros(60, int), NAMES) == []


def test_fewer_right_than_by_rote():
    rng = np.random.default_rng(3)
    labels = np.where(np.arange(60) < 50, 0, LABELS)
    answers = rng.integers(0, 5, 60)
    assert any("commonest class" in d for d in warnings.of_predictions(answers, labels, NAMES))


def test_a_classifier_that_ignores_its_input():
    (warning,) = warnings.of_scores(np.tile([0.3, 0.7], (12, 1)))
    assert "ignores its input" in warning
    assert warnings.of_scores(np.array([[0.3, 0.7]])) == []


def test_noise_and_training():
    assert "trained with sigma 0.5, not 0.25" in warnings.of_training(0.25, 0.5)[0]
    assert "not trained with this noise" in warnings.of_noise(clean=0.9, noisy=0.3, sigma=0.25)[0]


def test_much_better_needs_both_much_and_more_than_chance():
    new, old = np.ones(200, bool), np.ones(200, bool)
    old[:20] = False  # ten points: sure, but not much
    assert not warnings.much_better(new, old)
    old[:40] = False
    assert warnings.much_better(new, old)
    assert not warnings.much_better(new[:8], ~new[:8])  # much, but 8 in 8 happens by chance once in 256
