"""The curve against its definition: how many images are certified at r, for any r, one image at a time."""

import numpy as np
import pytest

from factories import make_run, make_spec
from refusals import refuses
from smoothcert.evidence.outcomes import Outcomes, plan_of
from smoothcert.report.curves import curve, curve_of, intervals
from smoothcert.stats import Bounds, interval, r_max
from smoothcert.stats.bounds_rule import CertifiedByBounds

KINDS = (
    {"stopping": "looks"},
    {"stopping": "fixed"},
    {"stopping": "looks", "drop": 70},
    {"stopping": "fixed", "bound": "cohen", "k": "1,2,3"},
    {"stopping": "looks", "k": "1,2", "target": "prediction", "radius": "0.25,0.7,1.0"},
)


def pairs(run):
    return [(sigma, k) for sigma in run.spec.request.sigma for k in run.spec.request.k]


def at(found, r):
    """The count of a curve at radius r > 0: that of the first step position at or above r."""
    return int(found.certified[np.searchsorted(found.radii, r)])


@pytest.fixture(params=KINDS, ids=str)
def run(request, tmp_path):
    return make_run(tmp_path / "run", images=80, **request.param)


def test_the_markers_are_the_entries_of_the_results_table(run):
    expected = [(c.radius, c.certified, c.low, c.high, c.attainable) for c in run.results()]
    curves = [curve(run, sigma, k) for sigma, k in pairs(run)]
    found = [(m.radius, m.certified, m.low, m.high, m.attainable) for each in curves for m in each.grid]
    assert found == expected
    assert [each.r_max for each in curves for _ in each.grid] == [c.r_max for c in run.results()]


def test_the_line_counts_what_is_certified_at_every_radius(run):
    rng = np.random.default_rng(0)
    for sigma, k in pairs(run):
        found, each = curve(run, sigma, k), run.certificates(sigma, k)
        for r in rng.uniform(1e-6, found.r_max, 60):
            if np.abs(each.radius - r).min(initial=1) > 1e-9:
                assert at(found, r) == each.certified_correct(r).sum()
        assert found.certified[0] == each.certified_correct(0.0).sum()


def test_the_line_falls_from_zero_to_r_max_through_the_markers(run):
    for sigma, k in pairs(run):
        found = curve(run, sigma, k)
        assert (found.radii[0], found.radii[-1]) == (0, found.r_max)
        assert np.all(np.diff(found.radii) > 0)
        assert np.all(np.diff(found.certified) <= 0)
        assert [at(found, m.radius) for m in found.grid if m.attainable] == [
            m.certified for m in found.grid if m.attainable
        ]
        assert found.images == 80
        assert found.exact == (run.spec.request.stopping == "fixed")


def test_every_band_is_the_exact_interval_of_its_count(run):
    found = curve(run, 0.25, 1)
    ends = [interval(int(s), 80) for s in found.certified]
    assert found.low.tolist() == [low for low, _ in ends]
    assert (found.high is None) == (not found.exact)
    assert found.high is None or found.high.tolist() == [high for _, high in ends]
    every = intervals(np.arange(201), 200)
    assert list(zip(*every, strict=True)) == [interval(s, 200) for s in range(201)]


def test_what_is_drawn_never_runs_above_the_curve(tmp_path):
    whole = curve(make_run(tmp_path / "run", images=400, stopping="fixed"), 0.5, 1)
    for steps in (2, 7, 50, 5000):
        shown = whole.shown(steps)
        assert (shown.radii[0], shown.radii[-1]) == (0, whole.r_max)
        places = np.random.default_rng(1).uniform(1e-9, whole.r_max, 500)
        assert all(at(shown, r) <= at(whole, r) for r in places)
        assert [at(shown, m.radius) for m in whole.grid] == [m.certified for m in whole.grid]
        assert len(shown.radii) <= steps + len(whole.grid)  # whole, where it has few steps
    assert np.array_equal(whole.shown(10**6).certified, whole.certified)


def test_where_sampling_stops_early_the_line_ends_at_the_last_attainable_radius(tmp_path):
    run = make_run(tmp_path / "run", radius="0.1,0.4,0.9,3.0")
    assert [curve(run, sigma, 1).shown().radii[-1] for sigma in (0.25, 0.5)] == [0.4, 0.9]
    assert curve(make_run(tmp_path / "none", radius="3.0"), 0.5, 1).shown() is None


def outcomes_of(spec, radius, nudge=1.0):
    """Outcomes with given radii, nudged, whose bounds decide at the same places: Cohen's bound, q = Phi(-R / sigma)."""
    from scipy.special import ndtr

    m = len(radius)
    q = ndtr(-radius / 0.25)
    nobody, number = np.zeros(m, dtype=bool), np.arange(m)
    certified = CertifiedByBounds(Bounds(q, q[:, None]), 0.25, 0.0)
    vars(certified)["radius"] = radius * nudge
    return Outcomes(plan_of(spec, 0.25), 1, number, number % 4, nobody, certified, number)


@pytest.mark.parametrize("side", [-1, 0, 1])
def test_no_rounding_of_a_radius_moves_an_image_across_a_marker(side):
    spec = make_spec([0] * 6, looks=(1000,), stopping="fixed", bound="cohen", noise="float", radius="0.1,0.25,0.5")
    decided = outcomes_of(spec, np.array([0.1, 0.25, 0.25, 0.3, 0.5, 0.55]))
    nudged = outcomes_of(spec, np.array([0.1, 0.25, 0.25, 0.3, 0.5, 0.55]), 1 + side * 1e-12)
    found = curve_of(spec, nudged)
    assert [m.certified for m in found.grid] == [decided.certified_correct(m.radius).sum() for m in found.grid]
    assert [at(found, m.radius) for m in found.grid] == [m.certified for m in found.grid]
    assert np.all(np.diff(found.certified) <= 0)


def test_a_budget_that_certifies_nothing_has_no_curve():
    spec = make_spec([0] * 3, looks=(3,), stopping="fixed", noise="float")
    none = outcomes_of(spec, np.array([-0.1, -np.inf, -0.2]))
    assert r_max(none.plan, 1) < 0
    found = curve_of(spec, none)
    assert (found.r_max, found.radii.tolist(), found.certified.tolist()) == (0, [0], [0])
    assert found.shown() is None


def test_a_hundred_thousand_images_are_a_line_of_a_few_hundred_steps():
    m = 100_000
    spec = make_spec(np.arange(m) % 4, looks=(100_000,), stopping="fixed", bound="cohen", noise="float")
    found = curve_of(spec, outcomes_of(spec, np.random.default_rng(0).uniform(0, 0.9, m)))
    assert len(found.radii) > 99_000
    assert len(found.shown().radii) <= 410


def test_what_the_run_does_not_have_is_refused(tmp_path):
    run = make_run(tmp_path / "run", images=4)
    with refuses("E-SPEC-026", match="one of the run's k \\(1,\\), got 2"):
        curve(run, 0.25, 2)
    with refuses("E-SPEC-002"):
        curve(run, 0.3, 1)
