"""Attempts of somebody who had the command and SECURITY.md alone, each of which once passed or hung."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refusals import refuses
from smoothcert.cli import main
from smoothcert.errors import InputError
from smoothcert.evidence import open_run
from smoothcert.evidence.directory import file_sha256
from smoothcert.report.documents import check_documents
from smoothcert.verify import verify
from smoothcert.yaml_files import parse_yaml, read_text

WRITTEN = Path(__file__).parents[1] / "golden" / "written"


def status(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(each) for each in arguments])
    return int(end.value.code or 0)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(WRITTEN / "merged", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "run"
    asked = ["--model", "demo", "--data", "synthetic:4", "--sigma", "0.25", "--radius", "0.25", "--n-max", "100"]
    assert status("certify", *asked, "--out", folder) == 0
    return folder


def test_the_environment_is_locked_with_the_spec(fresh, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(fresh, run)
    assert verify(run).passed
    record = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps({**record, "processor": "another"}))
    assert any("environment.json" in fault for fault in verify(run).faults)
    (run / "environment.json").unlink()
    assert any("environment.json" in fault for fault in verify(run).faults)


def test_a_signature_that_was_not_checked_is_said_to_be_so(copy, capsys):
    (copy / "evidence.sig").write_text("signed by somebody")
    assert status("verify", copy) == 0
    assert "evidence.sig: not checked" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["evidence.sig", "lock.sig"])
def test_signatures_are_no_links_and_no_pipes(copy, tmp_path, name):
    (tmp_path / "elsewhere").write_text("")
    (copy / name).symlink_to(tmp_path / "elsewhere")
    assert status("verify", copy) == 1
    (copy / name).unlink()
    os.mkfifo(copy / name)
    assert status("verify", copy) == 1


def test_settings_files_sign_nothing_and_name_no_others(tmp_path, capsys):
    for line in ("sign_lock: key", "config: other.yml", "<<: {alpha: 0.1}"):
        (tmp_path / "c.yml").write_text(f"model: demo\ndata: synthetic:4\nsigma: 0.25\n{line}\n")
        assert status("certify", "--config", tmp_path / "c.yml", "--print-config") == 2


def test_merge_keys_are_refused_wherever_they_stand():
    for text in ("<<: {a: 1}\nb: 2", "a:\n  - {<<: {b: 1}}"):
        with refuses("E-INPUT-050"):
            parse_yaml(text, "x.yml")
    assert parse_yaml('a: "<<"', "x.yml") == {"a": "<<"}


def test_pipes_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "c.yml")
    os.mkfifo(tmp_path / "w.pt")
    with pytest.raises(InputError):
        read_text(tmp_path / "c.yml", 100)
    code = "from smoothcert.cli import main; import sys; main(sys.argv[1:])"
    asked = ["certify", "--model", tmp_path / "w.pt", "--arch", "resnet8", "--data", "synthetic:4", "--sigma", "0.25"]
    done = subprocess.run([sys.executable, "-c", code, *map(str, asked), "--out", str(tmp_path / "r")], timeout=120)
    assert done.returncode == 2


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """Faults and notes of documents, one of which nobody wrote and one of which claims any size."""
    run = tmp_path_factory.mktemp("checked") / "run"
    shutil.copytree(WRITTEN / "plain", run)
    (run / "results" / "memo_final.pdf").write_bytes(b"%PDF-1.4 all certified")
    os.truncate(run / "results" / "results.csv", 2**42)  # takes no disk
    return check_documents(open_run(run))


def test_a_document_nobody_wrote_is_not_said_to_be_in_the_log(checked):
    (note,) = (note for note in checked.notes if "memo_final.pdf" in note)
    assert "did not write" in note


def test_a_document_beyond_any_size_is_not_hashed(checked):
    assert any("results.csv" in fault for fault in checked.faults)


def test_a_bundle_beyond_any_size_is_not_hashed(fresh, tmp_path):
    assert status("bundle", fresh, "--out", tmp_path / "b", "--n", "100") == 0
    assert status("verify", fresh, "--bundle", tmp_path / "b") == 0
    record = json.loads((tmp_path / "b" / "bundle.json").read_text())
    for name in ("README.md", "weights.safetensors"):
        shutil.copytree(tmp_path / "b", tmp_path / name)
        os.truncate(tmp_path / name / name, 2**42)
        assert status("verify", fresh, "--bundle", tmp_path / name) == 1
    changed = tmp_path / "changed"
    shutil.copytree(tmp_path / "b", changed)
    for key, value in (("own", False), ("state_sha256", "sha256:" + "0" * 64)):
        other = {**record, "model": {**record["model"], key: value}}
        (changed / "bundle.json").write_text(json.dumps(other, indent=1, sort_keys=True) + "\n")
        sums = [f"{file_sha256(path)}  {path.name}" for path in sorted(changed.iterdir()) if path.name != "SHA256SUMS"]
        (changed / "SHA256SUMS").write_text("\n".join(sums) + "\n")
        assert status("verify", fresh, "--bundle", changed) == 1
