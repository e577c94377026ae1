"""The further tables: counts add up to the results, small counts stay raw, the unattainable gets no percentage."""

import csv
import math

import pytest

from factories import make_line, make_run, make_spec, simulate_run
from smoothcert.evidence import Run, RunDirectory, open_run
from smoothcert.evidence.events import CHANGED, CLEAN, append_event
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.results import entries
from smoothcert.report import TABLES, table_of
from smoothcert.report.results import write_results
from smoothcert.report.tables import accuracy_table, changes_table, class_table, cost_table, criteria_table, group_table
from smoothcert.report.units import units


@pytest.fixture
def run(tmp_path):
    return open_run(simulate_run(tmp_path / "run", images=40, k=(1, 2), radius="0.1,0.25,5"))


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("form", ["md", "csv", "tex", "json"])
def test_every_table_in_every_form(run, name, form):
    table = table_of(run, name)
    assert all(len(row) == len(table.headings) for row in table.rows)
    if table.rows:
        assert table.render(form)


def test_classes_add_up_to_the_results_table(run):
    for entry in entries(run.spec, run.ledger):
        if entry.attainable:
            records = class_table(run, entry.k, entry.radius).records
            mine = [each for each in records if each["sigma"] == entry.sigma]
            assert sum(each["certified"] for each in mine) == entry.certified
            assert sum(each["images"] for each in mine) == entry.images


def test_small_classes_are_raw_counts(run):
    printed = [text for row in class_table(run, 1, 0.1).rows for text in row[2:]]
    assert all("/" in text and "." not in text for text in printed)


def test_no_percentage_beyond_r_max(run):
    assert {text for row in class_table(run, 1, 5.0).rows for text in row[2:]} == {"not attainable"}


def test_accuracy_without_noise_stands_beside_the_certificates(run):
    assert {row[2] for row in accuracy_table(run).rows} == {"not recorded"}
    facts = {"images": 40, "correct": {"1": [6, 5, 5, 5, 5, 4], "2": [7, 7, 6, 6, 6, 6]}}
    for sigma in run.spec.request.sigma:
        append_event(run.directory.events, CLEAN, sigma=float(sigma), **facts)
    table = accuracy_table(open_run(run.directory.path))
    assert [row[2] for row in table.rows] == ["75.0 % (30/40)", "95.0 % (38/40)"] * 2
    at_zero = entries(run.spec, run.ledger, (0.0,))
    assert [record["certified"] for record in table.records] == [entry.certified for entry in at_zero]


def test_a_partial_noise_level_has_no_interval(tmp_path):
    run = make_run(tmp_path / "run", images=60, classes=2, drop=7)
    assert [row[4] == "partial run" for row in accuracy_table(run).rows] == [False, True]
    first = class_table(run, 1, 0.1).rows[0]
    assert "%" not in first[3]
    assert "/" in first[3]


def test_changes_are_printed_as_they_were_measured(run):
    assert changes_table(run).rows == ()
    changes = {"a shift": {"median": 0.25, "within": [10, 15, 20]}}
    append_event(run.directory.events, CHANGED, images=20, radius=[0.1, 0.25, 5], changes=changes)
    assert changes_table(open_run(run.directory.path)).rows == (
        ("a shift", "0.250", "10 of 20", "15 of 20", "20 of 20"),
    )


def test_cost_is_a_row_a_sigma_and_their_sum(run):
    *each, total = cost_table(run).records
    for name in ("images", "passes", "fixed_passes"):
        assert sum(one[name] for one in each) == total[name]
    assert total["passes"] == sum(line.samples for line in run.ledger.lines)


def test_groups_are_counted_whole(tmp_path):
    labels = (0, 1, 2, 0)
    spec = make_spec(labels, looks=(1000,), stopping="fixed", radius="0.25", grouped=True)
    names = ("p1", "p1", "p2", "p1")
    winners = (0, 1, 2, 3)
    lines = [
        make_line(i, labels[i], selection={winners[i]: 20}, looks=[{labels[i]: 1000}], group=names[i]) for i in range(4)
    ]
    run = Run(RunDirectory(tmp_path), spec, Ledger(tuple(lines), (), 0))
    assert group_table(run, 1, 0.25).rows == (("p1", "3", "2/3"), ("p2", "1", "1/1"))


def test_no_groups_no_rows(run):
    assert group_table(run, 1, 0.1).rows == ()


def test_criteria_say_met_or_not(tmp_path):
    wanted = [
        {"sigma": 0.25, "radius": 0.1, "at_least": 0.01, "of": "observed"},
        {"sigma": 0.25, "radius": 0.1, "at_least": 1.0},
    ]
    run = open_run(simulate_run(tmp_path / "run", images=40, criteria=wanted))
    assert [row[-1] for row in criteria_table(run).rows] == ["met", "NOT MET"]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (3, 224, 224), (1, 8, 8)])
@pytest.mark.parametrize("r", [0.25, 0.5, 1.0])
def test_a_uniform_shift_by_the_rms_has_exactly_the_radius_as_its_norm(shape, r):
    found = units(r, shape)
    values = math.prod(shape)
    assert math.sqrt(values) * found.rms / 255 == pytest.approx(r)
    assert found.one_level == pytest.approx(math.sqrt(values) / 255)
    if min(shape[1:]) >= 20:
        assert math.sqrt(400 * shape[0]) * found.patch / 255 == pytest.approx(r)
    else:
        assert found.patch is None


def test_the_figures_of_the_design(tmp_path):
    assert round(units(1, (3, 224, 224)).one_level, 2) == 1.52
    assert round(units(1, (1, 28, 28)).one_level, 2) == 0.11


def test_a_run_with_one_image_missing_claims_nothing_about_a_population(tmp_path):
    run = open_run(simulate_run(tmp_path / "run", images=20, drop=1))
    found = run.results()
    assert {entry.lines for entry in found} == {19, 20}
    assert all(entry.population is None and entry.joint is None for entry in found)
    printed = table_of(run, "results").rows
    assert {row[5] == "partial run" for row in printed if row[0] == "0.5" and row[3] != "-"} == {True}


def test_every_table_lies_beside_the_results_as_csv(run, tmp_path):
    files = write_results(run, tmp_path)
    names = {str(file.relative_to(tmp_path)) for file in files}
    assert {"results.csv", "results.md", "results.tex", "tables/accuracy.csv", "tables/cost.csv"} <= names
    assert {f"tables/classes_k{k}_r{r}.csv" for k in (1, 2) for r in ("0.1", "0.25", "5")} <= names
    rows = list(csv.DictReader((tmp_path / "tables" / "classes_k1_r0.1.csv").read_text().splitlines()))
    entry = next(entry for entry in run.results() if (entry.sigma, entry.k, entry.radius) == (0.25, 1, 0.1))
    assert sum(int(row["certified"]) for row in rows if row["sigma"] == "0.25") == entry.certified
    at_zero = list(csv.DictReader((tmp_path / "tables" / "accuracy.csv").read_text().splitlines()))
    assert [int(row["certified"]) for row in at_zero] == [entry.certified for entry in run.results((0.0,))]
