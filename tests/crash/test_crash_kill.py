"""A run that is killed again and again ends with the ledger of a run that was never touched."""

import random
import signal
import time

import pytest

from smoothcert.engine.run import resume
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.events import broken_link

from .driver import IMAGES, Process, certify_arguments, ledger_bytes, start, wait_until, whole_lines
from .faults import TALLY

KILLS, EARLY_KILLS = 10, 30


@pytest.mark.parametrize("bound", ["rankcp", pytest.param("betting", marks=pytest.mark.slow)])
def test_killed_once_and_resumed(folder, monkeypatch, bound):
    """The quick one: a fresh interpreter is killed, this process goes on; every line written before is kept."""
    run = folder / "run"
    process = start(folder, [*certify_arguments(run), "--limit", "12", "--bound", bound], pause=0.005)
    wait_until(lambda: bool(whole_lines(run)) or process.poll() is not None)
    process.kill()
    process.communicate()
    before = whole_lines(run)
    assert 0 < before.count(b"\n") < 12
    assert not open_run(run).sealed
    monkeypatch.chdir(folder)
    assert resume(RunDirectory(run), {}, trust_model=True) is True
    assert ledger_bytes(run).startswith(before)
    assert open_run(run).sealed
    assert open_run(run).missing == 0


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_ten_random_moments(folder, undisturbed, calm_lines, precision, seed):
    run, rng = folder / "run", random.Random(seed)
    arguments, kept, kills = certify_arguments(run, precision), b"", 0
    while kills < KILLS:
        process = Process(folder, arguments, pause=0.004)
        arguments = ["resume", str(run), "--trust-model"]
        wait_until(lambda: len(whole_lines(run)) > len(kept) or not process.alive)  # noqa: B023
        time.sleep(rng.uniform(0, 0.1))
        process.stop(signal.SIGKILL)
        assert process.wait() == (-signal.SIGKILL, process.output.read_text()), "it ended before it was killed"
        kills += 1
        assert ledger_bytes(run).startswith(kept)  # no finished line is lost or changed
        TALLY.count("kill -9 while sampling", kept, ledger_bytes(run), calm_lines[precision])
        kept = whole_lines(run)
        assert open_run(run).ledger.keys() == {(line.sigma, line.index) for line in open_run(run).ledger.lines}
        assert not open_run(run).sealed
    assert 0 < kept.count(b"\n") < IMAGES
    status, said = Process(folder, ["resume", str(run), "--trust-model"]).wait()
    assert status == 0, said
    after = open_run(run)
    assert (after.sealed, after.missing, after.ledger.differing) == (True, 0, ())
    assert after.ledger.sha256() == undisturbed[precision]
    assert len(ledger_bytes(run).splitlines()) == IMAGES  # each image once
    assert broken_link(after.directory.events) is None
    names = [event.event for event in after.directory.read_events()]
    assert names.count("start") + names.count("resume") == KILLS + 1
    assert names[-1] == "finish"


@pytest.mark.slow
def test_killed_at_any_moment_from_the_start(folder, undisturbed, calm_lines):
    """Also before the run directory exists, while it is made, and before the first line."""
    run, rng = folder / "run", random.Random(3)
    again = ["resume", str(run), "--trust-model"]
    for _ in range(EARLY_KILLS):
        before = whole_lines(run)
        process = Process(folder, again if run.exists() else certify_arguments(run), pause=0.004)
        time.sleep(rng.uniform(0, 0.8))
        process.stop(signal.SIGKILL)
        process.wait()
        TALLY.count("kill -9 at any moment", before, ledger_bytes(run), calm_lines["fp32"])
    status, said = Process(folder, again if run.exists() else certify_arguments(run)).wait()
    assert status == 0, said
    assert open_run(run).ledger.sha256() == undisturbed["fp32"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_loses_nothing_and_says_how_to_go_on(folder, undisturbed, calm_lines, number):
    run = folder / "run"
    process = start(folder, certify_arguments(run), pause=0.004)
    wait_until(lambda: whole_lines(run).count(b"\n") > 5 or process.poll() is not None)
    before = whole_lines(run)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert f"smoothcert resume {run}" in " ".join(said.split())
    assert ledger_bytes(run).startswith(before)
    assert ledger_bytes(run).endswith(b"\n")
    assert open_run(run).missing > 0
    status, said = Process(folder, ["resume", str(run), "--trust-model"]).wait()
    assert status == 0, said
    assert open_run(run).ledger.sha256() == undisturbed["fp32"]
    TALLY.count(f"{number.name} while sampling", before, ledger_bytes(run), calm_lines["fp32"])


@pytest.mark.slow
def test_a_second_process_on_the_same_run_is_refused(folder, undisturbed, calm_lines):
    run = folder / "run"
    first = Process(folder, certify_arguments(run), pause=0.004)
    wait_until(lambda: bool(whole_lines(run)))
    for arguments, reason in (
        (["resume", str(run), "--trust-model"], "Another process"),
        (certify_arguments(run), "already contains a run"),
    ):
        status, said = Process(folder, arguments).wait()
        assert status == 2
        assert reason in " ".join(said.split())
        assert "Traceback" not in said
    for verb in ("status", "table"):  # who only reads is no burden
        status, said = Process(folder, [verb, str(run)]).wait()
        assert status == 0, said
    before = whole_lines(run)
    assert first.alive
    assert first.wait()[0] == 0
    assert open_run(run).ledger.sha256() == undisturbed["fp32"]
    TALLY.count("a second process on the run", before, ledger_bytes(run), calm_lines["fp32"], times=2)
