"""What may be said depends on what the sponsor states: no population, no interval, no finding without it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import make_line, make_spec
from report.memo_runs import CRITERIA, FULL, PRIMARY, memo_run
from smoothcert.config import Stated
from smoothcert.evidence import Run
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.results import verdicts
from smoothcert.report import claims, results_table
from smoothcert.report.memo import FIELDS, make_memo, make_sponsor
from smoothcert.report.memo.build import printed_pages
from smoothcert.report.memo.sponsor import as_stated
from smoothcert.report.results import results_texts
from smoothcert.report.tables import criteria_table

STATED = st.builds(Stated, st.booleans(), st.sampled_from((True, False, "grouped", None)))
SENTENCE = "with probability at least 95 %, taken jointly over which images were drawn"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return memo_run(tmp_path_factory.mktemp("stated") / "run", primary=PRIMARY, criteria=CRITERIA)


@given(STATED)
def test_no_population_sentence_without_a_population(run, stated):
    here = replace(run, stated=stated)
    supported = stated.described and stated.independent is True
    for entry in here.results():
        assert (SENTENCE in claims.population(entry, False, here)) == supported
    for text in results_texts(here).values():
        assert SENTENCE not in text
    assert ("no statement about a population" in results_texts(here)["results.md"]) != (
        supported or stated.independent in (False, "grouped")
    )


@given(STATED)
def test_a_bound_that_reaches_its_threshold_is_a_finding_only_where_it_is_supported(run, stated):
    reached, missed = verdicts(run.spec, run.results(), stated)
    supported = stated.described and stated.independent is True
    denied = stated.independent in (False, "grouped")
    assert reached.met is (True if supported else None)
    assert missed.met is (None if denied else False)
    assert ("not a finding" in reached.reached) == (not supported and not denied)
    assert (reached.joint is None) == denied


@given(STATED)
def test_an_interval_bears_its_condition_or_is_withheld(run, stated):
    here = replace(run, stated=stated)
    withheld = stated.independent in (False, "grouped")
    table = results_table(here.results(), here)
    at = table.headings.index("95 % interval if independent")
    assert {row[at] == "withheld" for row in table.rows if not row[4].startswith("not")} == {withheld}
    assert all((record["low"] is None) == withheld for record in table.records if record["attainable"])
    (entry,) = (entry for entry in here.results() if (entry.sigma, entry.radius) == (0.5, 0.25))
    said = claims.observed(entry, here)
    assert ("Clopper-Pearson interval of the share, if the images are independent draws" in said) != withheld


def test_images_that_repeat_have_no_interval():
    spec = make_spec((0, 0, 0), looks=(1000,), stopping="fixed", radius="0.25")
    lines = [replace(make_line(i, 0, {0: 100}, [{0: 1000}]), image=f"sha256:{i // 2}") for i in range(3)]
    run = Run(None, spec, Ledger(tuple(lines)))
    (entry,) = run.results()
    assert run.no_interval == "images repeat: 1 of 3"
    assert "No interval is given: images repeat: 1 of 3." in claims.observed(entry, run)
    assert "images repeat" in claims.population(entry, False, replace(run, stated=Stated(True, True)))


def test_all_criteria_are_printed_with_the_joint_bound(run):
    table = criteria_table(run)
    assert [row[-1] for row in table.rows] == ["undecided", "NOT MET"]
    assert all(float(row[2]) > 0 for row in table.rows)
    assert "Of 2 criteria: 1 NOT MET, 1 undecided." in table.note
    assert [row[-1] for row in criteria_table(replace(run, stated=Stated(True, True))).rows] == ["met", "NOT MET"]


@pytest.mark.parametrize("left_out", ["population", "independence"])
def test_the_memo_withholds_what_is_not_supported(run, left_out):
    sponsor = make_sponsor({name: value for name, value in FULL.items() if name != left_out})
    whole = " ".join(piece.text for page in printed_pages(make_memo(run, sponsor)) for piece in page)
    assert SENTENCE not in whole
    assert "not a finding" in whole
    assert SENTENCE in " ".join(
        piece.text for page in printed_pages(make_memo(run, make_sponsor(FULL))) for piece in page
    )


def test_tables_know_what_the_last_report_was_told(run):
    folder = run.directory.results
    folder.mkdir(exist_ok=True)
    assert as_stated(run).stated == Stated()
    (folder / FIELDS).write_text(json.dumps({"sponsor": FULL}))
    stated = as_stated(run).stated
    assert (stated.described, stated.independent, stated.deviations) == (True, True, FULL["deviations"])
    (folder / FIELDS).write_text("{")
    assert as_stated(run).stated == Stated()
