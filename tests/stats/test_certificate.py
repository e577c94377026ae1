import numpy as np
import pytest

from smoothcert.errors import SpecError
from smoothcert.stats import BOUNDS, Plan, certify_counts, radii_from_counts


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
