"""`--final`: the memo without "draft", refused while anything is open; it stays unsigned, and verify holds it to it."""

import json
import shutil

import pytest

from report.memo_runs import FULL, PRIMARY, memo_run
from smoothcert.errors import InputError
from smoothcert.evidence import open_run
from smoothcert.report import ReportOptions, write_report
from smoothcert.report.documents import check_documents
from smoothcert.report.memo import FIELDS, Sponsor, make_memo, make_sponsor, write_memo
from smoothcert.report.memo.blocks import pieces
from smoothcert.report.memo.pdftext import page_texts
from smoothcert.report.word import write_docx
from smoothcert.report.write import log_documents

pytest.importorskip("typst")
pytest.importorskip("docx")
pytest.importorskip("pypdf")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = memo_run(tmp_path_factory.mktemp("final") / "run", images=12, primary=PRIMARY)
    results = run.directory.results
    memo = make_memo(run, make_sponsor(FULL), final=True)
    log_documents(run.directory, [*write_memo(run, results, memo), write_docx(run, results, memo)])
    return run.directory.path


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_a_final_memo_is_no_draft_and_not_signed(finished):
    memo = make_memo(open_run(finished), make_sponsor(FULL), final=True)
    assert memo.final
    assert memo.fields["status"].printed == "UNSIGNED"
    assert memo.fields["marks"].printed.startswith("UNSIGNED")
    assert "this tool signs nothing" in memo.fields["reasons"].printed
    first = " ".join(piece.text for piece in pieces(memo.pages[0]))
    assert "draft" not in first.lower()
    for text in page_texts((finished / "results" / "memo.pdf").read_bytes()):
        assert "UNSIGNED DRAFT" not in text
        assert "UNSIGNED" in text
    found = check_documents(open_run(finished))
    assert found.faults == ()
    assert {FIELDS, "memo.pdf", "memo.docx"} <= {*found.held}


@pytest.mark.parametrize("name", FULL)
def test_every_field_must_be_filled(finished, name):
    left = {field: value for field, value in FULL.items() if field != name}
    memo = make_memo(open_run(finished), make_sponsor(left), final=True)
    assert not memo.final
    assert name in " ".join(memo.gaps)
    assert memo.fields["status"].printed == "UNSIGNED DRAFT"


def test_roles_need_names(finished):
    approvals = [{"role": "Author", "name": "A. Example"}, {"role": "Approver"}]
    memo = make_memo(open_run(finished), make_sponsor({**FULL, "approvals": approvals}), final=True)
    assert any("Approver" in gap for gap in memo.gaps)


def test_a_partial_run_and_refused_wording_stay_drafts(finished, tmp_path):
    partial = memo_run(tmp_path / "run", images=12, primary=PRIMARY, drop=2)
    assert any("partial" in gap for gap in make_memo(partial, make_sponsor(FULL), final=True).gaps)
    memo = make_memo(open_run(finished), make_sponsor({**FULL, "device": "an immune reader"}), final=True)
    assert any("wording" in gap for gap in memo.gaps)


def test_a_refused_report_writes_nothing_and_lists_what_is_open(tmp_path):
    for library in ("jinja2", "nbclient", "jupytext", "pyarrow", "huggingface_hub"):
        pytest.importorskip(library)
    run = memo_run(tmp_path / "run", images=12, primary=PRIMARY)
    sponsor = tmp_path / "sponsor.yaml"
    sponsor.write_text("device: Reader\n")
    before = {*run.directory.path.rglob("*")}
    with pytest.raises(InputError) as refused:
        write_report(run.directory.path, ReportOptions(sponsor, live=False, final=True))
    assert refused.value.code == "E-INPUT-227"
    for name in Sponsor(device="Reader").open:
        assert name in str(refused.value)
    assert {path.name for path in {*run.directory.path.rglob("*")} - before} <= {"lock"}


@pytest.mark.slow
def test_a_record_that_claims_to_be_final_is_held_to_it(copy):
    path = copy / "results" / FIELDS
    record = json.loads(path.read_text())
    record["sponsor"]["device"] = None
    path.write_text(json.dumps(record))
    assert any("final, but" in each for each in check_documents(open_run(copy)).faults)


@pytest.mark.slow
def test_a_draft_that_claims_to_be_final_is_named(tmp_path):
    run = memo_run(tmp_path / "run", images=12, primary=PRIMARY)
    results = run.directory.results
    write_memo(run, results, make_sponsor(FULL))
    path = results / FIELDS
    path.write_text(json.dumps({**json.loads(path.read_text()), "final": True}))
    log_documents(run.directory, [results / name for name in (FIELDS, "memo.pdf", "memo-letter.pdf")])
    assert any("status" in each for each in check_documents(open_run(run.directory.path)).faults)
