"""Cost scenarios in print and in cost.json: rounded up, unknown never 0, and recomputed by verify."""

import json
import re
import shutil
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.test_evidence_scenarios import BASIS, STATED
from report.memo_runs import FULL, memo_run
from smoothcert.config import Production, make_production
from smoothcert.evidence import open_run
from smoothcert.evidence.directory import write_json
from smoothcert.evidence.events import ENERGY, RATES, append_event
from smoothcert.evidence.scenarios import scenarios
from smoothcert.formats.cost import Amount
from smoothcert.report import table_of
from smoothcert.report.cost import (
    COST,
    READING,
    assumptions,
    cost_record,
    device_tables,
    devices_table,
    digits_up,
    production_table,
    read_stated,
    scenario_table,
    time_up,
    unknown,
)
from smoothcert.report.documents import check_documents
from smoothcert.report.html_report.build import render
from smoothcert.report.memo import FIELDS, make_memo, make_sponsor
from smoothcert.report.results import write_results
from smoothcert.report.write import log_documents

NUMBER = re.compile(r"[\d,.]+(?:e\+\d+)?")


def read(text):
    return float(NUMBER.match(text)[0].replace(",", ""))


@given(st.floats(1e-9, 1e13))
def test_costs_are_rounded_up_in_print(x):
    printed = read(digits_up(x))
    assert x <= printed <= x * 1.12
    assert read(digits_up(x, 2)) >= x
    assert len(digits_up(x)) <= 15


@given(st.floats(1e-6, 1e9))
def test_times_are_rounded_up_in_print(x):
    units = {"ms": 0.001, "s": 1, "min": 60, "h": 3600}
    value, unit = time_up(x).split(" ")
    assert read(value) * units[unit] >= x * (1 - 1e-12)


def test_one_device_needs_no_column_and_no_price_no_money():
    plain = scenario_table(scenarios(BASIS, Production()))
    assert plain.headings[:3] == ("studies per day", "task", "samples")
    assert "energy" in plain.headings
    assert not any("held" in name for name in plain.headings)
    assert {row[plain.headings.index("energy")] for row in plain.rows} == {"unknown"}
    assert plain.rows[0][:3] == ("once", "this run, measured", "2,400,000")


def test_different_currencies_stay_beside_their_amounts():
    found = scenario_table(scenarios(BASIS, make_production(STATED)))
    assert found.headings[-2:] == ("money at work", "money held 24 h")
    at = found.headings.index("device")
    for row in found.rows:
        assert row[-2].endswith("EUR" if row[at] == "PC" else "USD")
    tables = device_tables(scenarios(BASIS, make_production(STATED)))
    assert {name: table.headings[-1] for name, table in tables.items()} == {
        "PC": "EUR held 24 h",
        "Accelerator": "USD held 24 h",
    }
    assert sum(len(table.rows) for table in tables.values()) == len(found.rows)


def test_a_price_that_was_not_stated_is_not_zero():
    devices = [STATED["devices"][0], {"name": "PC", "source": "ours"}]
    found = scenario_table(scenarios(BASIS, make_production({"devices": devices})))
    ours = [row for row in found.rows if "PC" in row]
    assert {row[-2] for row in ours} == {"not stated"}


@pytest.mark.parametrize("missing", [{"rate": None, "rate_low": None, "rate_high": None, "seconds": 0.0}, {}])
def test_no_unknown_number_is_printed_as_zero(missing):
    found = scenario_table(scenarios(replace(BASIS, **missing), make_production(STATED)))
    assert not any(re.fullmatch(r"0(\.0+)?( .*)?", entry) for row in found.rows for entry in row)


def test_what_is_assumed_of_each_device_has_its_source():
    stated = devices_table(BASIS, make_production(STATED))
    here, other = stated.rows
    assert here[0] == "PC"
    assert here[1] == "1,000 (800 to 1,250), measured"
    assert here[2:] == ("unknown", "0.50 EUR, 2026-10-01", "this run: cpu, fp32, sigma 0.5; quote")
    assert other == ("Accelerator", "100,000, stated", "500 W, stated", "3.00 USD, 2026-10-01", "assumed")
    metered = replace(BASIS, joules=0.0123, energy_source="RAPL")
    assert devices_table(metered, Production()).rows[0][2] == "12.3 mJ per sample, measured (RAPL)"


def test_the_sentence_of_assumptions():
    told = assumptions(BASIS, Production())
    assert "up to 1,000 samples at alpha = 0.001" in told
    assert "An estimated 4.0 % (2.0 to 6.0) of such images get no prediction." in told
    assert "It is not known" in assumptions(replace(BASIS, abstention=None), Production())


def test_what_is_unknown_is_named():
    asked = make_production({"devices": [{"name": "Fast", "source": "assumed", "copies_per_second": 5}]})
    assert list(unknown(BASIS, asked)) == [
        "energy of the device of the run: this machine reports no RAPL energy",
        "price of the device of the run: not stated",
        "energy of Fast: no power was stated",
        "price of Fast: not stated",
    ]
    partly = replace(BASIS, joules=0.1, joules_run=1.0, metered=400_000)
    assert "energy of 2,000,000 of 2,400,000 samples: extrapolated from the others" in list(unknown(partly, asked))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    run = memo_run(tmp_path_factory.mktemp("cost") / "run", images=16)
    events = run.directory.events
    append_event(events, RATES, sigma=0.25, device="cpu", batch_size=512, rates={"fp32": 7.5}, left_out={"fp16": "why"})
    append_event(events, ENERGY, sigma=0.25, copies=1000, joules=30.0, source="RAPL", seconds=1.0)
    production = make_sponsor(FULL).production
    run = open_run(run.directory.path)
    files = write_results(make_sponsor(FULL).of(run), run.directory.results, production, "a" * 64)
    write_json(run.directory.results / FIELDS, make_memo(run, make_sponsor(FULL)).record())
    log_documents(run.directory, [*files, run.directory.results / FIELDS])
    return run.directory.path


@pytest.fixture
def copy(written, tmp_path):
    return shutil.copytree(written, tmp_path / "run")


def test_the_record(written):
    record = json.loads((written / "results" / COST).read_text())
    assert record["stated_by_user"] is True
    assert record["sponsor_sha256"] == "a" * 64
    assert record["precisions"]["rates"] == {"fp32": 7.5}
    assert record["reading"] == READING
    basis = record["basis"]
    assert basis["joules"] == pytest.approx(0.03)
    (run, *rows) = record["scenarios"]
    assert (run["task"], run["hours"]["origin"]) == ("this run", "measured")
    assert run["kwh"]["value"] == pytest.approx(0.03 * basis["passes"] / 3.6e6)
    assert run["kwh"]["origin"] == "extrapolated"  # only some samples were metered
    assert {row["hours"]["origin"] for row in rows} == {"extrapolated"}
    for row in record["scenarios"]:
        for value in row.values():
            assert not isinstance(value, dict) or value["low"] <= value["value"] <= value["high"]
    assert {"production.csv", "rates.csv"} <= {path.name for path in (written / "results" / "tables").iterdir()}
    assert "## Cost of re-certification and of production" in (written / "results" / "results.md").read_text()


def test_it_holds_and_names_the_production_it_was_written_with(written):
    found = check_documents(open_run(written))
    assert found.faults == ()
    assert COST in found.held
    assert read_stated(written / "results") == make_sponsor(FULL).production
    assert read_stated(written) is None


def scenario(record):
    record["scenarios"][3]["hours"]["value"] /= 2


def rate(record):
    record["basis"]["rate"] *= 10


def votes(record):
    record["production"]["votes"] = 500


def price(record):
    record["production"]["devices"][0]["hour"]["amount"] = 0.24


def hidden(record):
    record["unknown"] = []


def unstated(record):
    record["stated_by_user"] = False


def more(record):
    record["note"] = "robust"


def less(record):
    del record["basis"]


def not_a_record(record):
    record["production"] = {"votes": "many"}


CHANGES = {
    scenario: "scenarios",
    rate: "basis",
    votes: "does not follow from votes and log",
    price: "scenarios",
    hidden: "unknown",
    unstated: "production is not the section",
    more: "not checked: note",
    less: "missing parts: basis",
    not_a_record: "cannot be read: votes: input should be a valid integer",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_record_is_named(copy, change):
    path = copy / "results" / COST
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    told = check_documents(open_run(copy)).faults
    assert any(f"results/{COST}" in each and CHANGES[change] in each for each in told), told


def test_the_memo_and_the_record_speak_of_one_production(copy):
    sponsor = make_sponsor({}).model_dump(mode="json")
    record = {"smoothcert": json.loads((copy / "results" / COST).read_text())["smoothcert"], "sponsor": sponsor}
    (copy / "results" / FIELDS).write_text(json.dumps({**record, "fields": {}, "tables": {}}))
    told = check_documents(open_run(copy)).faults
    assert f"results/{COST}: production is not the section that the memo was written with" in told


def test_the_page_has_a_table_a_device_and_no_markup_of_the_users(written):
    device = {"name": "<b>Fast</b>", "source": "<script>", "copies_per_second": 5}
    page = render(open_run(written), make_production({"devices": [device]}))
    assert page.count('class="numbers scenario"') == 2
    assert "<b>Fast</b>" not in page
    assert "&lt;b&gt;Fast&lt;/b&gt;" in page
    assert "Rate in each precision" in page


def test_a_run_without_a_decided_image_has_no_scenarios(tmp_path):
    run = memo_run(tmp_path / "run", images=4, drop=8)
    assert production_table(run).rows == ()
    assert "Re-certification after an update" not in render(run)


def test_tables_by_name(written):
    run = open_run(written)
    assert table_of(run, "rates").rows == (("fp32", "7", "yes"), ("fp16", "not on this device", "no"))
    few = table_of(run, "production", production=Production(studies_a_day=(10,)))
    assert {row[0] for row in few.rows} == {"once", "10"}


def test_the_record_is_the_same_again(written):
    run = open_run(written)
    assert cost_record(run, None) == cost_record(open_run(written), None)


def test_the_figure_steps_up_where_a_device_is_full():
    np = pytest.importorskip("numpy")
    from smoothcert.report.notebook.pictures import needed

    row = next(r for r in scenarios(BASIS, Production()) if r.task == "predict" and r.studies == 1_000)
    row = replace(row, hours=Amount(1.2, 1.0, 2.4, "extrapolated"))  # 1,000 studies take 1.2 hours
    low, value, high = needed(row, np.array([1_000, 10_000, 10_001]), utilisation=0.5)
    assert value.tolist() == [1, 1, 2]
    assert low.tolist() == [1, 1, 1]
    assert high.tolist() == [1, 2, 3]


@pytest.mark.parametrize("page", ["cost", "memo"])
def test_the_examples_of_the_documentation_are_read(page):
    from pathlib import Path

    from smoothcert.yaml_files import parse_yaml

    text = (Path(__file__).parents[2] / "docs" / f"{page}.md").read_text(encoding="utf-8")
    block = text.partition("```yaml\n")[2].partition("```")[0]
    production = make_sponsor(parse_yaml(block, page)).production
    assert production.here.name == "Reading-room PC"
    assert len(scenarios(BASIS, production)) > 10
