"""What a budget can certify, against the package's other answers and against simulation."""

import numpy as np
import pytest
from scipy.special import ndtr

from smoothcert.config import make_request
from smoothcert.planning.attainable import attainable_radius, powers, procedure_of, sufficient
from smoothcert.stats import Plan, Procedure, r_max, schedule, simulate, votes_needed
from smoothcert.stats.power import least_margin


def _request(**more):
    return make_request(model="m", data="d", **{"n_max": 10_000, "k": (1, 3), **more})


@pytest.mark.parametrize("sigma", [0.25, 0.5])
@pytest.mark.parametrize("r", [0.1, 0.5, 1.0])
def test_unanimous_votes_are_those_of_cohens_bound(sigma, r):
    asked = procedure_of(_request(bound="cohen", k=(1,)), sigma, 8)
    found = attainable_radius(asked, 1, r)
    assert found.votes == votes_needed(r, sigma)
    assert found.r_max == r_max(asked.plan, 1)
    assert found.attainable == (r <= found.r_max) == (found.look is not None) == (found.probability is not None)


def test_the_look_is_the_first_whose_unanimous_votes_certify():
    asked = procedure_of(_request(), 0.25, 8)
    found = attainable_radius(asked, 1, 0.5)
    looks = asked.plan.looks
    assert found.look == 584
    before = Plan(looks, 0.001, "rankcp", 8, 0.25).spent_alpha[: looks.index(584)]
    one_by_one = [r_max(Plan((n,), level, "rankcp", 8, 0.25), 1) for n, level in zip(looks, before, strict=False)]
    assert max(one_by_one) < 0.5 <= r_max(Plan((584,), asked.plan.spent_alpha[looks.index(584)], "rankcp", 8, 0.25), 1)


@pytest.mark.parametrize("bound", ["cohen", "rankcp"])
def test_one_look_agrees_with_the_exact_power(bound):
    plan = Plan((5000,), 0.001, bound, 8, 0.5)
    margin = float(least_margin(5000, 0.5, plan))
    assert sufficient(plan, 1, 0.5) == pytest.approx(ndtr(0.5 / 0.5 + margin), rel=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_at_that_probability_the_run_certifies_19_of_20(k):
    """The looks before the last add a little, stopping for futility takes a little."""
    plan = Plan(schedule(10_000), 0.001, "rankcp", 8, 0.25)
    p = sufficient(plan, k, 0.5)
    vector = np.array([p, *[(1 - p) / k] * k, *[0.0] * (7 - k)])
    asked = Procedure(plan, {k: "label"}, (0.5,), 100)
    done = simulate(np.tile(vector, (2000, 1)), np.zeros(2000, dtype=int), asked, np.random.default_rng(k))
    assert 0.93 <= done.certified.mean() <= 0.98


def test_votes_fall_with_the_margin():
    rows = powers(procedure_of(_request(), 0.5, 8), 1, 0.5, np.random.default_rng(0))
    votes = [row.copies for row in rows]
    assert votes == sorted(votes, reverse=True)
    assert [row.probability for row in rows] == pytest.approx([ndtr(1 + row.margin) for row in rows])


@pytest.mark.parametrize("target", ["label", "prediction"])
def test_the_power_of_a_plan_is_that_of_the_whole_procedure(target):
    """Selection and futility cost power, which that of the best look alone does not show."""
    plan = Plan(schedule(10_000), 0.001, "rankcp", classes=8, sigma=0.5)
    procedure = Procedure(plan, {1: target}, (0.25, 0.5))
    found = attainable_radius(procedure, 1, 0.5)
    vector = np.zeros(8)
    vector[:2] = found.probability, 1 - found.probability
    done = simulate(np.tile(vector, (3000, 1)), np.zeros(3000, dtype=int), procedure, np.random.default_rng(5))
    assert found.power == pytest.approx(done.certified[:, 0, 1].mean(), abs=0.03)
    assert attainable_radius(procedure, 1, 0.5).power == found.power
    assert attainable_radius(Procedure(plan, {1: target}, (9.0,)), 1, 9.0).power is None
