"""The rule of betting: image by image or together, with columns as they come, it decides as the stored looks do."""

import numpy as np
import pytest

from refusals import refuses
from smoothcert.stats import Plan, Procedure, StoredVotes, certify_counts, r_max, rule_of, schedule, simulate
from smoothcert.stats.betting import Bets, Wealth, certified_by_betting, columns, look, worth
from smoothcert.stats.betting.grid import radius_grid

RADII = (0.25, 0.5)
LOOKS = schedule(3000, bound="betting")


def plan_of(k=1, classes=8, looks=LOOKS, stop="worth", price=9000.0, radii=RADII, sigma=0.5):
    grid = radius_grid(radii, (k,), sigma, 0.001, looks)
    return Plan(looks, 0.001, "betting", classes, sigma, 1e-12, grid, stop, price)


def paths(rng, m, classes, looks=LOOKS):
    """Cumulative votes (m, looks, c) of images from easy to hard, few of whose classes have votes at first."""
    p = rng.dirichlet(np.full(classes, 0.2), m) * rng.choice([0.02, 0.2, 0.5], m)[:, None]
    p[:, 2] += 1 - p.sum(axis=1)
    new = np.stack([rng.multinomial(n, p) for n in np.diff((0, *looks))], axis=1)
    return new.cumsum(axis=1)


def stored(counts, taken, plan, k):
    looks = [
        [(n, {int(c): int(v[c]) for c in np.flatnonzero(v)}) for n, v in zip(plan.looks[:t], each[:t], strict=True)]
        for each, t in zip(counts, taken, strict=True)
    ]
    return StoredVotes(looks, [2] * len(looks), len(plan.looks), k)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("classes", [4, 8, 40])
def test_images_that_come_and_go_are_decided_as_alone_and_as_by_the_functions_of_the_theory(k, classes):
    """A step takes images at different looks, of which some leave: with other columns of rivals than a lone image."""
    rng, plan, m = np.random.default_rng(k), plan_of(k, classes), 24
    rule, counts, labels = rule_of(plan, k, RADII), paths(rng, m, classes), np.full(m, 2)
    states, at = [rule.start(1) for _ in range(m)], np.zeros(m, dtype=int)
    more, zeros = np.ones(m, dtype=bool), np.zeros((m, classes), dtype=int)
    while (some := np.flatnonzero(more & (rng.random(m) < 0.7))).size or more.any():
        if not some.size:
            continue
        before = np.where(at[some, None] > 0, counts[some, at[some] - 1], zeros[some])
        now, draw_on = rule.step(rule.join([states[i] for i in some]), before, counts[some, at[some]], labels[some])
        for j, i in enumerate(some):
            states[i] = rule.rows(now, slice(j, j + 1))
        at[some] += 1
        more[some] = draw_on
    assert len(set(at)) > 4
    bets = Bets(k, tuple(r / plan.sigma for r in RADII), plan.alpha, plan.looks[-1], plan.eta)
    for i in range(m):
        votes = counts[i, : at[i]]
        arranged = columns([[dict(enumerate(v.tolist())) for v in votes]], [2], classes, k)
        state, before = Wealth.start(bets, 1, arranged.shape[2] - 1), np.zeros_like(arranged[:, 0])
        for j in range(at[i]):
            state = look(state, before, arranged[:, j] - before, bets)
            before = arranged[:, j]
            assert worth(state, before, bets, plan.price)[0] == (j + 1 < at[i])
        assert rule.decided(states[i]).tolist() == state.certified.tolist()
    whole = rule.certificates(stored(counts, at, plan, k))
    every = Bets(k, tuple(r / plan.sigma for r in plan.grid), plan.alpha, plan.looks[-1], plan.eta)
    for i in range(m):
        votes = [dict(enumerate(v.tolist())) for v in counts[i, : at[i]]]
        number = certified_by_betting(columns([votes], [2], classes, k), every).sum()
        assert whole.radius[i] == (0.0, *plan.grid)[number]
        assert certify_counts(counts[i, : at[i]], 2, plan, k).radius == pytest.approx(whole.radius[i], abs=1.1e-6)
    assert whole.of(slice(3, 7)).at(0.25).tolist() == (whole.radius[3:7] >= 0.25).tolist()
    assert whole.at(0).tolist() == (whole.radius > 0).tolist()


def test_a_rival_that_gets_its_first_votes_late_has_the_wealth_of_one_without_votes():
    plan = plan_of(classes=5, looks=(100, 200, 300))
    rule, labels = rule_of(plan, 1, RADII), np.array([0])
    state, before = rule.start(1), np.zeros((1, 5), dtype=int)
    for votes in ([95, 5, 0, 0, 0], [190, 5, 0, 5, 0], [285, 5, 5, 5, 0]):
        state, _ = rule.step(state, before, np.array([votes]), labels)
        before = np.array([votes])
        assert state.seen[0, -1] == -1
    assert state.seen.tolist() == [[1, 3, 2, -1]]
    full = rule.step(state, before, np.array([[285, 5, 5, 5, 0]]), labels)  # no new votes: nothing changes
    assert np.array_equal(full[0].wealth.log, state.wealth.log)


def test_two_classes_have_one_rival():
    plan = plan_of(classes=2, looks=(100, 200))
    rule = rule_of(plan, 1, RADII)
    state, more = rule.step(rule.start(2), np.zeros((2, 2), int), np.array([[100, 0], [50, 50]]), np.zeros(2, int))
    assert state.seen.shape == (2, 1)
    assert rule.decided(state)[0].tolist() == [True, rule.r_max >= 0.5 and bool(rule.decided(state)[0, 1])]
    assert not more[1]


def test_a_plan_of_fewer_looks_takes_the_first_ones():
    plan = plan_of(looks=LOOKS[:12])
    counts = paths(np.random.default_rng(3), 6, 8)
    taken = np.full(6, len(LOOKS))
    found = rule_of(plan, 1).certificates(stored(counts, taken, plan_of(), 1))
    assert (
        found.radius.tolist() == rule_of(plan, 1).certificates(stored(counts, np.full(6, 12), plan, 1)).radius.tolist()
    )


@pytest.mark.parametrize("k", [1, 3])
def test_r_max_is_the_largest_radius_of_the_grid_that_unanimous_votes_certify(k):
    plan = plan_of(k, radii=(0.25, 0.5, 5.0))
    counts = np.zeros((len(LOOKS), 8), dtype=int)
    counts[:, 2] = LOOKS
    assert certify_counts(counts, 2, plan, k, (r_max(plan, k), 5.0)).certified_at == (r_max(plan, k),)
    assert r_max(plan, k) == plan.grid[-1]
    assert 5.0 not in plan.grid


def test_the_grid_has_the_radii_asked_for_and_short_decimals():
    grid = radius_grid((0.2503, 0.5, 3.0), (1, 3), 0.25, 0.001, schedule(100_000, bound="betting"))
    assert 0.2503 in grid
    assert 3.0 not in grid
    assert list(grid) == sorted(set(grid))
    assert all(len(repr(r)) <= 6 for r in grid)
    assert 50 <= len(grid) <= 67
    assert np.diff(grid).min() >= 0.4 * np.median(np.diff(grid))
    assert radius_grid((0.25,), (1,), 0.25, 0.001, (3,)) == ()


def test_nothing_is_certified_where_no_radius_is_attainable():
    plan = Plan((3, 5), 0.001, "betting", 4, 0.25)
    rule = rule_of(plan, 1, (0.25,))
    state, more = rule.step(rule.start(1), np.zeros((1, 4), int), np.array([[3, 0, 0, 0]]), np.array([0]))
    assert (rule.r_max, rule.decided(state).tolist(), more.tolist()) == (0.0, [[False]], [False])
    assert certify_counts([[3, 0, 0, 0], [5, 0, 0, 0]], 0, plan).label is None


@pytest.mark.parametrize("stop", ["worth", "futility", "never"])
def test_what_stops_the_sampling(stop):
    plan = plan_of(stop=stop, price=900.0 if stop == "worth" else np.inf)
    done = simulate(
        np.tile([0.86, 0.14], (40, 1)).astype(float), np.zeros(40, int), two(plan), np.random.default_rng(0)
    )
    if stop == "never":
        assert set(done.samples) == {LOOKS[-1]}
    else:
        assert done.samples.mean() < {"worth": 500, "futility": 2500}[stop]


def two(plan):
    plan = Plan(plan.looks, plan.alpha, plan.bound, 2, plan.sigma, 0.0, plan.grid, plan.stop, plan.price)
    return Procedure(plan, {1: "label"}, (0.5,))


def test_the_other_bounds_can_take_all_looks():
    plan = Plan((100, 200, 400), 0.001, "rankcp", 2, 0.5, stop="never")
    done = simulate([[1.0, 0.0]], [0], Procedure(plan, {1: "label"}, (0.1,)), np.random.default_rng(0))
    assert done.samples.tolist() == [400]


def test_bad_plans_are_refused():
    with refuses("E-SPEC-140"):
        Plan((100,), 0.001, "betting", 4, 0.25, grid=(0.2, 0.1))
    with refuses("E-SPEC-141"):
        Plan((100,), 0.001, "rankcp", 4, 0.25, stop="always")
    with refuses("E-SPEC-142"):
        Plan((100,), 0.001, "betting", 4, 0.25, stop="worth", price=0)
    with refuses("E-SPEC-037"):
        rule_of(Plan((100,), 0.001, "betting", 4, 0.25), 4)
    rule = rule_of(plan_of(), 1, RADII)
    with refuses("E-SPEC-095"):
        rule.step(rule.start(1), np.zeros((1, 8), int), np.eye(8, dtype=int)[:1] * 99, np.array([0]))
    with refuses("E-SPEC-010"):
        rule.certificates(StoredVotes([[(99, {0: 99})]], [0], 3, 1))
