"""The memo as data: every number is a field's, a table's or a reviewed text's; claims follow the rules of the run."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from scipy.stats import beta, binom

from factories import make_forecast
from report.memo_runs import CRITERIA, FULL, OVERLONG, PRIMARY, memo_run
from smoothcert.evidence import open_run
from smoothcert.evidence.events import FINISHED, append_event
from smoothcert.evidence.run import PLANNED, named_entries
from smoothcert.report import claims
from smoothcert.report import claims as guarantees
from smoothcert.report.memo import make_memo, make_sponsor, memo_fields, text
from smoothcert.report.memo.blocks import DOWN, NEAREST, UP, Heading, pieces
from smoothcert.report.memo.build import printed_pages
from smoothcert.report.memo.text import references

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
KINDS = {
    "plain": {},
    "named": {"primary": PRIMARY, "criteria": CRITERIA},
    "partial": {"drop": 5},
    "float": {"noise": "float"},
    "unattainable": {"radius": "3,4"},
    "several k": {"k": "1,3"},
    "named k": {"k": "1,3", "primary": {**PRIMARY, "k": 3}},
    "grouped": {"groups": 8},
    "nothing certified": {"p": 0.2},
    "everything certified": {"p": 0.9999, "radius": "0.1"},
    "one image": {"images": 1, "classes": 2},
    "denoised": {"denoiser": "nets:denoiser"},
}


def fields_of(tmp_path, sponsor=None, **request):
    return make_memo(memo_run(tmp_path / "run", **request), make_sponsor(sponsor or {}))


def texts(memo):
    return " ".join(piece.text for page in memo.pages for piece in pieces(page))


@pytest.fixture(params=KINDS)
def kind(request, tmp_path):
    return make_memo(memo_run(tmp_path / "run", **{"images": 16, **KINDS[request.param]}), make_sponsor(FULL))


def test_every_number_comes_from_a_field_a_table_or_the_reviewed_text(kind):
    constants = [value for value in vars(text).values() if isinstance(value, str)]
    constants += [part for row in (*text.STANDARDS, *sum(text.LAWS.values(), ())) for part in row]
    constants += [
        part
        for row in (*guarantees.ROWS, *guarantees.ARITHMETIC.values(), *guarantees.DENOISED.values())
        for part in row
    ]
    constants += [*references(), claims.ONE_SUPPLY, *guarantees.HEADINGS]
    constants += [block.number for page in kind.pages for block in page if isinstance(block, Heading)]
    constants += [f"Page {i} of 4" for i in range(1, 5)]
    known = [field.printed for field in kind.fields.values()] + constants
    known += [entry for table in kind.tables.values() for row in (table.headings, *table.rows) for entry in row]
    allowed = {number for each in known for number in NUMBER.findall(each)}
    for page in printed_pages(kind):
        assert {number for piece in page for number in NUMBER.findall(piece.text)} <= allowed


def test_no_placeholder_is_left(kind):
    assert not re.search(r"[{}]", texts(kind))


def test_bounds_are_rounded_to_their_side(kind):
    for name, field in kind.fields.items():
        if field.rule not in (DOWN, UP, NEAREST) or not re.fullmatch(r"-?[\d.,]+", field.printed):
            continue
        printed = float(field.printed.replace(",", ""))
        scaled = [field.value, 100 * field.value]
        unit = 10.0 ** -len(field.printed.partition(".")[2])
        near = min(scaled, key=lambda value: abs(value - printed))
        assert abs(near - printed) <= unit, name
        assert field.rule != DOWN or printed <= near, name
        assert field.rule != UP or printed >= near, name


def test_the_numbers_of_the_claim_sentences_are_fields(kind):
    if "cell_certified" not in kind.fields:
        return
    printed = {field.printed for field in kind.fields.values()} | {"95"}
    for name in ("observed", "sample", "population"):
        sentence = re.sub(r"sigma [\d.]+|k = \d+|\d+ most probable|L2|section 3", "", kind.fields[name].printed)
        assert set(NUMBER.findall(sentence)) <= printed, name


def test_the_claims_of_a_named_cell_by_scipy_alone(tmp_path):
    run = memo_run(tmp_path / "run", images=40, primary=PRIMARY)
    fields = memo_fields(run, make_sponsor(FULL))
    s = int(run.certificates(0.5, 1).certified_correct(0.25).sum())
    m, alpha = 40, 0.001
    low, high = beta.ppf(0.025, s, m - s + 1), beta.ppf(0.975, s + 1, m - s) if s < m else 1
    assert fields["cell_certified"].printed == str(s)
    assert fields["cell_low"].value == pytest.approx(low, abs=1e-6)
    assert fields["cell_high"].value == pytest.approx(high, abs=1e-6)
    assert fields["cell_m_bad"].value == binom.ppf(0.95, m, alpha)
    assert fields["cell_sample"].value == s - binom.ppf(0.95, m, alpha)
    assert fields["cell_bound"].value == pytest.approx((beta.ppf(0.05, s, m - s + 1) - alpha) / (1 - alpha), abs=1e-6)
    assert "for all entries of the run together" not in fields["population"].printed


def test_without_a_named_entry_the_first_attainable_one_gets_its_joint_bound_only(tmp_path):
    memo = fields_of(tmp_path, FULL, radius="0.6,0.7", sigma="0.25,0.5")
    assert memo.fields["claim_heading"].printed == (
        "No primary entry was named before the run, so the joint bounds apply. Shown is the first attainable entry in "
        "the order of the run: sigma 0.5, r = 0.6, k = 1"
    )
    assert "for all entries of the run together" in memo.fields["population"].printed
    assert memo.fields["cell_bound"].value == memo.tables["results"].records[2]["joint"]
    assert memo.fields["criteria_words"].printed == text.DESCRIPTIVE


def test_the_first_criterions_entry_is_shown_where_no_primary_is_named(tmp_path):
    memo = fields_of(tmp_path, FULL, criteria=CRITERIA)
    assert memo.fields["cell_words"].printed == "sigma 0.5, r = 0.25, k = 1"
    assert "Primary entry, named before the first image" in memo.fields["claim_heading"].printed
    assert memo.fields["criteria_words"].printed == (
        "Acceptance criteria fixed before the first image: 2; 1 met, 1 NOT MET (section 8)."
    )
    assert [row[-1] for row in memo.tables["criteria"].rows] == ["met", "NOT MET"]


def test_of_many_criteria_those_not_met_are_shown(tmp_path):
    many = [{**PRIMARY, "at_least": 0.3 + 0.01 * i} for i in range(15)] + [CRITERIA[1]]
    memo = fields_of(tmp_path, criteria=many)
    assert "NOT MET" in [row[-1] for row in memo.tables["criteria"].rows]
    assert memo.fields["criteria_note"].printed.startswith("5 of 16 criteria")


def test_a_partial_run_says_so_on_every_page_and_claims_no_population(tmp_path):
    memo = fields_of(tmp_path, FULL, drop=5, primary={**PRIMARY, "sigma": 0.25}, criteria=CRITERIA)
    for page in printed_pages(memo):
        assert "PARTIAL: 5 of 80 results missing · NOT SEALED" in page[0].text
    assert memo.fields["population"].printed == text.PARTIAL
    assert "cell_bound" not in memo.fields
    assert {row[8:10] for row in memo.tables["results"].rows} == {("partial run", "partial run")}
    assert {row[-1] for row in memo.tables["criteria"].rows} == {"undecided"}
    assert "the run is not sealed" in memo.fields["reasons"].printed


def test_dependent_images_get_no_population_claim(tmp_path):
    stated = {"statement": "Five images a patient", "independent": False, "sampling": "random"}
    memo = fields_of(tmp_path, {"independence": stated}, criteria=CRITERIA)
    assert "not independent draws" in memo.fields["population"].printed
    assert "No interval is given" in memo.fields["observed"].printed
    assert {row[8:10] for row in memo.tables["results"].rows} == {("withheld", "withheld")}
    assert {row[-1] for row in memo.tables["criteria"].rows} == {"undecided"}


@pytest.mark.parametrize(
    ("sampling", "mix"),
    [("random", ""), ("consecutive", ""), ("class-stratified", "class by class")],
)
def test_the_population_sentence_bears_its_condition(tmp_path, sampling, mix):
    stated = {"statement": "One a patient", "independent": True, "sampling": sampling}
    memo = fields_of(tmp_path, {"population": "Adults", "independence": stated})
    assert memo.fields["population"].printed.startswith("If the 40 images are independent draws from the population")
    condition = memo.fields["condition"].printed
    assert ("this class mix" in condition) == bool(mix)
    assert mix in condition
    assert condition.startswith(text.CONDITION_STATED)


def test_groups_are_what_the_population_bound_is_about(tmp_path):
    memo = fields_of(tmp_path, FULL, groups=8)
    assert "the 8 groups (one random image of each) are independent draws" in memo.fields["population"].printed
    assert "The images come in 8 groups" in memo.fields["statistics"].printed


def test_an_unattainable_cell_is_never_zero_percent(tmp_path):
    memo = fields_of(tmp_path, radius="3,4", primary={**PRIMARY, "radius": 3.0})
    assert "r = 3 is not attainable" in memo.fields["observed"].printed
    assert memo.fields["population"].printed == memo.fields["sample"].printed == ""
    assert all("not attainable (R_max" in row[5] for row in memo.tables["results"].rows)
    assert not re.search(r"\b0\.0 %", texts(memo).replace("100.0 %", ""))


@pytest.mark.parametrize("request_", [{"noise": "float"}, {"equal": False}])
def test_arithmetic_that_is_not_covered_is_named_on_page_1(tmp_path, request_):
    memo = fields_of(tmp_path, **request_)
    assert text.NOT_COVERED in memo.fields["warnings"].value
    assert "Computer arithmetic: not covered" in memo.fields["arithmetic"].printed
    assert "not covered" in memo.tables["guarantees"].rows[-1][1]


def test_synthetic_and_demonstration_are_named_on_page_1_and_at_every_head(tmp_path):
    memo = fields_of(tmp_path, {"demonstration": True}, data={"reference": "synthetic:40"}, model="demo")
    assert text.SYNTHETIC in memo.fields["warnings"].value
    assert "SYNTHETIC IMAGES · DEMONSTRATION DATA" in memo.fields["marks"].printed


@pytest.mark.parametrize(
    ("smoothing", "expected"),
    [
        ({"in_release": False}, text.NOT_RELEASED),
        ({"in_release": True, "sigma": 0.3, "copies": 10}, "sigma 0.3, which this run did not test"),
        ({"in_release": True, "sigma": 0.5, "copies": 10}, "sigma 0.5: read the rows of that sigma"),
        ({"in_release": True, "sigma": 0.25, "copies": 10}, ""),
    ],
)
def test_the_released_build_is_held_against_what_was_tested(tmp_path, smoothing, expected):
    assert expected in fields_of(tmp_path, {"smoothing": smoothing}).fields["warnings"].printed


def test_evidence_that_does_not_verify_gets_no_claim(tmp_path):
    run = memo_run(tmp_path / "run")
    append_event(run.directory.events, FINISHED, lines=3, ledger_sha256="0" * 64)
    memo = make_memo(run, make_sponsor(FULL))
    page = " ".join(piece.text for piece in pieces(memo.pages[0]))
    assert "no claim is stated on this page. First fault: events.jsonl: " in page
    assert "were certified-correct" not in page
    assert "EVIDENCE DOES NOT VERIFY" in memo.fields["marks"].printed
    assert memo.fields["reasons"].value[0] == "the evidence does not verify"


def test_a_spec_that_was_not_locked_first_names_no_primary(tmp_path):
    run = memo_run(tmp_path / "run", criteria=CRITERIA, primary=PRIMARY)
    ledger = run.directory.ledger / "local-0.jsonl"
    ledger.write_text(re.sub(r'"at":"[^"]*"', '"at":"1999-01-01T00:00:00Z"', ledger.read_text()))
    memo = make_memo(type(run)(run.directory, run.spec, run.directory.read_ledger()), make_sponsor(FULL))
    assert "No primary entry was named before the run" in memo.fields["claim_heading"].printed
    assert memo.fields["criteria_words"].printed == text.DESCRIPTIVE
    assert memo.tables["criteria"].rows == ()
    assert memo.fields["locked_words"].printed == text.NOT_LOCKED_FIRST


@pytest.mark.parametrize("before", [True, False])
def test_an_entry_chosen_after_a_pilot_gets_the_joint_bound_only(tmp_path, before):
    run = memo_run(tmp_path / "run", primary=PRIMARY)
    forecast = make_forecast(run.spec)
    if before:
        forecast = replace(forecast, settings=forecast.settings | named_entries(run.spec))
    append_event(run.directory.events, PLANNED, forecast=forecast.to_record())
    memo = memo_fields(open_run(tmp_path / "run"), make_sponsor(FULL))
    assert ("for all entries of the run together" in memo["population"].printed) == (not before)
    assert ("Primary entry, named before the first image" in memo["claim_heading"].printed) == before
    assert "Before that, a plan drew 300 noise samples of 3 of these images" in memo["locked_words"].printed


def test_open_sponsor_fields_are_counted_and_the_status_never_changes(tmp_path):
    run = memo_run(tmp_path / "run")
    assert memo_fields(run, make_sponsor({}))["open_fields"].printed == "18"
    filled = memo_fields(run, make_sponsor(FULL))
    assert filled["open_fields"].printed == "0"
    assert filled["status"].printed == "UNSIGNED DRAFT"
    assert filled["reasons"].printed == "it is not signed, and this tool signs nothing"


def test_production_is_priced_by_the_sponsor_or_not_at_all(tmp_path):
    run = memo_run(tmp_path / "run", images=16)
    priced, open_ = (make_memo(run, make_sponsor(given)) for given in (FULL, {}))
    assert priced.tables["cost"].headings[-1] == "certify: price"
    assert "price" not in " ".join(open_.tables["cost"].headings)
    assert open_.fields["price_row"].printed.startswith("[SPONSOR TO COMPLETE: studies per day, devices, and the price")
    assert priced.fields["price_row"].printed == "2.40 EUR, 2026-10-01; Reader: a quote"
    assert "prices in EUR" in priced.fields["cost_note"].printed
    # one device held for 24 hours at 2.40 an hour is the least there is to pay
    assert {row[4] for row in priced.tables["cost"].rows[:1]} == {"57.60"}


def test_a_device_without_a_price_asks_for_it(tmp_path):
    device = {"name": "Accelerator", "source": "assumed", "copies_per_second": 2e5, "watts": 500}
    memo = fields_of(tmp_path, {"production": {"devices": [device]}})
    assert memo.fields["price_row"].printed == "[SPONSOR TO COMPLETE: price per device-hour, with its date]"
    assert "the sponsor's stated 200,000 samples per second" in memo.fields["cost"].printed
    assert "on Accelerator" in memo.fields["cost_note"].printed
    assert all("unknown" not in row for row in memo.tables["cost"].rows)  # energy from the stated power


def test_energy_that_no_device_reported_is_unknown_in_the_memo(tmp_path):
    memo = fields_of(tmp_path)
    assert "energy unknown" in memo.fields["cost"].printed
    at = [i for i, name in enumerate(memo.tables["cost"].headings) if name.endswith("energy")]
    assert {row[i] for row in memo.tables["cost"].rows for i in at} == {"unknown"}


def test_of_a_thousand_classes_the_twelve_lowest_are_shown(tmp_path):
    names = {"class_names": tuple(f"kind {c}" for c in range(1000)), "class_counts": (40, *[0] * 999)}
    run = memo_run(tmp_path / "run", images=40, classes=2)
    spec = run.spec.model_copy(update={"data": run.spec.data.model_copy(update=names)})
    memo = make_memo(type(run)(run.directory, spec, run.ledger), make_sponsor({}))
    assert len(memo.tables["classes"].rows) <= 12
    assert "1,000 classes of 0 to 40 images" in memo.tables["item_facts"].rows[1][1]
    assert "of 1,000 classes, those with the lowest share" in memo.fields["class_note"].printed


def test_hashes_are_printed_in_full_once(tmp_path):
    rows = dict(fields_of(tmp_path).tables["hashes"].rows)
    assert list(rows)[4:] == ["weights, sigma 0.25, 0.5", "code that sampled"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", sha) for sha in rows.values())


def test_machines_folders_are_not_printed(tmp_path):
    reference = {"reference": "/home/somebody/private/images.npz#test"}
    assert "/home" not in texts(fields_of(tmp_path, data=reference))


@pytest.mark.parametrize("sponsor", [{}, FULL, OVERLONG])
def test_the_same_run_gives_the_same_memo(tmp_path, sponsor):
    run = memo_run(tmp_path / "run", images=12)
    one, two = (json.dumps(make_memo(run, make_sponsor(sponsor)).record()) for _ in range(2))
    assert one == two


def test_neither_torch_nor_typst_is_needed_for_the_fields(tmp_path):
    memo_run(tmp_path / "run", images=4)
    code = f"""
import sys
from smoothcert.evidence import open_run
from smoothcert.report.memo import memo_fields, read_sponsor
memo_fields(open_run({str(tmp_path / "run")!r}), read_sponsor(None))
sys.exit(any(name in sys.modules for name in ("torch", "typst", "pypdf", "matplotlib")))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
