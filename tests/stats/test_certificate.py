import numpy as np
import pytest

from smoothcert.errors import SpecError
from smoothcert.stats import BOUNDS, Plan, certify_counts, predict_sets, radii_from_counts


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("k", [1, 2, 3])
def test_one_image_and_many_agree(bound, k):
    rng = np.random.default_rng(k)
    counts = rng.multinomial(1000, rng.dirichlet(np.full(6, 0.3), 40))
    labels = rng.integers(0, 6, 40)
    plan = Plan((1000,), 0.001, bound, 6, 0.5)
    many = radii_from_counts(counts, labels, k, 0.5, 0.001, bound)
    one = [certify_counts(row, label, plan, k) for row, label in zip(counts, labels, strict=True)]
    assert many.tolist() == [c.radius for c in one]
    assert all((c.label is None) == (c.radius == 0) for c in one)
    assert all(c.samples == 1000 and c.k == k for c in one)


def test_looks_use_every_look_and_ignore_what_was_not_drawn():
    plan = Plan((100, 200, 400), 0.001, "rankcp", 3, 0.5)
    two = certify_counts([[99, 1, 0], [198, 2, 0]], 0, plan, radii=(0.25, 0.5, 2.0))
    padded = certify_counts([[99, 1, 0], [198, 2, 0], [0, 0, 0]], 0, plan, radii=(0.25, 0.5, 2.0))
    assert two == padded
    assert two.samples == 200
    assert two.certified_at == (0.25, 0.5)


def test_abstention_is_none():
    plan = Plan((1000,), 0.001, "rankcp", 3, 0.5)
    lost = certify_counts([490, 510, 0], 0, plan, radii=(0.0, 0.25))
    assert (lost.label, lost.radius, lost.certified_at) == (None, 0.0, ())


def test_refusals():
    plan = Plan((1000,), 0.001, "rankcp", 3, 0.5)
    for counts, label in (([500, 500], 0), ([400, 500, 0], 0), ([1000, 0, 0], 3)):
        with pytest.raises(SpecError):
            certify_counts(counts, label, plan)
    for counts, k, alpha in (([[1, 2]], 2, 0.1), ([[1, 2]], 1, 0.0), ([1, 2], 1, 0.1)):
        with pytest.raises(SpecError):
            predict_sets(counts, k, alpha)


def test_prediction_of_labels_and_sets():
    counts = [[11, 0, 0, 0], [10, 0, 0, 0], [60, 40, 1, 0], [50, 49, 50, 0], [5, 5, 0, 90]]
    assert predict_sets(counts) == [frozenset({0}), None, None, None, frozenset({3})]
    assert predict_sets(counts, k=2) == [None, None, frozenset({0, 1}), None, None]
    assert predict_sets(counts, k=3)[3] == frozenset({0, 1, 2})


@pytest.mark.parametrize(("p", "k"), [((0.5, 0.5), 1), ((0.4, 0.3, 0.3), 2), ((0.34, 0.33, 0.33), 1)])
def test_prediction_errs_at_most_at_alpha(p, k):
    alpha, repetitions = 0.05, 20_000
    counts = np.random.default_rng(0).multinomial(200, p, repetitions)
    right = frozenset(range(k))
    wrong = sum(s is not None and s != right for s in predict_sets(counts, k, alpha))
    assert wrong / repetitions <= alpha
