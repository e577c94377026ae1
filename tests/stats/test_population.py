import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from smoothcert.errors import SpecError
from smoothcert.stats import claims, interval, population_bound, sample_bound
from smoothcert.stats.population import bad_runs, one_per_group
from smoothcert.stats.rounding import round_down


def test_the_printed_numbers():
    assert bad_runs(4000, 0.001, 0.05) == 8
    assert sample_bound(2400, 4000, 0.001, 0.05) == 2392
    assert round_down(population_bound(2400, 4000, 0.001, 0.05), 6) == 0.586669
    assert round_down(population_bound(2400, 4000, 0.001, 0.05), 5) == 0.58666


@given(st.integers(1, 20_000), st.sampled_from([1e-4, 0.001, 0.05]), st.sampled_from([0.05, 0.05 / 9, 1e-6]))
def test_bad_runs_is_the_quantile(m, alpha, delta):
    b = bad_runs(m, alpha, delta)
    assert binom.sf(b, m, alpha) <= delta * (1 + 1e-9)
    assert b == 0 or binom.sf(b - 1, m, alpha) > delta * (1 - 1e-9)


def test_population_bound_covers_by_enumeration():
    m, alpha, delta = 60, 0.05, 0.05
    low = np.array([population_bound(s, m, alpha, delta) for s in range(m + 1)])
    for robust in np.linspace(0, 1, 200):
        certified = robust + alpha * (1 - robust)  # the worst procedure: it certifies all it may
        assert binom.pmf(np.arange(m + 1)[low > robust], m, certified).sum() <= delta


def test_claims_hang_together():
    c = claims(2400, 4000, 0.001, entries=9)
    assert (c.certified, c.images, c.observed) == (2400, 4000, 0.6)
    assert (c.low, c.high) == interval(2400, 4000)
    assert c.joint < c.population < c.observed
    assert c.sample == 2392
    none = claims(0, 10, 0.001)
    assert (none.low, none.sample, none.population, none.joint) == (0.0, 0, 0.0, 0.0)


def test_refusals():
    for args in ((5, 4, 0.001), (0, 0, 0.001), (1, 4, 0.0)):
        with pytest.raises(SpecError):
            claims(*args)
    with pytest.raises(SpecError):
        claims(1, 4, 0.001, entries=0)


def test_one_per_group_is_a_fixed_draw():
    groups = ["b", "a", "b", "c", "a", "a"]
    chosen = one_per_group(groups, 1)
    assert sorted(groups[i] for i in chosen) == ["a", "b", "c"]
    assert chosen.tolist() == sorted(chosen.tolist())
    assert chosen.tolist() == one_per_group(np.array(groups), 1).tolist() == [2, 3, 5]
    assert one_per_group([], 1).size == 0


def test_one_per_group_draws_evenly():
    picks = [one_per_group(["x"] * 4, seed)[0] for seed in range(4000)]
    shares = np.bincount(picks, minlength=4)
    assert np.all(np.abs(shares - 1000) < 5 * np.sqrt(750))
