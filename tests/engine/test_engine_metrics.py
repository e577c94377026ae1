"""Accuracy, balanced accuracy and the area under the ROC curve, against counting pairs and a closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from smoothcert.engine.preflight import metrics


def area_by_pairs(scores, positive):
    """Count every pair: right order 1, tie a half."""
    up, down = scores[positive], scores[~positive]
    return np.mean((up[:, None] > down) + 0.5 * (up[:, None] == down))


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
def test_two_classes_are_counted_pair_by_pair(found):
    scores = np.array([float(score) for score, _ in found])
    labels = np.array([int(label) for _, label in found])
    seen = metrics(np.stack([np.zeros_like(scores), scores], axis=1), labels)
    if len(set(labels)) == 1:
        assert seen.auc is None
    else:
        assert seen.auc == pytest.approx(area_by_pairs(scores, labels == 1))
    right = (scores > 0) == (labels == 1)
    assert seen.accuracy == pytest.approx(right.mean())
    assert seen.balanced == pytest.approx(np.mean([right[labels == c].mean() for c in set(labels)]))


def test_two_normal_classes():
    """Scores N(0, 1) and N(1, 1): the area is Phi(1 / sqrt 2)."""
    rng = np.random.default_rng(0)
    labels = np.arange(20_000) % 2
    scores = rng.normal(labels, 1.0)
    assert metrics(np.stack([-scores, scores], axis=1), labels).auc == pytest.approx(ndtr(0.5**0.5), abs=0.01)


def test_probabilities_do_as_well_as_logits_in_their_order():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=(200, 5)), rng.integers(0, 5, 200)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    one, other = metrics(logits, labels), metrics(probabilities, labels)
    assert (one.accuracy, one.balanced) == (other.accuracy, other.balanced)
    assert one.auc == pytest.approx(other.auc, abs=0.05)


def test_a_rare_class_counts_as_much_as_a_common_one():
    logits = np.tile([1.0, 0.0], (100, 1))
    labels = np.r_[np.zeros(90, int), np.ones(10, int)]
    seen = metrics(logits, labels)
    assert (seen.accuracy, seen.balanced, seen.auc) == (0.9, 0.5, 0.5)
