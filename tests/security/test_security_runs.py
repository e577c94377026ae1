"""Hostile run directories and files of counts: each verb works, or refuses with a sentence; never another error."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import error_of, make_run
from smoothcert.cli import main
from smoothcert.errors import EvidenceError
from smoothcert.evidence import open_run
from smoothcert.report.plan.write import read_plan

from .hostile import many, spoiled, strange, written

COUNTS = b"3 4 5 0\n1 2 9 2\n"
LOG = b"idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.5\t1\t0:00:01\n1\t1\t-1\t0.0\t0\t0:00:01\n"
VERBS = (["status"], ["table"], ["table", "--format", "csv", "--radius", "0.3"], ["verify"])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sealed run."""
    return make_run(
        tmp_path_factory.mktemp("sound") / "run", images=8, subgroups={"sex": ["f", "m"] * 4}
    ).directory.path


def ends(capsys: pytest.CaptureFixture[str], *arguments: str) -> int:
    """The exit status of a verb: what it says on refusing is one line without escapes of its own."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    if left.value.code == 2:
        assert said.err.count("\n") == 1, said.err[:500]
    return int(left.value.code or 0)


@pytest.mark.parametrize("name", ["spec.json", "environment.json"])
@many
@given(data=st.data())
def test_documents_of_a_run(sound, tmp_path, capsys, name, data):
    run = copied(sound, tmp_path)
    document = json.loads((run / name).read_bytes())
    (run / name).write_bytes(data.draw(strange(document).map(written) | spoiled(written(document, indent=1))))
    for verb, *flags in VERBS:
        assert ends(capsys, verb, str(run), *flags) in (0, 1, 2)


@pytest.mark.parametrize("name", ["ledger/local-0.jsonl", "events.jsonl"])
@many
@given(data=st.data())
def test_lines_of_a_run(sound, tmp_path, capsys, name, data):
    run = copied(sound, tmp_path)
    lines = (run / name).read_bytes().splitlines()
    i = data.draw(st.integers(0, len(lines) - 1))
    lines[i] = data.draw(strange(json.loads(lines[i])).map(written) | spoiled(lines[i]))
    (run / name).write_bytes(b"\n".join(lines) + b"\n" * data.draw(st.integers(0, 2)))
    for verb, *flags in VERBS:
        assert ends(capsys, verb, str(run), *flags) in (0, 1, 2)


def copied(sound: Path, folder: Path) -> Path:
    shutil.rmtree(folder / "run", ignore_errors=True)
    return Path(shutil.copytree(sound, folder / "run"))


@many
@given(data=st.data())
def test_counts_and_published_logs(tmp_path, capsys, data):
    (tmp_path / "counts.txt").write_bytes(data.draw(spoiled(COUNTS)))
    assert ends(capsys, "radius", f"{tmp_path}/counts.txt", "--sigma", "0.25") in (0, 2)
    (tmp_path / "log.tsv").write_bytes(data.draw(spoiled(LOG)))
    assert ends(capsys, "table", f"{tmp_path}/log.tsv") in (0, 2)


@many
@given(data=st.data())
def test_plans(tmp_path, data):
    place = tmp_path / "plan.json"
    place.write_bytes(data.draw(spoiled(b'{"forecast": {"format": 1, "cells": [], "spec": {}}, "format": 1}')))
    with pytest.raises(EvidenceError):
        read_plan(place)


def test_a_byte_flipped_anywhere_in_a_ledger_is_seen(sound, tmp_path):
    """Named with file and line where the line cannot be read any more, else by the hash that sealed the run."""
    run = copied(sound, tmp_path)
    place = run / "ledger" / "local-0.jsonl"
    whole, sealed = place.read_bytes(), open_run(run).ledger.sha256()
    outcomes = [seen(run, place, whole, i, sealed) for i in range(0, len(whole) - 1, 7)]
    assert outcomes.count("named") > 100
    assert outcomes.count("other hash") > 100
    place.write_bytes(whole)


def seen(run: Path, place: Path, whole: bytes, i: int, sealed: str) -> str:
    """How a flipped bit shows; only time, worker and duration may change unseen, which say nothing about votes."""
    place.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
    told = error_of(EvidenceError, lambda: open_run(run).ledger.sha256() == sealed)
    if told is not None:
        line = whole[:i].count(b"\n") + 1
        assert told.startswith((f"Line {line} of {place} is damaged", f"Line {line + 1} of {place} is damaged")), told
        return "named"
    if open_run(run).ledger.sha256() != sealed:
        return "other hash"
    before = whole[whole.rfind(b"\n", 0, i) + 1 : i + 1]
    assert before.rpartition(b'":')[0].rpartition(b'"')[2] in (b"seconds", b"worker", b"at", b"subgroups"), before
    return "no evidence"


@pytest.mark.parametrize("kind", ["alias", "tag"])
def test_settings_that_would_build_objects(tmp_path, capsys, kind):
    text = {"alias": "x: &a [1]\nsigma: *a\n", "tag": "sigma: !!python/object/apply:os.system ['touch owned']\n"}[kind]
    (tmp_path / "c.yaml").write_text(text)
    assert ends(capsys, "certify", "--config", f"{tmp_path}/c.yaml", "--print-config") == 2
    assert not Path("owned").exists()
