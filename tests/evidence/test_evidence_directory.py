import errno
import fcntl
import json
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import make_spec
from refusals import refuses
from smoothcert.errors import EvidenceError, SpecError
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.creation import create_run
from smoothcert.evidence.directory import refuse_occupied, write_derived, write_json
from smoothcert.evidence.events import FINISHED, LEVEL, append_event, environment

SPEC = make_spec()


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_new_run_holds_its_spec_and_the_event_that_locks_it(tmp_path):
    run = create_run(tmp_path / "deep" / "run", SPEC, {"threads": 1})
    assert everything(run.path) == ["environment.json", "events.jsonl", "ledger", "results", "spec.json"]
    assert run.read_spec() == SPEC
    (locked,) = run.read_events()
    assert (locked.event, locked.facts["spec_sha256"]) == ("spec locked", SPEC.sha256())
    assert everything(tmp_path / "deep") == ["run", *(f"run/{name}" for name in everything(run.path))]


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "run").mkdir()
    assert create_run(tmp_path / "run", SPEC, {}).read_spec() == SPEC


def test_a_run_is_never_overwritten(tmp_path):
    run = create_run(tmp_path / "run", SPEC, {})
    before = {path: path.read_bytes() for path in run.path.rglob("*.json*")}
    with refuses("E-RUN-032"):
        create_run(run.path, make_spec(alpha=0.01), {})
    assert {path: path.read_bytes() for path in run.path.rglob("*.json*")} == before


@pytest.mark.parametrize("name", ["file", "full", "file/below"])
def test_an_occupied_place_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(EvidenceError):
        create_run(tmp_path / name, SPEC, {})
    assert everything(tmp_path) == before


def test_a_folder_that_is_not_empty_is_named_before_any_work(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with refuses("E-RUN-033"):
        refuse_occupied(tmp_path)


@pytest.mark.parametrize("call", ["fsync", "rename", "replace"])
def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch, call):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with refuses("E-RUN-020"):
        create_run(tmp_path / "run", SPEC, {"threads": 1})
    assert everything(tmp_path) == []


def test_seal_is_the_first_finish_event(tmp_path):
    run = create_run(tmp_path / "run", SPEC, {})
    assert run.seal() is None
    append_event(run.events, FINISHED, lines=1, ledger_sha256="0" * 64)
    append_event(run.events, FINISHED, lines=2, ledger_sha256="0" * 64)
    assert run.seal().facts["lines"] == run.vouched().facts["lines"] == 1


def test_open_run_counts_what_is_missing(tmp_path):
    create_run(tmp_path / "run", make_spec(sigma="0.25,0.5"), {})
    opened = open_run(str(tmp_path / "run"))
    assert (opened.missing, opened.sealed) == (10, False)
    assert [entry.certified for entry in opened.results()] == [0] * 6
    assert len(opened.certificates(0.5).index) == 0


@pytest.mark.parametrize("name", ["none", "file"])
def test_where_there_is_no_run(tmp_path, name):
    (tmp_path / "file").write_text("")
    with refuses("E-RUN-028", match=f"Expected a run directory with a spec\\.json, found none in .*{name}\\."):
        open_run(tmp_path / name)


def test_a_spec_that_cannot_be_read(tmp_path):
    (tmp_path / "spec.json").mkdir()
    with refuses("E-FILE-002"):
        open_run(tmp_path)


@settings(max_examples=100)
@given(st.binary(max_size=80))
def test_hostile_spec_bytes_are_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "hostile-run"
    folder.mkdir(exist_ok=True)
    (folder / "spec.json").write_bytes(data)
    with pytest.raises((SpecError, EvidenceError)):
        RunDirectory(folder).read_spec()


HOLD = """
import sys
from pathlib import Path
from smoothcert.evidence import RunDirectory
with RunDirectory(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_refuses_a_second_process_and_dies_with_the_first(tmp_path):
    run = create_run(tmp_path / "run", SPEC, {})
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with refuses("E-RUN-046"), run.locked():
            pass
        other.send_signal(signal.SIGKILL)
    with run.locked():
        pass
    with run.locked():
        pass


def test_a_disk_that_keeps_no_locks_is_not_taken_for_a_second_process(tmp_path, monkeypatch):
    def refuse(held, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    run = create_run(tmp_path / "run", SPEC, {})
    monkeypatch.setattr(fcntl, "flock", refuse)
    with refuses("E-RUN-045"), run.locked():
        pass


def test_derived_files_are_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write_json(path, {"b": 1, "a": [1.5]})
    assert json.loads(path.read_text()) == {"a": [1.5], "b": 1}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_derived(path, "half")
    assert json.loads(path.read_text()) == {"a": [1.5], "b": 1}


def test_the_environment_names_versions_and_code_and_can_be_stored():
    record = environment(threads=3)
    assert record["threads"] == 3
    assert record["packages"]["smoothcert"]
    assert len(record["code_sha256"]) == 64
    assert record == json.loads(json.dumps(record)) == environment(threads=3)


@pytest.mark.parametrize(
    ("noise", "bit_equal", "words"),
    [
        ("grid", True, "covered (integer noise in steps of 1/255, within 1.5e-13 of Gaussian in total variation)"),
        ("grid", False, "not covered (self-test: "),
        ("float", True, "not covered (ordinary floating-point noise)"),
    ],
)
def test_arithmetic_in_words(tmp_path, noise, bit_equal, words):
    run = create_run(tmp_path / "run", make_spec(noise=noise), {})
    append_event(run.events, LEVEL, self_test={"bit_equal": True})
    append_event(run.events, LEVEL, self_test={"bit_equal": bit_equal})
    assert open_run(run.path).arithmetic.startswith(words)
