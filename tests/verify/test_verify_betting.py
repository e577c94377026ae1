"""The plain second implementation of betting against the first."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothcert.stats.betting import Bets, certified_by_betting, columns
from smoothcert.stats.betting.wealth import Wealth, look, mixture
from smoothcert.verify import plain_betting
from smoothcert.verify.plain_betting import Rule, certified_count, is_certified_count

RATIOS = tuple(np.linspace(0.125, 3.0, 24).tolist())


def random_images(seed, images, classes, looks=10, n_max=20_000):
    """Sparse cumulative looks of images from unanimous to lost, the label first or not."""
    rng = np.random.default_rng(seed)
    sizes = np.diff(np.unique((100 * (n_max / 100) ** (np.arange(looks) / (looks - 1))).astype(int)), prepend=0)
    found = []
    for _ in range(images):
        p = rng.dirichlet(np.full(classes, rng.choice([0.02, 0.2, 1.0]))) * (
            1 - (peak := rng.choice([0, 0.5, 0.9, 0.99]))
        )
        p[rng.integers(classes)] += peak
        steps = [rng.multinomial(size, p) for size in sizes[: rng.integers(1, looks + 1)]]
        found.append([{c: v for c, v in enumerate(each) if v} for each in np.cumsum(steps, axis=0).tolist()])
    labels = [max(looks[0], key=looks[0].get) if rng.random() < 0.8 else int(rng.integers(classes)) for looks in found]
    return found, labels


def compare(seed, images, classes, k, eta=0.0, alpha=0.001):
    bets = Bets(k, RATIOS, alpha, 20_000, eta)
    rule = Rule(k, RATIOS, alpha, 20_000, classes, eta)
    looks, labels = random_images(seed, images, classes)
    expected = certified_by_betting(columns(looks, labels, classes, k), bets).sum(axis=1)
    found = [certified_count(each, label, rule) for each, label in zip(looks, labels, strict=True)]
    assert found == expected.tolist()
    return expected


@pytest.mark.parametrize(("classes", "k"), [(2, 1), (4, 1), (9, 2), (1000, 1)])
def test_the_same_radii_are_certified(classes, k):
    expected = compare(classes + k, 6 if classes == 1000 else 12, classes, k)
    assert len(set(expected)) > 2


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "k"), [(2, 1), (3, 1), (3, 2), (8, 1), (8, 3), (10, 5), (1000, 1), (1000, 5)])
@pytest.mark.parametrize("alpha", [0.001, 0.05, 1e-6])
def test_the_same_radii_are_certified_on_thousands_of_looks(classes, k, alpha):
    compare(100 * classes + k, 150, classes, k, eta=1e-9 if k == 1 else 1e-4, alpha=alpha)


@settings(max_examples=10)
@given(st.integers(0, 1000), st.sampled_from([(3, 1), (6, 2), (6, 3)]))
def test_a_claim_of_one_more_or_one_less_is_refused(seed, kind):
    classes, k = kind
    looks, labels = random_images(seed, 1, classes)
    rule = Rule(k, RATIOS, 0.001, 20_000, classes)
    count = certified_count(looks[0], labels[0], rule)
    accepted = [each for each in range(-1, len(RATIOS) + 2) if is_certified_count(each, looks[0], labels[0], rule)]
    assert accepted == [count]


def test_hostile_looks():
    rule = Rule(1, RATIOS, 0.001, 20_000, 3)
    assert certified_count([], 0, rule) == 0
    assert certified_count([{}], 0, rule) == 0
    assert certified_count([{1: 10_000}], 0, rule) == 0
    assert certified_count([{0: 10_000, 1: 10_000}], 0, rule) == 0
    assert certified_count([{0: 20_000}], 0, rule) > 20
    assert certified_count([{0: 500}, {0: 500}], 0, rule) == certified_count([{0: 500}], 0, rule)


@pytest.mark.parametrize("k", [1, 2])
def test_the_log_wealth_is_within_its_error(k, monkeypatch):
    """The wealth of the first implementation, just reached and just missed by the second."""
    rho, n_max = 0.7, 20_000
    bets, rule = Bets(k, (rho,), 0.001, n_max), Rule(k, (rho,), 0.001, n_max, 4)
    (looks,), labels = random_images(5, 1, 4)
    votes = columns([looks[:1]], labels, 4, k)[:, 0]
    wealth = look(Wealth.start(bets, 1, votes.shape[1] - 1), votes * 0, votes, bets)
    least = float(mixture(wealth.log[0, 0], bets.log_weights[0]).min()) + np.log(rule.alpha)
    error = plain_betting.ROUNDING * n_max
    assert plain_betting.is_certified(rho, looks[:1], labels[0], rule, least - error)
    assert not plain_betting.is_certified(rho, looks[:1], labels[0], rule, least + error)
