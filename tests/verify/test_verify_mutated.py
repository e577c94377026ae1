"""A statistics kernel that errs, everywhere at once: the run is written and verified with it, and verify names it."""

import re
from dataclasses import replace

import numpy as np
import pytest

import smoothcert.evidence.results as results
import smoothcert.stats.bounds_rule as bounds_rule
import smoothcert.stats.population as population
from factories import simulate_run
from smoothcert.stats import claims, interval, r_max, radius
from smoothcert.verify import verify

ASKED = {"images": 30, "k": "1,3", "alpha": 0.05}


def honest(path, **settings):
    return simulate_run(path, **ASKED, **settings)


@pytest.mark.parametrize("bound", ["rankcp", "simuem", "cohen"])
@pytest.mark.parametrize("noise", ["grid", "float"])
def test_what_is_checked_is_counted(tmp_path, bound, noise):
    report = verify(honest(tmp_path / "run", bound=bound, noise=noise))
    assert report.faults == ()
    assert report.radii == 60 * 2
    assert report.claims == 8 * 5


def test_a_partial_run_has_no_population_bounds_to_check(tmp_path):
    assert verify(honest(tmp_path / "run", drop=3)).claims == 8 * 3


def times(factor):
    return lambda *arguments: factor * radius(*arguments)


def plus(what):
    return lambda *arguments: radius(*arguments) + what


def of_k_above_1(factor):
    """The root finder alone errs: the radii of k = 1 have a closed form."""

    def wrong(bounds, sigma, eta=0.0):
        return radius(bounds, sigma, eta) * (factor if bounds.u.shape[-1] > 1 else 1.0)

    return wrong


RADII = {
    "5 % too large": times(1.05),
    "5 % too small": times(0.95),
    "a millionth too large": plus(1e-6),
    "a millionth too small": plus(-1e-6),
    "wrong for k = 3 alone": of_k_above_1(1.001),
    "no number": lambda *arguments: radius(*arguments) * np.nan,
    "infinite": lambda *arguments: np.where(radius(*arguments) > 0, np.inf, -np.inf),
}


@pytest.mark.parametrize("name", RADII)
def test_wrong_radii_are_named(tmp_path, monkeypatch, name):
    monkeypatch.setattr(bounds_rule, "radius", RADII[name])
    faults = verify(honest(tmp_path / "run")).faults
    assert any(re.search(r"image \d+, k \d: .* is not the largest radius that the bounds certify", f) for f in faults)


def test_a_wrong_r_max_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "r_max", lambda plan, k: 1.01 * r_max(plan, k))
    faults = verify(honest(tmp_path / "run")).faults
    assert any("which is not the radius of unanimous votes" in fault for fault in faults)


exact_population, exact_bad = population.population_bound, population.bad_runs
exact_draw = results.one_per_group


def at_interval(change):
    return lambda s, m, confidence=0.95: change(s / m, *interval(s, m, confidence))


def without_alpha(s, m, alpha, delta=0.05):
    return exact_population(s, m, 1e-12, delta)


MUTATIONS = {
    "the population bound is the share": (population, "population_bound", lambda s, m, *_: s / m),
    "the population bound forgets alpha": (population, "population_bound", without_alpha),
    "the population bound is a little high": (
        population,
        "population_bound",
        lambda *arguments: exact_population(*arguments) + 1e-6,
    ),
    "the population bound is a little low": (
        population,
        "population_bound",
        lambda *arguments: exact_population(*arguments) - 1e-6,
    ),
    "the population bound is 0": (population, "population_bound", lambda *_: 0.0),
    "the joint bound is not shared": (
        results,
        "claims",
        lambda s, m, alpha, entries, confidence: claims(s, m, alpha, 1, confidence),
    ),
    "one bad run too few": (population, "bad_runs", lambda *arguments: exact_bad(*arguments) - 1),
    "one bad run too many": (population, "bad_runs", lambda *arguments: exact_bad(*arguments) + 1),
    "the interval begins at the share": (population, "interval", at_interval(lambda share, low, high: (share, high))),
    "the interval ends at the share": (population, "interval", at_interval(lambda share, low, high: (low, share))),
    "the interval is one of 90 %": (population, "interval", lambda s, m, _: interval(s, m, 0.90)),
    "the interval is one of 99 %": (population, "interval", lambda s, m, _: interval(s, m, 0.99)),
}
NAMED = {
    "population_bound": r"is not the (population|joint) bound of \d+ certified of 30",
    "claims": r"is not the joint bound of \d+ certified of 30",
    "bad_runs": r"is not the lower bound on the robust images of this sample, \d+ certified of 30",
    "interval": r"is not the (lower|upper) end of the exact 95 % interval of \d+ in 30",
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_wrong_claims_are_named(tmp_path, monkeypatch, name):
    module, function, wrong = MUTATIONS[name]
    monkeypatch.setattr(module, function, wrong)
    faults = verify(honest(tmp_path / "run")).faults
    assert faults
    assert all(re.match(r"results table: sigma [\d.]+, k \d, r [\d.]+: ", fault) for fault in faults), faults
    assert all(re.search(NAMED[function], fault) for fault in faults), faults


def test_a_wrong_number_of_bad_runs_is_named_where_no_cell_shows_it(tmp_path, monkeypatch):
    monkeypatch.setattr("smoothcert.verify.table.bad_runs", lambda *_: 9)
    (fault,) = verify(honest(tmp_path / "run")).faults
    assert fault == "results table: 9 is not the 95 % upper bound on the wrong certificates among 30"


def test_no_criterion_is_judged_by_a_wrong_bound(tmp_path, monkeypatch):
    criteria = [{"at_least": 0.3, "sigma": 0.25, "k": 1, "radius": 0.1, "of": "population"}]
    path = honest(tmp_path / "run", criteria=criteria)
    assert len(verify(path).criteria) == 1
    monkeypatch.setattr(population, "population_bound", lambda s, m, *_: s / m)
    report = verify(path)
    assert not report.passed
    assert report.criteria == ()


PATIENTS = [f"p{i % 11}" for i in range(30)]


def test_groups_are_drawn_a_second_time(tmp_path, monkeypatch):
    path = honest(tmp_path / "honest", groups=PATIENTS)
    assert verify(path).faults == ()
    monkeypatch.setattr(results, "one_per_group", lambda groups, seed: exact_draw(list(groups)[:20], seed)[:-1])
    faults = verify(honest(tmp_path / "fewer", groups=PATIENTS)).faults
    assert any("groups is 10, not 11" in fault for fault in faults)


def test_bounds_of_all_images_are_not_those_of_one_a_group(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "_population", lambda spec, kept, draw, claim: (claim.population, claim.joint))
    faults = verify(honest(tmp_path / "run", groups=PATIENTS)).faults
    assert any(re.search(r"is not the population bound of \d+ certified of 11", fault) for fault in faults)


exact_cells = results.entries


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"certified": 1}, r"certified is \d+, not \d+"),
        ({"observed": 1e-6}, r"observed is [\d.]+, not [\d.]+"),
        ({"abstained": -1}, r"abstained is -?\d+, not \d+"),
        ({"wrong": 1}, r"wrong is \d+, not \d+"),
        ({"images": 1}, r"images is 31, not 30"),
        ({"lines": -1}, r"lines is 29, not 30"),
        ({"samples_mean": 1e-6}, r"samples_mean is [\d.]+, not [\d.]+"),
        ({"samples_median": 1}, r"samples_median is [\d.]+, not [\d.]+"),
        ({"samples_max": 1}, r"samples_max is \d+, not \d+"),
        ({"attainable": -1}, r"which contradicts R_max"),
        ({"radius": 1e-9}, r"its rows are not the entries"),
    ],
)
def test_every_other_figure_is_checked_too(tmp_path, monkeypatch, change, named):
    def wrong(*arguments, **settings):
        table = exact_cells(*arguments, **settings)
        of = table[3]
        table[3] = replace(of, **{name: getattr(of, name) + by for name, by in change.items()})
        return table

    path = honest(tmp_path / "run")
    monkeypatch.setattr("smoothcert.verify.check.entries", wrong)
    faults = verify(path).faults
    assert any(re.search(named, fault) for fault in faults), faults


def test_a_population_bound_of_a_partial_run_is_named(tmp_path, monkeypatch):
    def claimed(*arguments, **settings):
        return [replace(entry, population=0.1) for entry in exact_cells(*arguments, **settings)]

    path = honest(tmp_path / "run", drop=1)
    monkeypatch.setattr("smoothcert.verify.check.entries", claimed)
    assert any("the population bound is 0.1, but an image is missing" in fault for fault in verify(path).faults)
