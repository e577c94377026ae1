"""Engines, workers and shards on the command line: what is typed in a job array, and what is said."""

import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from smoothcert.evidence import merge, open_run

from .conftest import COMMAND

PAGE = (Path(__file__).parents[2] / "docs" / "scale.md").read_text(encoding="utf-8")
RANKS = {
    "a SLURM array": ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    "an indexed Job": ("JOB_COMPLETION_INDEX", "SHARDS"),
}
SHARDS = 4


@pytest.fixture(scope="module")
def shard(project, tmp_path_factory):
    """The second of three shards of the project's run."""
    from smoothcert.cli import main

    out = tmp_path_factory.mktemp("shard") / "s1"
    with pytest.raises(SystemExit) as done:
        main([*COMMAND.split(), "--shard", "1/3", "--out", str(out)])
    assert not done.value.code
    return out


def test_a_shard_says_what_it_is_and_what_comes_next(say, project, tmp_path):
    said = say(*COMMAND.split(), "--shard", "1/3", "--out", tmp_path / "s1")
    assert said.code == 0
    assert "Shard 1/3 is finished: 4 of 12 images at 2 noise levels, 8 lines." in (" ".join(said.out.split()))
    assert "| sigma" not in said.out  # no table of a part
    assert "smoothcert merge RUN... --out RUN" in said.err


def test_status_of_a_shard(say, shard, tmp_path):
    said = " ".join(say("status", shard).out.split())
    assert "s1: shard 1/3, a part of a run, finished; not sealed" in said
    assert said.count("4/4 images decided") == 2
    assert "Next: when all shards are finished, smoothcert merge RUN... --out RUN" in said
    ledger = shard / "ledger" / "local-0.jsonl"
    whole = ledger.read_text()
    try:
        ledger.write_text("".join(whole.splitlines(keepends=True)[:-3]))
        for path, drop in ((shard / "events.jsonl", 1),):
            kept = path.read_text()
            path.write_text("".join(kept.splitlines(keepends=True)[:-drop]))
        said = " ".join(say("status", shard).out.split())
        assert "shard 1/3, a part of a run, interrupted, 3 results missing; not sealed" in said
        assert "Next: smoothcert resume" in said
    finally:
        ledger.write_text(whole)
        path.write_text(kept)


def test_resume_of_a_finished_shard_says_that_it_is_finished(say, shard):
    said = say("resume", shard)
    assert said.code == 0
    assert "Shard 1/3 is finished" in said.out


def test_report_of_a_shard_says_that_it_is_a_part(say, shard, monkeypatch):
    monkeypatch.setattr("smoothcert.cli.results.write_with_progress", lambda *_: None)
    said = say("report", shard)
    assert "This is shard 1/3, a part of a run" in " ".join(said.out.split())


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--shard", "4/4"], "--shard: expected i/n with i from 0 to n - 1"),
        (["--shard", "1"], "--shard: expected i/n"),
        (["--workers", "2"], "--workers is for --engine ray"),
        (["--address", "auto"], "--address is for --engine ray"),
        (["--workers", "0", "--engine", "ray"], "--workers: expected a whole number from 1"),
        (["--engine", "spark"], "--engine"),
    ],
)
def test_what_is_refused(say, project, tmp_path, flags, reason):
    said = say(*COMMAND.split(), *flags, "--out", tmp_path / "run")
    assert said.code == 2
    assert reason in " ".join(said.err.split())
    assert not (tmp_path / "run").exists()


def test_shards_need_a_seed(say, project, tmp_path):
    command = COMMAND.replace("--seed 3 ", "").split()
    said = say(*command, "--shard", "0/2", "--out", tmp_path / "run")
    assert said.code == 2
    assert "--shard needs --seed" in said.err
    assert 'python3 -c "import secrets; print(secrets.randbits(64))"' in " ".join(said.err.split())


def test_neither_engine_nor_shard_is_a_setting_of_the_run(say, project):
    said = say(*COMMAND.split(), "--engine", "ray", "--workers", "2", "--shard", "0/2", "--print-config")
    assert said.code == 0
    assert not {"engine", "workers", "address", "shard"} & {line.partition(":")[0] for line in said.out.splitlines()}


def test_resume_takes_an_engine_but_no_shard(say, real_run):
    assert say("resume", real_run, "--workers", "2").code == 2
    assert "--shard" in say("resume", real_run, "--shard", "0/2").err


@pytest.fixture
def machine(say, project, tmp_path):
    """A working directory with what docs/scale.md says a shard needs, and its environment."""
    for name in ("cli_nets.py", "images.npz"):
        shutil.copy(project / name, tmp_path)
    (tmp_path / "run.yaml").write_text(say(*COMMAND.replace("--seed 3 ", "").split(), "--print-config").out)
    (tmp_path / "shard.sh").write_text(re.search(r"```text\n(#!/bin/sh\n# shard\.sh.*?)```", PAGE, re.S)[1])
    (tmp_path / "shards").mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return tmp_path, os.environ | {"SEED": "3", "CODE": "--trust-model", "OMP_NUM_THREADS": "1", "PATH": path}


def merged_equals_the_whole(folder, project):
    merged = open_run(merge(sorted((folder / "shards").iterdir()), folder / "merged").path)
    return merged.sealed and merged.ledger.sha256() == open_run(project / "run").ledger.sha256()


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", RANKS)
def test_the_script_with_the_variables_of_a_scheduler(machine, project, scheduler):
    """The scheduler is played by this test: it sets the variables and starts the page's own line."""
    (folder, environment), (rank, count) = machine, RANKS[scheduler]
    line = re.search(rf'sh shard\.sh "\${rank}" "\${count}"', PAGE)[0]
    running = [
        subprocess.Popen(
            ["sh", "-c", line],
            cwd=folder,
            env=environment | {rank: str(i), count: str(SHARDS)},
            stdout=subprocess.DEVNULL,
        )
        for i in range(SHARDS)
    ]
    assert [process.wait(300) for process in running] == [0] * SHARDS
    done = subprocess.run(["sh", "shard.sh", "0", "4"], cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0  # started again, it finds nothing left to do
    assert merged_equals_the_whole(folder, project)


@pytest.mark.slow
def test_torchrun(machine, project):
    folder, environment = machine
    command = re.search(r"^torchrun .*$", PAGE, re.M)[0]
    subprocess.run(["sh", "-c", command], cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    assert merged_equals_the_whole(folder, project)


@pytest.mark.slow
def test_a_shard_that_was_killed_goes_on_when_the_script_is_started_again(machine, project):
    folder, environment = machine
    for i in range(SHARDS):
        process = subprocess.Popen(["sh", "shard.sh", str(i), "4"], cwd=folder, env=environment, stdout=subprocess.PIPE)
        if i == 1:
            while process.poll() is None and not (folder / "shards" / "1" / "spec.json").exists():
                time.sleep(0.005)
            process.kill()
            process.communicate()
            process = subprocess.Popen(
                ["sh", "shard.sh", "1", "4"], cwd=folder, env=environment, stdout=subprocess.PIPE
            )
        process.communicate()
        assert process.returncode == 0
    assert merged_equals_the_whole(folder, project)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra `ray`")
def test_ray_says_nothing_of_its_own(project, tmp_path):
    told = {}
    for name, flags in (("local", []), ("ray", ["--engine", "ray", "--workers", "2"])):
        command = [sys.executable, "-c", "from smoothcert.cli import main; main()", *COMMAND.split(), *flags]
        told[name] = subprocess.run(
            [*command, "--out", str(tmp_path / name)],
            cwd=project,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
    assert told["ray"].stdout == told["local"].stdout
    kinds = ("sigma", "Certified accuracy", "Computer arithmetic", "Evidence", "Next", "  smoothcert ", "  warning: ")
    assert all(not line or line.startswith(kinds) for line in told["ray"].stderr.splitlines()), told["ray"].stderr
