import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smoothcert.errors import SpecError
from smoothcert.stats import BOUNDS, Bounds, Plan, bounds, certified_at, r_max, running, schedule, tally
from smoothcert.stats.sequential import alpha_spending


def test_schedule_of_a_hundred_thousand():
    looks = schedule(100_000)
    assert len(looks) == 18
    assert looks[0] == 101
    assert looks[-2:] == (66_666, 100_000)
    assert schedule(100_000, "fixed") == (100_000,)


@given(st.integers(100, 10**7))
def test_schedule_grows_by_half_again(n_max):
    looks = schedule(n_max)
    assert looks[-1] == n_max
    assert 100 <= looks[0] < 150 + (n_max < 150)
    assert all(a == int(b / 1.5) for a, b in itertools.pairwise(looks))


@given(st.integers(100, 10**7), st.floats(1e-8, 0.5))
def test_levels_spend_at_most_alpha(n_max, alpha):
    each = alpha_spending(schedule(n_max), alpha)
    assert math.fsum(each) <= alpha
    assert math.fsum(each) >= alpha * (1 - 1e-9)
    assert min(each) > 0
    if len(each) > 1:
        assert each[-1] == pytest.approx(0.3 * alpha)


def test_levels_by_the_formula():
    looks, alpha = schedule(100_000), 0.001
    root = [0.0, *map(math.sqrt, looks)]
    for i, a in enumerate(alpha_spending(looks, alpha)[:-1]):
        share = 1 / (2 * 17) + (root[i + 1] - root[i]) / (2 * root[17])
        assert a == pytest.approx(0.7 * alpha * share)


def random_paths(seed=0, m=50, classes=5, n_max=1000):
    rng = np.random.default_rng(seed)
    plan = Plan(schedule(n_max), 0.01, "rankcp", classes, 0.5)
    p = rng.dirichlet(np.full(classes, 0.5), m)
    steps = np.diff((0, *plan.looks))
    counts = np.stack([rng.multinomial(s, p) for s in steps], axis=1).cumsum(axis=1)
    return plan, counts, np.zeros(counts.shape[:2], dtype=int)


def test_running_is_the_minimum_of_the_looks():
    plan, counts, labels = random_paths()
    path = running(tally(counts, labels, 2), plan, 2)
    each = [bounds(tally(counts[:, i], labels[:, i], 2), a, 2, "rankcp", 5) for i, a in enumerate(plan.spent_alpha)]
    so_far = each[0]
    for i, look in enumerate(each):
        so_far = so_far.minimum(look)
        assert np.array_equal(path.q[:, i], so_far.q)
        assert np.array_equal(path.u[:, i], so_far.u)


def test_more_looks_never_lose_what_is_certified():
    plan, counts, labels = random_paths(1)
    path = running(tally(counts, labels, 2), plan, 2)
    kept = np.stack(
        [certified_at(Bounds(path.q[:, i], path.u[:, i]), 0.25, 0.5) for i in range(len(plan.looks))], axis=1
    )
    assert np.all(kept[:, 1:] >= kept[:, :-1])


def test_looks_not_taken_change_nothing():
    plan, counts, labels = random_paths(2)
    cut = counts.copy()
    cut[:, 3:] = 0
    full, short = (running(tally(c, labels, 1), plan, 1) for c in (counts, cut))
    assert np.array_equal(short.q[:, -1], full.q[:, 2])
    assert np.array_equal(short.u[:, -1], full.u[:, 2])
    none = running(tally(np.zeros_like(counts), labels, 1), plan, 1)
    assert np.all(none.q == 1)


def test_a_prefix_of_the_looks_is_enough():
    plan, counts, labels = random_paths(3)
    full, short = running(tally(counts, labels, 1), plan, 1), running(tally(counts[:, :2], labels[:, :2], 1), plan, 1)
    assert np.array_equal(short.q, full.q[:, :2])


def test_running_refuses_votes_of_another_plan():
    plan, counts, labels = random_paths(4)
    with pytest.raises(SpecError):
        running(tally(counts[:, 1:], labels[:, 1:], 1), plan, 1)
    with pytest.raises(SpecError):
        running(tally(np.concatenate([counts, counts], axis=1), np.tile(labels, 2), 1), plan, 1)


@pytest.mark.parametrize(("sigma", "expected"), [(0.25, 0.952864), (0.5, 1.905728), (1.0, 3.811457)])
def test_r_max_of_one_look_of_cohen(sigma, expected):
    assert r_max(Plan((100_000,), 0.001, "cohen", 10, sigma), 1) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(("k", "expected"), [(2, 1.05), (3, 1.11), (5, 1.18)])
def test_r_max_of_top_k(k, expected):
    assert r_max(Plan(schedule(100_000), 0.001, "rankcp", 10, 0.25), k) == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize("bound", BOUNDS)
def test_r_max_is_attained_at_unanimous_votes_only(bound):
    plan = Plan(schedule(2000), 0.001, bound, 4, 0.5)
    best = r_max(plan, 2)
    looks = np.array(plan.looks)
    unanimous = np.stack([looks, 0 * looks, 0 * looks, 0 * looks], axis=1)[None]
    path = running(tally(unanimous, np.zeros((1, len(looks)), int), 2), plan, 2)
    last = Bounds(path.q[:, -1], path.u[:, -1])
    assert certified_at(last, best * (1 - 1e-9), 0.5).all()
    assert not certified_at(last, best * (1 + 1e-6), 0.5).any()


@pytest.mark.parametrize(
    "change",
    [
        {"looks": ()},
        {"looks": (10, 10)},
        {"looks": (0, 5)},
        {"alpha": 0.0},
        {"bound": "x"},
        {"classes": 1},
        {"sigma": 0.0},
        {"eta": -1.0},
    ],
)
def test_plan_refuses(change):
    good = {"looks": (100,), "alpha": 0.001, "bound": "cohen", "classes": 2, "sigma": 0.5}
    with pytest.raises(SpecError):
        Plan(**(good | change))


def test_schedule_refuses():
    for args in ((99,), (0, "fixed"), (1000, "sometimes")):
        with pytest.raises(SpecError):
            schedule(*args)
    assert schedule(1, "fixed") == (1,)
