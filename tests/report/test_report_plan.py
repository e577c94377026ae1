"""The documents of a plan: tables that never turn "not attainable" into a number, figure, page and comparison."""

import csv
import io
import json

import pytest

from factories import make_forecast, make_run, make_spec
from refusals import refuses
from smoothcert.config import make_request
from smoothcert.config.plan import make_plan_settings
from smoothcert.errors import EvidenceError
from smoothcert.evidence.run import PLANNED, Planned
from smoothcert.formats.plan import Outlook
from smoothcert.planning.plan import plan
from smoothcert.report import table_of
from smoothcert.report.plan.figure import plan_figure, plan_words
from smoothcert.report.plan.tables import SAMPLES, SECONDS, TITLES, forecast_table, inside, tables
from smoothcert.report.plan.write import read_plan, reading, settings_yaml, write_plan
from smoothcert.report.results import write_results
from smoothcert.verify import verify
from smoothcert.yaml_files import parse_yaml

REQUEST = {"sigma": "0.25,0.50", "k": (1, 3), "radius": "0.25,0.5,1.0"}


@pytest.fixture(scope="module")
def bare():
    """A plan without a pilot."""
    return plan(make_plan_settings(classes=8, n_max=10_000, **REQUEST))


@pytest.fixture
def piloted(bare):
    """The same, with a forecast made by hand: r = 0.5 is undecided, r = 1 not attainable."""
    settings = make_plan_settings(model="w_{sigma}.safetensors", data="synthetic:9", n_max=10_000, **REQUEST)
    spec = make_spec(n_max=10_000, looks=(100, 10_000), classes=8, **REQUEST)
    return Planned(settings, 8, 5, bare.outlook, make_forecast(spec, unclear=(0.5,), beyond=(1.0,)))


def test_the_tables_without_a_pilot(bare):
    found = tables(bare)
    assert tuple(found) == ("reach", "images", "power", "changes")
    assert all(table.rows and table.records for table in found.values())
    assert set(found) < set(TITLES)


def test_what_is_not_attainable_says_so(bare, piloted):
    rows = {row[:3]: row for row in tables(bare)["reach"].rows}
    assert rows["0.25", "1", "1"][3:] == ("0.7848", "229,367", "not attainable", "-", "-")
    assert rows["0.25", "1", "0.5"][3:7] == ("0.7848", "316", "584", "0.9845")
    assert 90 <= int(rows["0.25", "1", "0.5"][7].removesuffix(" %")) <= 99
    for row in forecast_table(piloted.forecast).rows:
        if row[2] == "1":
            assert row[3:] == ("not attainable (R_max 0.9900)", "-", "not attainable (R_max 0.9900)", "-", "-")


def test_what_the_pilot_cannot_tell_has_an_interval_and_what_would_tell(piloted):
    row = next(row for row in forecast_table(piloted.forecast).rows if row[2] == "0.5")
    assert row[3:] == (
        "undecided: pilot too short",
        "30.0 to 90.0",
        "undecided: pilot too short",
        "30.0 to 90.0",
        "3,000",
    )
    (told,) = (line for line in reading(piloted) if line.startswith("Undecided"))
    assert "whether an image is certified." in told


def test_one_and_several_unattainable_entries(bare):
    (several,) = (line for line in reading(bare) if "not attainable" in line)
    one = plan(make_plan_settings(classes=8, n_max=10_000, sigma="0.25", radius="0.25,1.0"))
    (single,) = (line for line in reading(one) if "not attainable" in line)
    assert several == "2 of 12 entries are not attainable with these settings, whatever the classifier."
    assert single == "1 of 2 entries is not attainable with these settings, whatever the classifier."


def test_intervals_are_rounded_outwards():
    forecast = make_forecast(make_spec(), share=0.66666, samples=(200.4, 150.6, 300.2))
    assert forecast_table(forecast).rows[0][3:5] == ("66.7", "36.6 to 96.7")


def test_a_plan_is_written_once(piloted, tmp_path):
    files = write_plan(piloted, tmp_path / "plan")
    names = {path.name for path in files}
    assert {"plan.json", "plan.md", "run.yaml", "plan.svg", "plan.png", "forecast.csv", "reach.csv"} <= names
    assert {path.name for path in (tmp_path / "plan").iterdir()} == names
    assert read_plan(tmp_path / "plan") == read_plan(tmp_path / "plan" / "plan.json") == piloted.forecast
    page = (tmp_path / "plan" / "plan.md").read_text()
    assert all(f"## {TITLES[name]}" in page for name in ("reach", "forecast", "copies", "images", "changes"))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "plan" / "forecast.csv").read_text())))
    assert [row["looks_value"] for row in rows[:3]] == ["0.6", "", ""]
    with refuses("E-RUN-033"):
        write_plan(piloted, tmp_path / "plan")


def test_its_settings_are_those_of_certify(piloted):
    read = make_request(**parse_yaml(settings_yaml(piloted.settings.request()), "run.yaml"))
    assert read == piloted.settings.request()
    assert [sigma.text for sigma in read.sigma] == ["0.25", "0.50"]


def test_a_plan_without_a_pilot_forecasts_nothing(bare, tmp_path):
    files = write_plan(bare, tmp_path / "plan")
    assert not {"plan.svg", "run.yaml"} & {path.name for path in files}
    with refuses("E-RUN-075"):
        read_plan(tmp_path / "plan")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"forecast": 3}', '{"forecast": {"settings": {}}}'])
def test_a_damaged_plan_is_refused(tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(EvidenceError):
        read_plan(tmp_path)


def test_the_figure_draws_every_entry_and_says_what_it_is(piloted):
    figure = plan_figure(piloted, piloted.forecast)
    first, second, samples = figure.axes
    assert [text.get_text() for text in first.get_xticklabels()] == ["r = 0.25", "r = 0.5", "r = 1"]
    assert (first.get_title("left"), second.get_title("left")) == ("k = 1", "k = 3")
    crosses = [line for line in first.lines if line.get_marker() == "x"]
    markers = [line for line in first.lines if line.get_marker() in "os"]
    assert (len(crosses), len(markers)) == (2, 2)
    assert samples.get_xlabel() == "noise samples per image (logarithmic axis)"
    words = plan_words(piloted, piloted.forecast)
    assert words.note == "Synthetic images, not of patients. A forecast from a pilot: nothing here is certified."
    assert "Dotted, without marker" in words.foot[0]
    assert "not attainable" in words.foot[0]


@pytest.fixture
def predicted(tmp_path):
    """A finished run that carries a forecast of 60 % (30 to 90) everywhere."""

    def make(drop=0, **more):
        planned = lambda spec: make_forecast(spec, **more).to_record()  # noqa: E731
        return make_run(tmp_path / "run", drop=drop, k=(1, 3), write={"forecast": planned})

    return make


def test_predicted_beside_realised(predicted):
    run = predicted()
    found = table_of(run, "plan")
    entries = {(entry.sigma, entry.k, entry.radius): entry for entry in run.results()}
    shares = [each for each in found.records if each["k"] is not None]
    assert len(shares) == len(entries)
    for each in shares:
        entry = entries[each["sigma"], each["k"], each["radius"]]
        if entry.attainable:
            assert each["realised"] == entry.observed
            assert each["inside"] == (0.3 <= entry.observed <= 0.9)
    taken = {each["sigma"]: each for each in found.records if each["quantity"] == SAMPLES}
    for sigma, each in taken.items():
        lines = run.ledger.at(sigma)
        assert each["realised"] == sum(line.samples for line in lines) / len(lines)
    assert {each["quantity"] for each in found.records if each["k"] is None} == {SAMPLES, SECONDS}
    outside = [row for row in found.rows if row[-1] == "NO"]
    assert f"{len([r for r in found.rows if r[-1] == 'yes'])} of " in inside(run)
    assert all(row[-1] in ("yes", "NO", "-") for row in found.rows)
    assert outside or inside(run)


def test_a_run_without_a_plan_has_no_comparison(tmp_path):
    run = make_run(tmp_path / "run")
    assert table_of(run, "plan").rows == ()
    assert inside(run) == ""


def test_a_partial_run_has_realised_nothing(predicted):
    run = predicted(drop=3)
    found = table_of(run, "plan")
    assert {row[-2] for row in found.rows} == {"partial run"}
    assert {each["inside"] for each in found.records} == {None}
    assert inside(run) == ""


def test_undecided_and_unattainable_entries_are_compared_as_what_they_are(predicted):
    found = table_of(predicted(unclear=(0.25,), beyond=(0.5,)), "plan")
    unclear = [row for row in found.rows if row[2] == "0.25"]
    beyond = [row for row in found.rows if row[2] == "0.5"]
    assert {row[4] for row in unclear} == {"undecided: pilot too short"}
    assert {row[-1] for row in unclear} <= {"yes", "NO"}
    assert {row[4:] for row in beyond} == {("not attainable", "-", "-", "-")}


def test_another_device_makes_no_comparison_of_seconds(predicted):
    run = predicted()
    other = run.spec.recipe.model_copy(update={"precision": "bf16"})
    elsewhere = type(run)(run.directory, run.spec.model_copy(update={"recipe": other}), run.ledger)
    assert SECONDS not in {each["quantity"] for each in table_of(elsewhere, "plan").records}


def test_the_results_hold_the_comparison(predicted, tmp_path):
    run = predicted()
    write_results(run, run.directory.results)
    page = (run.directory.results / "results.md").read_text()
    assert "## Forecast of the plan and realised values" in page
    rows = list(csv.DictReader(io.StringIO((run.directory.results / "tables" / "plan.csv").read_text())))
    assert [float(row["forecast"]) for row in rows if row["quantity"].startswith("certified")] == [0.6] * 12


def test_a_run_with_a_forecast_verifies_as_far_as_one_without(predicted, tmp_path):
    """The event is one more link of the chain; taking it out breaks the chain."""
    run = predicted()
    before = set(verify(run.directory.path).faults)
    assert not any("events.jsonl" in fault for fault in before)
    lines = run.directory.events.read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if json.loads(line)["event"] == PLANNED)
    changed = json.loads(lines[place])
    changed["forecast"]["images"] = 61
    lines[place] = json.dumps(changed)
    run.directory.events.write_text("\n".join(lines) + "\n")
    assert any("does not follow the line before it" in fault for fault in verify(run.directory.path).faults)


def test_an_empty_outlook_is_a_value():
    assert Outlook((), (), (), ()) == Outlook((), (), (), ())
