"""Stopping where more samples are not worth it, with confidence bounds: it can lose certificates, and makes none."""

import numpy as np
import pytest

from smoothcert.stats import Bounds, Plan, Procedure, bounds, certified_at, schedule, simulate, tally
from smoothcert.stats.bounds_rule import worth

LOOKS = schedule(10_000)


def plan_of(price, bound="rankcp"):
    return Plan(LOOKS, 0.001, bound, 4, 0.5, stop="worth", price=price)


def worth_at(price, counts, r, k=1):
    votes = tally(counts, [0] * len(counts), k)
    return worth(votes, bounds(votes, 0.0001, k, "rankcp", 4), r, plan_of(price), k)


@pytest.mark.parametrize("k", [1, 2])
def test_the_price_above_which_it_goes_on_is_the_cost_over_the_chance(k):
    """The chance by random draws from the posterior of the label's probability, which 16 points give to about 0.2."""
    n, r, rng, tested = LOOKS[-6], 0.1, np.random.default_rng(0), 0
    cost = min(n, LOOKS[-1] - n)
    for label in range(n // 10, n, n // 100):
        rivals = np.diff([0, *(np.array([7, 9, 10]) * (n - label) // 10)])
        counts = np.array([[label, *rivals]])
        miss = rng.beta(n - label + 0.5, label + 0.5, 1000)
        last = np.round(LOOKS[-1] * miss[:, None] * rivals / rivals.sum()).astype(int)
        votes = tally(np.column_stack([LOOKS[-1] - last.sum(axis=1), last]), np.zeros(1000, int), k)
        chance = certified_at(bounds(votes, plan_of(1).spent_alpha[-1], k, "rankcp", 4), r, 0.5).mean()
        if 0.25 < chance < 0.8:
            tested += 1
            assert not worth_at(cost / (chance + 0.2), counts, r, k).any()
            assert worth_at(cost / (chance - 0.2), counts, r, k).all()
    assert tested >= 2


def test_decided_images_and_the_last_look_stop():
    n = LOOKS[-2]
    assert worth_at(1e9, np.array([[n, 0, 0, 0], [n // 2, n - n // 2, 0, 0]]), 0.25).tolist() == [False, False]
    last = tally([[6000, 4000, 0, 0]], [0], 1)
    assert not worth(last, Bounds(np.ones(1), np.ones((1, 1))), 0.1, plan_of(1e9), 1).any()


@pytest.mark.parametrize("bound", ["rankcp", "cohen"])
def test_fewer_samples_at_a_lower_price(bound):
    rng = np.random.default_rng(0)
    p = np.zeros((2000, 4))
    p[:, 0] = rng.beta(4, 1.5, len(p))
    p[:, 1:] = (1 - p[:, :1]) * [0.8, 0.15, 0.05]
    runs = {}
    for price in (3_000, 30_000, None):
        plan = Plan(LOOKS, 0.001, bound, 4, 0.5) if price is None else plan_of(price, bound)
        procedure = Procedure(plan, {1: "label"}, (0.1, 0.25, 0.5))
        runs[price] = simulate(p, np.zeros(len(p), int), procedure, np.random.default_rng(1))
    samples = [runs[price].samples.mean() for price in (3_000, 30_000, None)]
    certified = [runs[price].certified.mean() for price in (3_000, 30_000, None)]
    assert samples[0] < samples[1] < 0.97 * samples[2]
    assert certified[0] < certified[2]
    assert certified[1] > certified[2] - 0.008
