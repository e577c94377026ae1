"""`merge`: real shards become the run that one process would have made, and a merged run goes on where it has gaps."""

import re
import shutil

import pytest

from smoothcert.evidence import RunDirectory, merge, open_run

from .conftest import COMMAND


@pytest.fixture(scope="module")
def shards(project, tmp_path_factory):
    """Two finished shards of the project's run, made by the same command."""
    from smoothcert.cli import main

    folder = tmp_path_factory.mktemp("shards")
    for i in range(2):
        with pytest.raises(SystemExit) as done:
            main([*COMMAND.split(), "--shard", f"{i}/2", "--out", str(folder / f"s{i}")])
        assert not done.value.code
    return [folder / "s0", folder / "s1"]


@pytest.fixture
def cut_short(shards, tmp_path):
    """Copies of them, the second interrupted with three images to go."""
    samples = [shutil.copytree(path, tmp_path / path.name) for path in shards]
    for file, drop in ((samples[1] / "events.jsonl", 2), (samples[1] / "ledger" / "local-0.jsonl", 3)):
        file.write_text("".join(file.read_text().splitlines(keepends=True)[:-drop]))
    return samples


def test_two_shards_make_the_run_of_one_process(say, project, shards, tmp_path):
    said = say("merge", shards[1], shards[0], "--out", tmp_path / "run")
    assert said.code == 0
    assert said.out.startswith(
        "shard-0-of-2: 12 results of shard 0/2, finished\nshard-1-of-2: 12 results of shard 1/2, finished\n"
        "total: 24 of 24 results, 0 missing\n"
    )
    table = say("table", project / "run").out.strip()
    assert table in said.out
    told = r"Evidence: .*run \(24 lines, sealed\)\.\nEvidence fingerprint: [0-9a-f ]{39}\.\nNext:\n  smoothcert report"
    assert re.search(told, said.err)
    one, merged = open_run(project / "run"), open_run(tmp_path / "run")
    assert merged.spec == one.spec
    assert merged.ledger.sha256() == one.ledger.sha256()
    assert merged.clean(0.25) == one.clean(0.25)
    assert merged.changes == one.changes
    assert merged.arithmetic == one.arithmetic
    assert say("verify", tmp_path / "run").code == 0
    assert "finished and sealed" in say("status", tmp_path / "run").out


def test_what_is_missing_is_counted_and_resume_goes_on(say, project, cut_short, tmp_path):
    out = tmp_path / "run"
    said = say("merge", *cut_short, "--out", out)
    assert said.code == 0
    assert "shard-1-of-2: 9 results of shard 1/2, not finished" in said.out
    assert "total: 21 of 24 results, 3 missing" in said.out
    assert f"smoothcert resume {out}  sample the 3 missing results" in said.err
    assert "interrupted, 3 of 24 results missing, NOT SEALED" in say("status", out).out
    assert say("verify", out).code == 0
    assert say("resume", out, "--trust-model").code == 0
    run = open_run(out)
    assert run.sealed
    assert run.ledger.sha256() == open_run(project / "run").ledger.sha256()
    assert len((out / "ledger" / "local-0.jsonl").read_text().splitlines()) == 3
    names = [event.event for event in run.directory.own_events()]
    assert names[:3] == ["spec locked", "merge", "resume"]
    assert names[-1] == "finish"
    said = say("verify", out)
    assert (said.code, "sealed" in said.out) == (0, True), said.out


def test_an_empty_shard_that_was_begun_too_late(say, shards, tmp_path):
    """Only what is missing is sampled, whichever shard never came."""
    other = shutil.copytree(shards[1], tmp_path / "late")
    log = (other / "events.jsonl").read_text().splitlines(keepends=True)
    (other / "events.jsonl").write_text("".join(log[:1]))
    (other / "ledger" / "local-0.jsonl").unlink()
    merged = merge([shards[0], other], tmp_path / "run")
    assert open_run(merged.path).missing == 12
    assert say("resume", merged.path, "--trust-model").code == 0
    assert say("verify", merged.path).code == 0


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (["s0"], "Expected two or more run directories to merge, got 1."),
        ([], "Expected two or more run directories to merge, got 0."),
        (["s0", "none"], "found none in"),
        (["s0", "s0"], "s0; name each run once."),
    ],
)
def test_refusals_end_with_status_two_and_write_nothing(say, shards, tmp_path, runs, message):
    said = say("merge", *(shards[0].parent / run for run in runs), "--out", tmp_path / "run")
    assert (said.code, said.out) == (2, "")
    assert message in said.err
    assert list(tmp_path.iterdir()) == []


def test_without_a_place(say, shards):
    said = say("merge", *shards)
    assert said.code == 2
    assert "--out" in said.err


def test_a_shard_at_work_is_waited_for(say, shards, tmp_path):
    with RunDirectory(shards[1]).locked():
        said = say("merge", *shards, "--out", tmp_path / "run")
    assert (said.code, said.out) == (2, "")
    assert f"Another process is writing {shards[1]}" in said.err
