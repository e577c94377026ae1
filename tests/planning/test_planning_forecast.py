"""The forecast of a run, against runs simulated from known probabilities."""

import numpy as np
import pytest

from smoothcert.planning.forecast import forecast_level, with_stopping
from smoothcert.stats import simulate

from .populations import mixed, near, pilot, procedure, vectors, wide


def _one(kind, asked, seed, count=100, samples=300, m=400):
    """A forecast, the run it is about, and what the votes themselves, taken as probabilities, would have said."""
    rng = np.random.default_rng(seed)
    probabilities, labels = vectors(kind(m, rng), rng)
    votes = pilot(probabilities, labels, count, samples, rng)
    found = forecast_level(votes, asked, m, rng)
    real = simulate(probabilities, labels, asked, rng)
    naive = simulate(votes.counts / samples, votes.labels, asked, rng)
    return found, real, naive


@pytest.fixture(scope="module")
def one():
    return _one(mixed, procedure(radii=(0.25, 0.5, 0.75, 1.0), ks=(1, 3)), 7)


def test_every_cell_is_there_and_the_unattainable_have_no_forecast(one):
    found, _, _ = one
    assert [(entry.k, entry.radius) for entry in found.entries] == [
        (k, r) for k in (1, 3) for r in (0.25, 0.5, 0.75, 1.0)
    ]
    beyond = [entry for entry in found.entries if entry.radius > entry.r_max]
    assert {(entry.k, entry.radius) for entry in beyond} == {(1, 1.0), (3, 1.0)}
    assert all(entry.looks is None and entry.fixed is None and entry.needed is None for entry in beyond)


def test_what_so_short_a_pilot_cannot_tell_has_a_wide_interval_and_no_forecast(one):
    found, real, _ = one
    entry = next(entry for entry in found.entries if (entry.k, entry.radius) == (1, 0.75))
    assert entry.needed > 1 - 3 / 300
    assert entry.telling(300) == pytest.approx(3 / (1 - entry.needed), abs=1)
    assert entry.telling(entry.telling(300)) is None
    assert entry.looks.value is None
    assert entry.looks.high - entry.looks.low > 0.15
    assert entry.looks.holds(real.certified[:, 0, 2].mean())


def test_forecasts_lie_in_their_intervals_and_fixed_loses_nothing(one):
    found, real, _ = one
    for i, entry in enumerate(entry for entry in found.entries if entry.looks is not None):
        for estimate in (entry.looks, entry.fixed):
            assert 0 <= estimate.low <= estimate.high <= 1
            assert estimate.value is None or estimate.low <= estimate.value <= estimate.high
        if entry.looks.value is not None:
            assert entry.fixed.value >= entry.looks.value - 0.02, i
    assert found.level.looks.holds(real.samples.mean())
    assert found.level.fixed.value > 1.5 * found.level.looks.value


def test_the_copies_taken_are_a_distribution_with_the_mean_that_is_forecast(one):
    level = one[0].level
    values, shares = np.array(level.taken).T
    assert np.all(np.diff(values) > 0)
    assert shares.sum() == pytest.approx(1, abs=1e-4)
    assert values @ shares == pytest.approx(level.looks.value, rel=1e-3)
    assert shares[values <= level.looks_median].sum() >= 0.5


@pytest.mark.slow
def test_a_pilot_of_the_whole_run_leaves_only_the_noise_open():
    found, _, _ = _one(wide, procedure(radii=(0.25,)), 8, count=150, samples=2000, m=150)
    part, _, _ = _one(wide, procedure(radii=(0.25,)), 8, count=150, samples=2000, m=5000)
    whole, open_ = (each.entries[0].looks.high - each.entries[0].looks.low for each in (found, part))
    assert whole < 0.6 * open_


@pytest.mark.slow
def test_the_share_of_votes_itself_misleads_and_the_forecast_does_not():
    """Every image lies just above what is needed; the votes of 300 scatter to both sides of it."""
    asked = procedure(radii=(0.5,))
    errors = np.array(
        [
            (found.entries[0].looks.value - real.certified.mean(), naive.certified.mean() - real.certified.mean())
            for found, real, naive in (_one(near, asked, seed) for seed in range(6))
        ]
    )
    forecast, naive = np.sqrt((errors**2).mean(axis=0))
    assert naive > 0.1
    assert forecast < naive / 2


def test_with_fixed_stopping_the_run_takes_all_its_copies():
    found, _, _ = _one(wide, procedure(n_max=500, radii=(0.25,), ks=(2,), stopping="fixed"), 9, count=40, samples=100)
    assert found.level.taken == ((500, 1.0),)
    assert (found.level.fixed.low, found.level.fixed.high) == (500, 500)
    assert len(with_stopping(procedure(n_max=60, radii=(0.1,), stopping="fixed"), "looks").plan.looks) == 1


def test_a_pilot_in_which_all_is_certified_does_not_promise_that_all_is():
    """100 certified of 100 leave 1.9 % open by the likelihood ratio, 3.6 % by the exact interval."""
    found, _, _ = _one(lambda m, rng: np.full(m, 0.9999), procedure(radii=(0.25,)), 10)
    share = found.entries[0].looks
    assert (share.value, share.high) == (1.0, 1.0)
    assert 0.95 < share.low < 0.985


@pytest.mark.slow
@pytest.mark.parametrize("kind", [mixed, near, wide])
def test_intervals_hold_the_run_in_about_95_of_100_pilots(kind):
    asked = procedure(radii=(0.25, 0.5, 0.75))
    held, missed = [], []
    for seed in range(60):
        found, real, naive = _one(kind, asked, 1000 + seed)
        shares = real.certified.mean(axis=0)[0]
        entries = [entry.looks.holds(share) for entry, share in zip(found.entries, shares, strict=True)]
        held.append([*entries, found.level.looks.holds(real.samples.mean())])
        missed.append(naive.certified.mean(axis=0)[0] - shares)
    coverage, naive_error = np.mean(held, axis=0), 100 * np.mean(missed, axis=0)
    print(f"{kind.__name__}: coverage at r = 0.25, 0.5, 0.75 and of mean copies: {coverage.round(3).tolist()}")
    print(f"  shares of votes taken as probabilities miss by {naive_error.round(1).tolist()} points")
    assert coverage.min() >= 0.9
