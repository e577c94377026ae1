import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smoothcert.errors import SpecError
from smoothcert.stats import BOUNDS, Bounds, bounds, tally, upper_bound

vectors = st.lists(st.integers(0, 5000), min_size=3, max_size=8).filter(lambda v: sum(v) > 0)


@given(vectors, st.data())
def test_tally_against_plain_python(votes, data):
    label = data.draw(st.integers(0, len(votes) - 1))
    k = data.draw(st.integers(1, len(votes) - 1))
    t = tally(votes, label, k)
    rest = sorted((v for i, v in enumerate(votes) if i != label), reverse=True)
    assert (int(t.n), int(t.label_votes), t.rivals.tolist()) == (sum(votes), votes[label], rest[:k])


@given(vectors, st.data())
def test_every_bound_covers_its_share_and_falls_with_rank(votes, data):
    k = data.draw(st.integers(1, len(votes) - 1))
    t = tally(votes, 0, k)
    for name in BOUNDS:
        b = bounds(t, 0.001, k, name, len(votes))
        assert b.u.shape == (k,)
        assert float(b.q) >= 1 - votes[0] / sum(votes)
        assert np.all(b.u >= t.rivals / t.n)
        assert np.all(np.diff(b.u) <= 0)


def test_levels_of_each_bound():
    t = tally([700, 200, 80, 20], 0, 3)
    simuem, cohen, rank = (bounds(t, 0.01, 3, name, 4) for name in ("simuem", "cohen", "rankcp"))
    assert float(simuem.q) == float(upper_bound(300, 1000, 0.0025))
    assert simuem.u.tolist() == upper_bound([200, 80, 20], 1000, 0.0025).tolist()
    assert cohen.u.tolist() == [float(upper_bound(300, 1000, 0.01))] * 3
    assert float(rank.q) == pytest.approx(float(upper_bound(300, 1000, 0.007)), rel=1e-12)
    np.testing.assert_allclose(rank.u, upper_bound([200, 80, 20], 1000, 0.001), rtol=1e-12)


def test_two_classes_rankcp_is_cohen():
    t = tally([90, 10], 0, 1)
    one, two = bounds(t, 0.001, 1, "rankcp", 2), bounds(t, 0.001, 1, "cohen", 2)
    assert one.q == two.q
    assert one.u.tolist() == two.u.tolist()


def test_levels_broadcast_over_images_and_looks():
    t = tally(np.full((4, 2, 3), 50), np.zeros((4, 2), dtype=int), 2)
    b = bounds(t, np.array([0.01, 0.001]), 2, "rankcp", 3)
    assert b.q.shape == (4, 2)
    assert b.u.shape == (4, 2, 2)
    assert np.all(b.q[:, 0] < b.q[:, 1])


def test_no_votes_say_nothing():
    b = bounds(tally([0, 0, 0], 0, 2), 0.001, 2, "rankcp", 3)
    assert (float(b.q), b.u.tolist()) == (1.0, [1.0, 1.0])


def test_minimum_is_elementwise():
    a, b = Bounds(np.array(0.1), np.array([0.3, 0.1])), Bounds(np.array(0.2), np.array([0.2, 0.2]))
    assert a.minimum(b).u.tolist() == [0.2, 0.1]
    assert float(a.minimum(b).q) == 0.1


@pytest.mark.parametrize(
    ("counts", "labels", "k"),
    [([1, 2], 2, 1), ([1, 2], -1, 1), ([1, 2], 0, 2), ([1, 2], 0, 0), ([-1, 2], 0, 1), ([1, 2], [0], 1)],
)
def test_tally_refuses(counts, labels, k):
    with pytest.raises(SpecError):
        tally(counts, labels, k)


def test_bounds_refuse():
    t = tally([5, 3, 2], 0, 1)
    for k, name, classes in ((1, "bonferroni", 3), (3, "rankcp", 3), (2, "rankcp", 3)):
        with pytest.raises(SpecError):
            bounds(t, 0.001, k, name, classes)
