"""Samples needed and samples taken in the notebook, against votes counted here and against the functions."""

from dataclasses import replace

import numpy as np
import pytest

from factories import make_run
from smoothcert.evidence.outcomes import plan_of
from smoothcert.report.notebook.explore import (
    MARGINS,
    margin_table,
    needs,
    observed_points,
    observed_split,
    printed,
    procedure_of,
    settings_table,
    stopping_table,
)
from smoothcert.report.notebook.pictures import draw_needs
from smoothcert.stats import Plan, r_max, samples_needed, schedule
from smoothcert.stats.radius import probabilities_at

PLAN = Plan(schedule(1000), 0.001, "rankcp", 4, 0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("needs") / "run", images=40, k="1,2")


def test_points_are_the_images_with_looks_within_reach(run):
    points, lines = observed_points(run, 0.5, 1), [line for line in run.ledger.at(0.5) if line.looks]
    assert points.shape == (len(lines), 2)
    assert np.all((points[:, 0] >= 0) & (points[:, 0] <= r_max(plan_of(run.spec, 0.5), 1)))
    assert points[:, 1].tolist() == [line.samples for line in lines]


def test_the_split_is_the_mean_of_the_images_own(run):
    own = []
    for line in run.ledger.at(0.5):
        votes = dict(line.looks[-1][1]) if line.looks else {}
        rivals = sorted((n for c, n in votes.items() if c != line.label), reverse=True)
        if rivals:
            own.append([n / sum(rivals) for n in rivals] + [0.0] * (3 - len(rivals)))
    found = observed_split(run, 0.5)
    assert found.sum() == pytest.approx(1)
    assert np.allclose(np.append(found, np.zeros(3 - len(found))), np.mean(own, axis=0))


def test_without_votes_for_enough_rivals_the_split_is_even(tmp_path):
    certain = make_run(tmp_path / "run", images=4, p=1.0, k="1,2")
    assert observed_split(certain, 0.5).tolist() == [0.5, 0.5]


def test_what_is_drawn_is_what_the_functions_give(run):
    found, plan = needs(run, 0.5, 1), plan_of(run.spec, 0.5)
    assert found.limit == r_max(plan, 1)
    assert set(found.fixed) == {r for r in run.spec.request.radius if r < found.limit}
    for r, (reach, samples) in found.fixed.items():
        assert np.all(reach > r)
        at = probabilities_at(reach / 0.5, 4)
        assert np.array_equal(samples, samples_needed(at, r, replace(plan, bound="cohen")))
    low, most = run.spec.looks[0], run.spec.request.n0 + run.spec.request.n_max
    assert np.all((found.expected.mean >= low) & (found.expected.mean <= most))
    assert procedure_of(run, 0.5).targets == {1: "prediction", 2: "label"}
    again = needs(run, 0.5, 1)
    assert np.array_equal(found.expected.mean, again.expected.mean), "the same run gives the same figure"


def test_the_figure_has_one_panel_per_sigma_and_names_its_radii(run):
    figure = draw_needs(run, [needs(run, s, 1) for s in run.spec.request.sigma], 1)
    titles = [axes.get_title(loc="right") for axes in figure.axes]
    assert titles == ["σ = 0.25", "σ = 0.5"]
    words = {text.get_text() for text in figure.axes[1].texts}
    assert {"r =", "0.1", "0.25", "0.5"} <= words


def test_margins_are_rows_and_radii_columns():
    found = margin_table(PLAN, (0.25, 0.5))
    at = probabilities_at(0.5 + np.array(MARGINS), 4)
    wanted = [printed(n) for n in samples_needed(at, 0.25, replace(PLAN, bound="cohen"))]
    assert [row[0] for row in found.rows] == [f"{margin:g}" for margin in MARGINS]
    assert [row[1] for row in found.rows] == wanted
    assert printed(np.inf) == "none"


@pytest.mark.parametrize("k", [1, 2])
def test_a_stricter_setting_never_needs_fewer_samples(k):
    found = {row[0]: [float(text.replace(",", "")) for text in row[1:]] for row in settings_table(PLAN, k, 0.25).rows}
    by_alpha = np.array([found[f"alpha {alpha}"] for alpha in ("0.01", "0.001", "0.0001", "1e-05", "1e-06")])
    assert np.all(np.diff(by_alpha, axis=0) > 0)
    assert np.all(np.diff(by_alpha, axis=1) > 0)  # the margins fall
    assert found["alpha 0.001"] == found[f"k = {k}"] == found["rankcp, 3 classes or more"]
    assert np.all(np.array(found["simuem, 8 classes"]) < found["simuem, 1,000 classes"])


def test_looks_and_fixed_sampling_certify_nothing_below_and_everything_far_above():
    found = {row[0]: row[1:] for row in stopping_table(PLAN, 1, 0.25).rows}
    assert found["-0.5"][2:] == found["-0.2"][2:] == ("0 %", "0 %")
    assert found["1"][2:] == ("100 %", "100 %")
    assert found["0.5"][0] < found["0.1"][0] or len(found["0.5"][0]) < len(found["0.1"][0])


def test_of_very_many_images_a_random_subset_is_read_and_the_figure_says_so(run, monkeypatch):
    every = {tuple(point) for point in observed_points(run, 0.5, 1)}
    monkeypatch.setattr("smoothcert.report.notebook.explore.POINTS", 10)
    monkeypatch.setattr("smoothcert.report.notebook.pictures.POINTS", 10)
    some = observed_points(run, 0.5, 1)
    assert len(some) == 10
    assert {tuple(point) for point in some} <= every
    assert np.array_equal(some, observed_points(run, 0.5, 1))
    figure = draw_needs(run, [needs(run, 0.5, 1, images=2)], 1)
    said = " ".join(" ".join(text.get_text().split()) for text in figure.texts)
    assert "at most 10 images of this run, drawn at random" in said
