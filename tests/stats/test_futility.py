import numpy as np
import pytest

from smoothcert.errors import SpecError
from smoothcert.stats import Bounds, Plan, certified_at, r_max, running, schedule, tally
from smoothcert.stats.bounds_rule import reachable, undecided

PLAN = Plan(schedule(100_000), 0.001, "rankcp", 10, 0.25)


def at_look(i, p, k=1):
    """Votes in exact proportions p at look i, and their running bounds had the looks before not been taken."""
    n = PLAN.looks[i]
    counts = np.zeros((1, i + 1, 10), dtype=int)
    counts[0, i, 1:] = (np.asarray(p) * n).astype(int)
    counts[0, i, 0] = n - counts.sum()
    votes = tally(counts, np.zeros((1, i + 1), dtype=int), k)
    path = running(votes, PLAN, k)
    return tally(counts[:, i], [0], k), Bounds(path.q[:, i], path.u[:, i])


def test_unanimous_votes_reach_what_can_be_reached_and_no_more():
    votes, now = at_look(0, np.zeros(9))
    best = r_max(PLAN, 1)
    assert reachable(votes, now, 0.75, PLAN, 1).all()
    assert reachable(votes, now, best * 0.999, PLAN, 1).all()
    assert not reachable(votes, now, best * 1.01, PLAN, 1).any()


def test_a_hopeless_image_stops_at_the_first_look():
    votes, now = at_look(0, [0.5, *[0.0] * 8])
    assert not undecided(votes, now, (0.25, 0.5), PLAN, 1).any()


def test_a_certified_image_stops():
    votes, now = at_look(10, np.zeros(9))
    assert certified_at(now, 0.5, 0.25).all()
    assert not undecided(votes, now, (0.25, 0.5), PLAN, 1).any()
    assert undecided(votes, now, (0.25, 0.5, 0.9), PLAN, 1).all()


def test_a_borderline_image_goes_on_but_not_past_the_last_look():
    p = [0.0227, *[0.0] * 8]  # label 0.9773: radius 0.5 at sigma 0.25
    votes, now = at_look(5, p)
    assert undecided(votes, now, (0.5,), PLAN, 1).all()
    votes, now = at_look(17, p)
    assert not reachable(votes, now, 0.1, PLAN, 1).any()
    assert not undecided(votes, now, (0.5,), PLAN, 1).any()


def test_undecided_is_open_and_reachable():
    rng = np.random.default_rng(0)
    counts = np.stack([rng.multinomial(PLAN.looks[4], p) for p in rng.dirichlet(np.full(10, 0.2), 200)])
    votes = tally(counts, counts.argmax(axis=1), 3)
    full = np.zeros((200, 5, 10), dtype=int)
    full[:, 4] = counts
    path = running(tally(full, np.repeat(counts.argmax(axis=1)[:, None], 5, 1), 3), PLAN, 3)
    now = Bounds(path.q[:, 4], path.u[:, 4])
    radii = (0.25, 0.5, 1.0)
    expected = np.zeros(200, dtype=bool)
    for r in radii:
        expected |= ~certified_at(now, r, 0.25) & reachable(votes, now, r, PLAN, 3)
    assert np.array_equal(undecided(votes, now, radii, PLAN, 3), expected)
    assert 0 < expected.sum() < 200


def test_votes_of_another_plan_are_refused():
    votes = tally([[5, 5, *[0] * 8]], [0], 1)
    now = Bounds(np.ones(1), np.ones((1, 1)))
    with pytest.raises(SpecError):
        reachable(votes, now, 0.25, PLAN, 1)
