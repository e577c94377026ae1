"""The whole report: every file, in one call, from votes alone; refused before anything is written."""

import hashlib
import subprocess
import sys

import pytest

from factories import simulate_run
from refusals import refuses
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.events import REPORTED
from smoothcert.report import ReportOptions, write_report
from smoothcert.report import write as module
from smoothcert.report.documents import check_documents
from tampering import edit_lines

WRITTEN = {
    "results.csv",
    "results.json",
    "results.md",
    "results.tex",
    "certificates.parquet",
    "cost.json",
    "notebook.ipynb",
    "report.html",
    "memo.pdf",
    "memo-letter.pdf",
    "memo.docx",
    "risk_rows.csv",
    "requirements_trace.csv",
    "model-card.md",
    "memo_fields.json",
    "SHA256SUMS",
}


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    path = simulate_run(tmp_path_factory.mktemp("whole") / "run", images=24, k=(1, 2))
    steps = []
    return path, write_report(path, on_step=steps.append), steps


@pytest.mark.slow
def test_every_file_is_there_and_holds(reported):
    path, files, steps = reported
    results = path / "results"
    assert {file.name for file in files if file.parent == results} == WRITTEN
    assert all(file.is_file() for file in files)
    assert {file.suffix for file in files if file.parent.name == "figures"} == {".svg", ".png", ".json"}
    assert steps == [
        "results table",
        "certificates",
        "figures",
        "memo",
        "memo.docx",
        "notebook",
        "report.html",
        "rows and model card",
    ]
    assert check_documents(open_run(path)).faults == ()


@pytest.mark.slow
def test_the_checksums_are_those_of_the_files_and_the_event_quotes_them(reported):
    path, files, _ = reported
    sums = path / "results" / "SHA256SUMS"
    told = dict(reversed(line.split("  ")) for line in sums.read_text().splitlines())
    for file in files[:-1]:
        assert told[str(file.relative_to(path / "results"))] == hashlib.sha256(file.read_bytes()).hexdigest()
    last = RunDirectory(path).read_events()[-1]
    assert last.event == REPORTED
    assert last.facts["sha256sums"] == hashlib.sha256(sums.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_report_needs_no_torch(tmp_path):
    path = simulate_run(tmp_path / "run", images=6)
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from smoothcert.report import write_report\nfrom smoothcert.report.write import ReportOptions\n"
        f"write_report({str(path)!r}, ReportOptions(live=False))"
    )
    script = script.replace("write_report('", "from pathlib import Path; write_report(Path('").replace(
        "', ReportOptions", "'), ReportOptions"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    assert (path / "results" / "memo.pdf").is_file()


@pytest.mark.slow
def test_a_partial_run_is_reported_as_partial(tmp_path):
    path = simulate_run(tmp_path / "run", images=12, drop=3)
    write_report(path, ReportOptions(live=False))
    results = path / "results"
    assert "PARTIAL" in (results / "results.md").read_text()
    assert "PARTIAL" in (results / "report.html").read_text()
    assert check_documents(open_run(path)).faults == ()


@pytest.mark.slow
def test_a_run_with_subgroups_is_reported_and_holds(tmp_path):
    path = simulate_run(tmp_path / "run", images=60, subgroups={"sex": list("FM") * 30, "all": ["x"] * 60})
    names = {file.name for file in write_report(path, ReportOptions(live=False))}
    assert {"subgroups_k1_r0.1.csv", "subgroups_k1_r0.25.csv"} <= names
    assert check_documents(open_run(path)).faults == ()


def test_nothing_finished_nothing_reported(tmp_path):
    path = simulate_run(tmp_path / "run", images=4, drop=8)
    with refuses("E-RUN-077"):
        write_report(path)
    assert list((path / "results").iterdir()) == []


def test_changed_evidence_gets_no_document(tmp_path):
    path = simulate_run(tmp_path / "run", images=4)
    edit_lines(path, lambda records: records[0].update(label=(records[0]["label"] + 1) % 6))
    with refuses("E-RUN-078", match="not those that were sealed"):
        write_report(path)
    assert sorted(file.name for file in (path / "results").iterdir()) == ["results.json"]


def test_a_refused_sponsor_file_leaves_nothing_behind(tmp_path):
    path = simulate_run(tmp_path / "run", images=4)
    before = sorted((path / "results").iterdir())
    sponsor = tmp_path / "sponsor.yaml"
    sponsor.write_text("colour: blue\n")
    with refuses("E-INPUT-039", match="colour"):
        write_report(path, ReportOptions(sponsor=sponsor))
    assert sorted((path / "results").iterdir()) == before
    assert [event.event for event in RunDirectory(path).read_events()][-1] == "finish"


def test_a_run_that_is_being_written_is_refused(tmp_path):
    path = simulate_run(tmp_path / "run", images=4)
    with RunDirectory(path).locked(), refuses("E-RUN-046"):
        write_report(path)


def test_nobody_writes_the_run_from_before_it_is_read(tmp_path, monkeypatch):
    """A report that was suspended after reading would otherwise overwrite the documents of what came meanwhile."""
    path, seen = simulate_run(tmp_path / "run", images=4, drop=1), []

    def read(run):
        with refuses("E-RUN-046"), RunDirectory(path).locked():
            pass
        seen.append(len(run.ledger.lines))
        yield "It was read"

    monkeypatch.setattr(module, "damage", read)
    with refuses("E-RUN-078"):
        write_report(path)
    assert seen == [7]
    with RunDirectory(path).locked():  # and it is let go
        pass


def test_a_report_of_nothing_leaves_no_lock(tmp_path):
    with refuses("E-RUN-028"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_library_names_the_extra_before_anything_is_written(tmp_path, monkeypatch):
    path = simulate_run(tmp_path / "run", images=4)
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "typst" else object())
    with refuses("E-EXTRA-001", match="extra `report`"):
        write_report(path)
    assert sorted(file.name for file in (path / "results").iterdir()) == ["results.json"]
