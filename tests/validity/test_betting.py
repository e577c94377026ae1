"""Betting at exact null points: the share of false certificates stays below alpha, whatever stops the sampling."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from smoothcert.stats import Bounds, Plan, Procedure, StoredVotes, radius, rule_of, schedule, simulate
from smoothcert.stats.betting import Bets, Wealth, certified_by_betting, look, worth
from smoothcert.stats.betting import wealth as wealth_module
from smoothcert.stats.betting.batch import Batch
from smoothcert.stats.betting.grid import radius_grid
from smoothcert.stats.radius import probabilities_at

from .simulate import ALPHA, allowed

N_MAX = 1000
SHARES = {
    1: ([1.0], [0.5, 0.5], [0.9, 0.1], [0.6, 0.3, 0.1], [0.97, 0.01, 0.01, 0.01], [0.1] * 10),
    2: ([0.5, 0.5], [0.7, 0.3], [0.9, 0.1], [0.4, 0.3, 0.3], [0.6, 0.3, 0.1]),
    3: ([1 / 3] * 3, [0.5, 0.3, 0.2], [0.8, 0.1, 0.1], [0.3, 0.3, 0.3, 0.1], [0.25] * 4),
    4: ([0.25] * 4, [0.4, 0.3, 0.2, 0.1], [0.22] * 4 + [0.12]),
    5: ([0.2] * 5, [0.5, 0.2, 0.1, 0.1, 0.1], [0.18] * 5 + [0.1]),
}
"""How the rest of the probability is split among rivals: ties, one that leads, more rivals than k."""
RHOS = (0.25, 0.7, 1.3)


def null_points():
    """(k, rho, probabilities), the label first: unlimited votes would certify up to exactly rho."""
    for k, rho in itertools.product(SHARES, RHOS):
        for shares in SHARES[k]:
            yield k, rho, probabilities_at(rho, len(shares) + 1, k, shares)
    rng = np.random.default_rng(0)
    for k in (1, 2, 3):
        yield k, 0.5, probabilities_at(0.5, 30, k, np.sort(rng.dirichlet(np.full(29, 0.3)))[::-1])


POINTS = list(null_points())


def looks(n_max, ratio, first=10):
    found, n = [], float(n_max)
    while n >= first:
        found.append(int(n))
        n /= ratio
    return sorted(set(found))


def false_share(p, bets, at, repetitions, false_from=0, price=None):
    """Share of images for which the ratio `false_from` is certified at some look: what the worst stopping rule reports.

    With a price an image stops when another batch is not worth it.
    """
    rng, false, before = np.random.default_rng(0), 0, 0
    state, counts = Wealth.start(bets, repetitions, len(p) - 1), np.zeros((repetitions, len(p)), dtype=np.int64)
    for n in at:
        new = rng.multinomial(n - before, p, len(counts))
        state, counts, before = look(state, counts, new, bets), counts + new, n
        won = state.certified[:, false_from]
        false += won.sum()
        on = ~won & (worth(state, counts, bets, price) if price else True)
        state, counts = replace(state, log=state.log[:, on], rejected=state.rejected[:, on]), counts[on]
    return false / repetitions


def test_there_are_enough_null_points():
    assert len(POINTS) >= 60
    for k, rho, p in POINTS:
        reach = radius(Bounds(np.array(1 - p[0]), np.sort(p[1:])[::-1][:k]), 1.0)
        assert reach == pytest.approx(rho, abs=1e-9)


@pytest.mark.parametrize("point", [0, 20, 40], ids=str)
def test_light(point):
    k, rho, p = POINTS[point]
    assert false_share(p, Bets(k, (rho,), ALPHA, N_MAX), looks(N_MAX, 1.1), 2000) <= allowed(2000)


@pytest.mark.parametrize("point", [5, 25, 45], ids=str)
def test_certificates_of_runs(point):
    """The rule of a run with its grid: from stored looks, never stopping, and where sampling stops by worth."""
    k, rho, p = POINTS[point]
    sigma, repetitions, at = 0.5, 1000, schedule(N_MAX, bound="betting")
    r = rho * sigma
    grid = radius_grid((r,), (k,), sigma, ALPHA, at)
    plan = Plan(at, ALPHA, "betting", len(p), sigma, 0.0, grid, "worth", 3.0 * N_MAX)
    rng = np.random.default_rng(0)
    new = [rng.multinomial(n, p, repetitions) for n in np.diff((0, *at))]
    paths = np.stack(new, axis=1).cumsum(axis=1)
    stored = [[(n, dict(enumerate(v.tolist()))) for n, v in zip(at, path, strict=True)] for path in paths]
    found = rule_of(plan, k).certificates(StoredVotes(stored, [0] * repetitions, len(at), k))
    assert found.at(r).mean() <= allowed(repetitions)
    assert found.at(grid[0]).mean() > 0.5
    procedure = Procedure(plan, {k: "label"}, (r,))
    done = simulate(np.tile(p, (repetitions, 1)), np.zeros(repetitions, int), procedure, np.random.default_rng(1))
    assert done.certified.mean() <= allowed(repetitions)


@pytest.mark.slow
@pytest.mark.parametrize("point", range(len(POINTS)), ids=str)
def test_null_points_under_the_worst_stopping_rule(point):
    k, rho, p = POINTS[point]
    repetitions = 10_000
    share = false_share(p, Bets(k, (rho,), ALPHA, N_MAX), looks(N_MAX, 1.04), repetitions)
    assert share <= allowed(repetitions)


@pytest.mark.slow
def test_a_grid_of_radii_shares_one_alpha():
    """The truth lies between the third radius and the fourth: reports of the fourth or more are false."""
    for k in (1, 2, 3):
        p = probabilities_at(0.6, 5, k, [0.4, 0.3, 0.2, 0.1])
        bets = Bets(k, (0.2, 0.4, 0.59, 0.6, 0.61, 0.8, 1.0), ALPHA, N_MAX)
        assert false_share(p, bets, looks(N_MAX, 1.04), 5000, false_from=3) <= allowed(5000)


@pytest.mark.slow
def test_stopping_when_another_batch_is_not_worth_it():
    for k, rho, p in POINTS[::10]:
        bets = Bets(k, (rho,), ALPHA, N_MAX)
        assert false_share(p, bets, looks(N_MAX, 1.1), 5000, price=3 * N_MAX) <= allowed(5000)


@pytest.mark.slow
def test_a_selected_label():
    """Separate votes choose the label. Class 0 holds up to rho, the others up to less: every report of rho is false."""
    rho, repetitions = 0.25, 30_000
    p = probabilities_at(rho, 4, 1, [0.6, 0.3, 0.1])
    selected = np.random.default_rng(1).multinomial(20, p, repetitions).argmax(axis=1)
    false = 0.0
    for label, count in enumerate(np.bincount(selected)):
        at = looks(N_MAX, 1.04)
        if count:
            swapped = np.concatenate([p[[label]], np.delete(p, label)])
            false += count * false_share(swapped, Bets(1, (rho,), ALPHA, N_MAX), at, count)
    assert false / repetitions <= allowed(repetitions)


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 2])
def test_noise_that_misses_by_eta(k):
    """The delivered probabilities are off by eta in the label's favour: what eta is added for, and caught without."""
    rho, eta, n_max, repetitions = 0.7, 0.01, 10_000, 5000
    ideal = probabilities_at(rho, 4, k, [0.6, 0.3, 0.1])
    delivered = ideal + np.array([eta, -eta * (k == 1), -eta * (k == 2), 0])
    with_eta, without = (
        false_share(delivered, Bets(k, (rho,), ALPHA, n_max, each), looks(n_max, 1.1), repetitions)
        for each in (eta, 0.0)
    )
    assert with_eta <= allowed(repetitions)
    assert without > allowed(repetitions)


@pytest.mark.slow
@pytest.mark.parametrize(("k", "shares"), [(1, [0.6, 0.4]), (2, [0.7, 0.3]), (3, [0.4, 0.3, 0.3])])
def test_a_tangent_chosen_from_the_batch_itself_is_caught(k, shares, monkeypatch):
    p, bets = probabilities_at(0.7, len(shares) + 1, k, shares), Bets(k, (0.7,), ALPHA, N_MAX)
    at = looks(N_MAX, 1.1)
    assert false_share(p, bets, at, 5000) <= allowed(5000)
    monkeypatch.setattr(wealth_module, "gain", best_for_the_batch)
    assert false_share(p, bets, at, 5000) > allowed(5000)


def best_for_the_batch(batch, log_factors):
    """What each expert gains with the t and tangent that suit the batch best."""
    found = -np.inf
    for t in range(log_factors.shape[0]):
        label, members = batch.new_label[..., None], batch.new_members[..., t, None]
        others = batch.new_n[..., None] - label - members
        for factors in log_factors[t, ::8]:
            found = np.maximum(found, label * factors[0] + members * factors[1] + others * factors[2])
    return found


@pytest.mark.slow
def test_rivals_ranked_by_the_batch_itself_are_caught(monkeypatch):
    p, bets, at, repetitions = (
        probabilities_at(0.5, 3, 2, [0.7, 0.3]),
        Bets(2, (0.5,), ALPHA, N_MAX),
        looks(N_MAX, 1.04),
        20_000,
    )
    assert false_share(p, bets, at, repetitions) <= allowed(repetitions)
    count = Batch.of

    def ranked_late(before, new, k):
        batch = count(before, new, k)
        least = np.sort(new[..., 1:], axis=-1)[..., -k:].cumsum(axis=-1)[..., None, :]
        return Batch(batch.n, batch.label, batch.members, batch.new_n, batch.new_label, least)

    monkeypatch.setattr(Batch, "of", ranked_late)
    assert false_share(p, bets, at, repetitions) > allowed(repetitions)


@pytest.mark.slow
def test_one_refuted_rival_is_not_enough(monkeypatch):
    p, bets = probabilities_at(0.5, 4, 1, [0.6, 0.3, 0.1]), Bets(1, (0.5,), ALPHA, N_MAX)
    monkeypatch.setattr(Wealth, "certified", property(lambda self: self.rejected.any(axis=2).T))
    assert false_share(p, bets, looks(N_MAX, 1.1), 2000) > allowed(2000)


def joint_share(p, alpha, repetitions, n_max=1000):
    """Share of images with a false certificate for k = 1 or for k = 2, each at its own exact null."""
    rho = {k: float(radius(Bounds(np.array(1 - p[0]), p[1 : k + 1]), 1.0)) for k in (1, 2)}
    bets = {k: Bets(k, (rho[k],), alpha, n_max) for k in rho}
    states = {k: Wealth.start(each, repetitions, len(p) - 1) for k, each in bets.items()}
    rng, counts, before = np.random.default_rng(0), np.zeros((repetitions, len(p)), dtype=np.int64), 0
    for n in looks(n_max, 1.02):
        new = rng.multinomial(n - before, p, repetitions)
        states = {k: look(state, counts, new, bets[k]) for k, state in states.items()}
        counts, before = counts + new, n
    return np.mean(states[1].certified | states[2].certified)


@pytest.mark.slow
def test_one_alpha_for_several_k_is_caught():
    """Each k has an alpha of its own; a claim about all of them at once needs alpha divided by their number."""
    p, alpha, repetitions = np.array([0.48, 0.36, 0.16]), 0.1, 40_000
    assert joint_share(p, alpha, repetitions) > allowed(repetitions, alpha)
    assert joint_share(p, alpha / 2, 10_000) <= allowed(10_000, alpha)


def exact_failure(rho, alpha, at):
    """P(certified at some look) at the null of two classes, by dynamic programming over the number of misses."""
    bets, miss = Bets(1, (rho,), alpha, at[-1]), 1 - probabilities_at(rho, 2)[0]
    alive, low, before, absorbed = np.ones(1), 0, 0, 0.0  # P(misses = low, low + 1, ..., and not certified so far)
    for n in at:
        window = binomial(n - before, miss)
        alive, low = np.convolve(alive, window[1]), low + window[0]
        misses = np.arange(low, low + len(alive))
        votes = np.stack([n - misses, misses], axis=-1)[:, None]
        inside = misses <= n
        won = np.zeros(len(alive), dtype=bool)
        won[inside] = certified_by_betting(votes[inside], bets)[:, 0]
        absorbed += alive[won].sum()
        alive, before = np.where(won, 0, alive), n
        kept = np.flatnonzero(alive > 1e-25)
        alive, low = alive[kept[0] : kept[-1] + 1], low + kept[0]
    return absorbed


def binomial(n, p):
    """First number and probabilities of a binomial, where they exceed about 1e-25."""
    from scipy.stats import binom

    deviation = np.sqrt(n * p * (1 - p))
    numbers = np.arange(max(0, int(n * p - 11 * deviation - 30)), min(n, int(n * p + 11 * deviation + 60)) + 1)
    return numbers[0], binom.pmf(numbers, n, p)


def test_two_classes_exactly():
    for rho in (0.25, 2.0):
        assert 0.1 * 0.001 < exact_failure(rho, 0.001, looks(2000, 1.5, 100)) <= 0.001


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.25, 1.0, 2.0])
def test_two_classes_exactly_at_many_looks(rho):
    """The wealth of the last look depends on the last counts alone: with two classes all batches have one tangent."""
    spent = [exact_failure(rho, 0.001, looks(20_000, ratio, 100)) for ratio in (1.5, 1.1, 1.02)]
    assert sorted(spent) == spent
    assert spent[-1] <= 0.001
