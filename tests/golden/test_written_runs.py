"""Runs that version 0.1.0 wrote: their hashes never move, and every later version verifies, reads and resumes them."""

import hashlib
import shutil
from pathlib import Path

import pytest

from smoothcert import version
from smoothcert.evidence import open_run
from smoothcert.report.documents import check_documents
from smoothcert.verify import verify

WRITTEN = Path(__file__).parent / "written"
SPECS = {
    "plain": "6351e1b0e849071e88213c1e4584fdef115655738c49fe93dda50745b85a87e7",
    "merged": "85cbd940ac176e4d9059cd2df5a2644e64c1dc379027cab5e0b99e005fe9e6c2",
    "interrupted": "0b1bb6b7cdefe9e822e4e60bb83ae53e8e2bf03800ec74c29678aa1a56cf02dd",
}
LEDGERS = {
    "plain": "fabcb101cf4e24d3d8fbd3fd6386ec6bc13fb5eddae8ebb80252c79857b94b07",
    "merged": "6105620d2ec4296c21d098244249666c658d9c30dc11a501293ae9db71fee407",
}
FINISHED = "4e02dcc1ff34b7680982a33884d58a2faf09310b3c0df14fd22ff0a4bb9fe65f"
"""Ledger hash of the interrupted run once version 0.1.0 had finished it."""


@pytest.mark.parametrize("name", SPECS)
def test_spec_hash_does_not_move(name: str) -> None:
    run = open_run(WRITTEN / name)
    assert hashlib.sha256((WRITTEN / name / "spec.json").read_bytes()).hexdigest() == SPECS[name]
    assert run.spec.sha256() == SPECS[name]


@pytest.mark.parametrize("name", LEDGERS)
def test_ledger_hash_does_not_move(name: str) -> None:
    run = open_run(WRITTEN / name)
    assert run.sealed
    assert run.ledger.sha256() == LEDGERS[name]


@pytest.mark.parametrize("name", SPECS)
def test_evidence_verifies(name: str) -> None:
    assert verify(WRITTEN / name).faults == ()


@pytest.mark.parametrize("as_version", [pytest.param("0.1.0", marks=pytest.mark.slow), "9.9.9"])
def test_documents_hold_in_any_version(as_version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "__version__", as_version)
    found = check_documents(open_run(WRITTEN / "plain"))
    assert found.faults == ()
    assert {"memo_fields.json", "results.csv", "certificates.parquet", "report.html", "memo.pdf"} <= {*found.held}
    assert any("memo.pdf" in told for told in found.notes)  # its wording, as other code wrote it
    assert not any("results.json" in told for told in found.notes)  # a form that is known whole


@pytest.mark.slow
def test_interrupted_run_is_finished_with_the_same_votes(tmp_path: Path) -> None:
    from smoothcert.engine.run import resume

    folder = tmp_path / "run"
    shutil.copytree(WRITTEN / "interrupted", folder)
    before = open_run(folder)
    assert before.missing > 0
    resume(before.directory, {})
    after = open_run(folder)
    assert after.sealed
    assert after.ledger.sha256() == FINISHED
    assert verify(folder).faults == ()
