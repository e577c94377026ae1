"""Files for other systems: rows for a risk file, the trace of requirements, the model card; and what verify finds."""

import csv
import io
import shutil

import pytest

from report.memo_runs import CRITERIA, FULL, PRIMARY, memo_run
from smoothcert.evidence import open_run
from smoothcert.report.documents import check_documents
from smoothcert.report.filing import CARD, RISKS, TRACE, filing_texts, write_filing
from smoothcert.report.memo import make_memo, make_sponsor, write_memo
from smoothcert.report.memo.text import LAWS, STANDARDS
from smoothcert.report.write import log_documents
from smoothcert.yaml_files import parse_yaml

pytest.importorskip("typst")
hub = pytest.importorskip("huggingface_hub")


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def texts_of(run, **sponsor):
    return filing_texts(run, make_memo(run, make_sponsor({**FULL, **sponsor})))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = memo_run(tmp_path_factory.mktemp("filing") / "run", images=12, primary=PRIMARY, criteria=CRITERIA, k=(1, 2))
    results = run.directory.results
    memo = make_memo(run, make_sponsor(FULL))
    log_documents(run.directory, [*write_memo(run, results, memo), *write_filing(run, results, memo)])
    return run.directory.path


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_counts_of_the_risk_rows_add_up_and_have_their_condition(finished):
    run = open_run(finished)
    entry = next(each for each in run.results() if (each.sigma, each.k, each.radius) == (0.5, 1, 0.25))
    rows = {row["topic"]: row for row in rows_of(texts_of(run)[RISKS])}
    assert rows["image with a certificate"]["count"] == f"{entry.certified} of 12 images"
    assert rows["image without a certificate"]["count"] == f"{12 - entry.certified} of 12 images"
    assert rows["another class than the supplied label"]["count"] == f"{entry.wrong} of 12 images"
    for row in rows.values():
        assert not row["count"] or ("sigma 0.5, r = 0.25" in row["condition of the count"])
        assert not any(row[each] for each in ("risk id", "severity", "probability", "control"))
    assert {"kind of perturbation", "arithmetic"} <= {*rows}


def test_the_trace_judges_criteria_and_no_provision(finished):
    rows = rows_of(texts_of(open_run(finished))[TRACE])
    assert [row["source"] for row in rows[:2]] == ["acceptance criterion of this run"] * 2
    assert {row["verdict"] for row in rows[:2]} <= {"met", "NOT MET", "undecided"}
    assert {row["verdict"] for row in rows[2:]} == {"none given"}
    assert 0 < len(rows) - 2 <= len(LAWS["IVDR"]) + len(STANDARDS)


def test_criteria_that_are_withheld_are_undecided(finished):
    stated = {"statement": "several of one patient", "independent": False, "sampling": "random"}
    rows = rows_of(texts_of(open_run(finished), independence=stated)[TRACE])
    assert [row["verdict"] for row in rows[:2]] == ["undecided"] * 2


def test_a_partial_run_counts_images_without_a_result(tmp_path):
    run = memo_run(tmp_path / "run", images=12, primary=PRIMARY, criteria=CRITERIA, drop=5)
    texts = texts_of(run)
    assert any(row["topic"] == "image without a result" for row in rows_of(texts[RISKS]))
    assert {row["verdict"] for row in rows_of(texts[TRACE])[:2]} == {"undecided"}
    names = [each.metric_name for each in hub.ModelCard(texts[CARD]).data.eval_results]
    assert any("5 images without a result" in name for name in names)


def test_the_card_is_read_by_the_library_and_each_number_has_its_condition(finished):
    run = open_run(finished)
    card = hub.ModelCard(texts_of(run)[CARD], ignore_metadata_errors=False)
    entries = [each for each in run.results() if each.attainable]
    results = card.data.eval_results
    assert len(results) == len(entries)
    for result, entry in zip(results, entries, strict=True):
        assert result.metric_type == "certified_accuracy"
        assert 0 <= entry.certified / 12 - result.metric_value < 1e-4
        assert result.metric_args["certified"] == entry.certified
        for condition in ("r = ", "sigma ", "k = ", "noise samples per image", "alpha = ", "12 images"):
            assert condition in result.metric_name
    assert "validate" not in card.text


def test_names_from_the_data_are_text(finished):
    text = texts_of(open_run(finished), device="---\nlicense: mit\n=1+1 | <b>x</b>")[CARD]
    facts = parse_yaml(text.split("---\n", 2)[1], CARD)
    assert "license" not in facts
    assert "\\<b>" in text


def test_unchanged_files_hold_and_are_the_same_again(copy):
    found = check_documents(open_run(copy))
    assert found.faults == ()
    assert {RISKS, TRACE, CARD} <= {*found.held}


def forged(name, old, new):
    def change(results):
        text = (results / name).read_text()
        assert old in text
        (results / name).write_text(text.replace(old, new, 1))

    return name, change


MUTATIONS = {
    "a count of the risk rows": forged(RISKS, " of 12 images", "1 of 12 images"),
    "a verdict": forged(TRACE, ",none given,", ",met,"),
    "a number of the metadata": forged(CARD, "certified: ", "certified: 1"),
    "a value of the metadata": forged(CARD, "value: 0", "value: 1"),
    "a number of the card's table": forged(CARD, "/12 |", "/11 |"),
    "metadata that are none": forged(CARD, "---\n", "...\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("other", [False, True], ids=["same code", "other code"])
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_forgery_with_a_matching_log_is_named(copy, mutation, other):
    from report.test_report_documents_mutated import as_by_other_code, rechain

    name, change = MUTATIONS[mutation]
    change(copy / "results")
    if other:
        as_by_other_code(copy)
    rechain(copy)
    found = check_documents(open_run(copy))
    assert any(each.startswith(f"results/{name}") for each in found.faults), found


def test_the_sponsors_columns_may_be_filled_in_a_copy_alone(copy):
    path = copy / "results" / RISKS
    path.write_text(path.read_text().replace(",,,,\n", ",R-1,,,\n", 1))
    assert any(RISKS in each for each in check_documents(open_run(copy)).faults)
