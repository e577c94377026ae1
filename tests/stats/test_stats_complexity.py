"""Power and sample size of one look: against sums over every vote count, and against scans over every n."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincc, ndtr
from scipy.stats import binom, multinomial, norm

from smoothcert.errors import SpecError
from smoothcert.stats import (
    Bounds,
    Plan,
    Tally,
    bounds,
    certified_at,
    power,
    r_max_fixed,
    radius,
    samples_needed,
    tally,
    votes_needed,
)
from smoothcert.stats.power import DRAWS, MOST, _search, least_margin, miss_test
from smoothcert.stats.radius import probabilities_at

SIGMA = 0.5
CASES = [("cohen", 3), ("rankcp", 2), ("rankcp", 1000), ("simuem", 1000)]


def plan_of(bound="rankcp", classes=8, alpha=0.001, eta=0.0):
    return Plan((1,), alpha, bound, classes, SIGMA, eta)


def by_counting(n, p, r, plan, k):
    """Power by the package's decision at every number of label votes, all misses on one rival."""
    label = np.arange(n + 1)
    rivals = np.zeros((n + 1, k), dtype=np.int64)
    rivals[:, 0] = n - label
    found = bounds(Tally(np.full(n + 1, n), label, rivals), plan.alpha, k, plan.bound, plan.classes)
    return float(binom.pmf(label, n, p) @ certified_at(found, r, plan.sigma, plan.eta))


@pytest.mark.parametrize(("bound", "classes"), CASES)
@pytest.mark.parametrize("eta", [0.0, 1e-4])
def test_exact_power_is_the_sum_over_every_vote_count(bound, classes, eta):
    plan = plan_of(bound, classes, eta=eta)
    for n in (1, 30, 301, 900):
        for r, margin in ((0.25, 0.5), (0.5, 0.2), (1.0, 1.0)):
            p = probabilities_at(r / SIGMA + margin, classes)
            assert power(n, p, r, plan) == pytest.approx(by_counting(n, p[0], r, plan, 1), abs=1e-9)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_cohen_is_exact_for_every_k_and_any_rivals(k):
    plan = plan_of("cohen")
    for n in (40, 700):
        for r in (0.25, 0.75, 1.2):
            p = probabilities_at(r / SIGMA + 0.3, 8, k, rivals=(0.4, 0.3, 0.1, 0.1, 0.1))
            assert power(n, p, r, plan, k) == pytest.approx(by_counting(n, p[0], r, plan, k), abs=1e-9)


@pytest.mark.parametrize(("bound", "k"), [("rankcp", 1), ("rankcp", 2), ("simuem", 1), ("simuem", 2)])
def test_simulated_power_is_the_sum_over_every_split_of_the_votes(bound, k):
    plan, n, r = plan_of(bound, classes=3, alpha=0.01), 60, 0.4
    p = probabilities_at(r / SIGMA + 0.6, 3, k, rivals=(0.7, 0.3))
    counts = np.array([(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)])
    found = bounds(tally(counts, np.zeros(len(counts), dtype=int), k), plan.alpha, k, bound, 3)
    exact = float(multinomial.pmf(counts, n, p) @ certified_at(found, r, SIGMA))
    assert 0.2 < exact < 0.98
    simulated = power(n, p, r, plan, k, np.random.default_rng(1))
    assert abs(simulated - exact) < 4.5 * np.sqrt(exact * (1 - exact) / DRAWS)


@pytest.mark.parametrize("bound", ["rankcp", "simuem"])
def test_one_rival_is_the_hardest_split_of_the_misses(bound):
    plan, rng = plan_of(bound, classes=4), np.random.default_rng(3)
    for n in (100, 1000):
        for label in rng.integers(n // 2, n, 20):
            rest = rng.multinomial(n - label, rng.dirichlet(np.ones(3)))
            counts = [[label, *rest], [label, n - label, 0, 0]]
            found = bounds(tally(counts, [0, 0], 1), plan.alpha, 1, bound, 4)
            spread, one = radius(found, SIGMA)
            assert one <= spread


@pytest.mark.parametrize(("bound", "classes"), CASES)
@pytest.mark.parametrize("wanted", [0.5, 0.95])
def test_on_every_larger_number_the_power_is_kept_and_not_before(bound, classes, wanted):
    plan, everything = plan_of(bound, classes, alpha=0.01), np.arange(1, 3000)
    for r in (0.1, 0.8):
        p = probabilities_at(r / SIGMA + np.array([0.05, 0.3, 0.6, 3.0]), classes)
        needed = samples_needed(p, r, plan, target_power=wanted)
        assert np.all(np.diff(needed) <= 0)
        for row, n in zip(p, needed, strict=True):
            fails = everything[power(everything, row, r, plan) < wanted]
            if n < 2500:  # so that the scan sees enough larger numbers
                assert n == (fails[-1] + 1 if len(fails) else 1)
            else:
                assert fails[-1] > 2000


@pytest.mark.parametrize("margin", [0.04, 0.02])
def test_large_numbers_are_least_too(margin):
    plan, r = plan_of("cohen"), 0.25
    p = probabilities_at(r / SIGMA + margin, 8)
    n = int(samples_needed(p, r, plan))
    assert n > 20_000
    nearby = np.arange(n * 995 // 1000, n * 1005 // 1000)
    found = power(nearby, p, r, plan)
    assert found[nearby >= n].min() >= 0.95
    assert nearby[found < 0.95].max() >= n * 0.999 - 1


def test_the_power_just_before_one_more_miss_is_allowed_rises():
    """What bisection in `samples_needed` rests on, at the real-valued numbers of votes."""
    misses = np.unique(np.concatenate([np.arange(40), np.geomspace(40, 10**7, 80).round()]))
    for ratio in (0.1, 0.5, 1.0, 2.0, 4.0):
        for alpha in (1e-2, 1e-6):
            test = miss_test(ratio * SIGMA, plan_of("cohen", alpha=alpha), 1)
            for margin in (0.01, 0.1, 0.5, 2.0):
                lowest = betaincc(misses + 1, test._votes(misses + 1) - misses, ndtr(-ratio - margin))
                assert np.all(np.diff(lowest) >= -1e-9)


def test_a_certain_vote_needs_the_unanimous_votes_and_a_hopeless_one_has_no_number():
    plan = plan_of("cohen", classes=3)
    for r in (0.25, 0.5, 1.0):
        certain, hopeless = [1.0, 0.0, 0.0], [ndtr(r / SIGMA) - 1e-9, ndtr(-r / SIGMA) + 1e-9, 0.0]
        assert samples_needed([certain, hopeless], r, plan).tolist() == [votes_needed(r, SIGMA, 0.001), np.inf]
    nearly = probabilities_at(0.5 + 1e-6, 3)
    assert samples_needed(nearly, 0.25, plan) == np.inf  # more than MOST


@pytest.mark.parametrize("k", [1, 3])
def test_simulated_and_exact_numbers_agree_where_both_exist(k):
    """Misses split evenly among k rivals, each bound of the rivals far from mattering: only the label counts."""
    plan = plan_of("cohen")
    p = probabilities_at(1.3, 8, k)
    exact = float(samples_needed(p, 0.5, plan, k))
    simulated = _search(p, 0.5, plan, (k, np.random.default_rng(2)), 0.95)
    assert simulated == pytest.approx(exact, rel=0.08)


def test_large_samples_are_those_of_the_normal_approximation():
    alpha, wanted, r = 0.001, 0.95, 0.25
    for margin in (0.02, 0.005):
        p, least = ndtr(r / SIGMA + margin), ndtr(r / SIGMA)
        spread = norm.isf(alpha) * np.sqrt(least * (1 - least)) + norm.ppf(wanted) * np.sqrt(p * (1 - p))
        n = samples_needed([p, 1 - p, 0.0], r, plan_of("cohen", 3, alpha))
        assert n == pytest.approx((spread / (p - least)) ** 2, rel=0.01)


@given(st.integers(1, 10**7), st.floats(0.1, 4.0))
def test_at_the_least_margin_the_power_is_the_wanted_one(n, ratio):
    plan, r = plan_of("rankcp", 3), ratio * SIGMA
    margin = float(least_margin(n, r, plan, target_power=0.9))
    if margin == np.inf:
        assert r > r_max_fixed(n, SIGMA, 0.7 * 0.001) * (1 - 1e-9)
    else:
        p = [ndtr(ratio + margin), ndtr(-ratio - margin), 0.0]
        assert power(n, p, r, plan) == pytest.approx(0.9, abs=1e-6)


def test_refusals():
    plan, p = plan_of("rankcp", 4), [0.9, 0.05, 0.05, 0.0]
    for call in (
        lambda: power(100, p, 0.25, plan),  # two rivals: not exact, and no generator
        lambda: samples_needed(p, 0.25, plan),
        lambda: power(0, [1, 0, 0, 0], 0.25, plan),
        lambda: power(100, [1, 0, 0, 0], 0.0, plan),
        lambda: power(100, [0.5, 0.4, 0, 0], 0.25, plan),
        lambda: power(100, [1.0, 0.0], 0.25, plan),
        lambda: samples_needed([1, 0, 0, 0], 0.25, plan, target_power=1.0),
        lambda: least_margin(100, -1.0, plan),
        lambda: probabilities_at(1.0, 3, k=3),
        lambda: probabilities_at(1.0, 3, rivals=(0.5, 0.4)),
        lambda: probabilities_at(1.0, 3, rivals=(0.5, 0.3, 0.2)),
        lambda: probabilities_at(1.0, 4, k=2, rivals=(1.0, 0.0)),
    ):
        with pytest.raises(SpecError):
            call()
    assert MOST == 10**9


@settings(max_examples=30)
@given(st.floats(-1.0, 6.0), st.integers(1, 4), st.lists(st.floats(0.01, 1.0), min_size=4, max_size=7))
def test_probabilities_have_the_reach_they_were_made_for(reach, k, shares):
    shares = np.array(shares) / sum(shares)
    p = probabilities_at(reach, 8, k, shares)
    rivals = np.sort(p[1:])[::-1][:k]
    assert p.sum() == pytest.approx(1)
    assert float(radius(Bounds(p[1:].sum(), rivals), 1.0)) == pytest.approx(reach, abs=1e-7)


@given(st.floats(-6.0, 6.0))
def test_one_rival_has_the_rest(reach):
    p = probabilities_at(reach, 5)
    assert p.tolist() == [ndtr(reach), ndtr(-reach), 0.0, 0.0, 0.0]
