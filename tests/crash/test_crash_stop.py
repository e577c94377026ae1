"""Asked to stop, a process stops within seconds, whatever it is at, says how to go on, and leaves no lock behind."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from smoothcert.evidence import RunDirectory, open_run

from .driver import Process, certify_arguments, ledger_bytes, start, wait_until, whole_lines
from .faults import TALLY

pytestmark = pytest.mark.slow

AT_ONCE = 5.0
"""Seconds in which a process must end; queues of clusters grant 30 and more."""


def stopped(process: subprocess.Popen[str], *numbers: signal.Signals) -> tuple[int, str, float]:
    """Exit status, what was said, and seconds it took after the first signal."""
    began = time.monotonic()
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.05)
    _, said = process.communicate(timeout=60)
    return process.returncode, " ".join(said.split()), time.monotonic() - began


@pytest.mark.parametrize("numbers", [("SIGTERM",), ("SIGTERM", "SIGTERM"), ("SIGINT", "SIGTERM")])
def test_while_sampling(folder, undisturbed, calm_lines, numbers):
    run = folder / "run"
    process = start(folder, certify_arguments(run), pause=0.02)
    wait_until(lambda: whole_lines(run).count(b"\n") > 3 or process.poll() is not None)
    before = whole_lines(run)
    status, said, took = stopped(process, *(signal.Signals[name] for name in numbers))
    assert status in (130, -signal.SIGTERM)[: len(numbers)], said  # the second may come when Python is on its way out
    assert "Traceback" not in said
    assert "nothing is lost" in said
    assert took < AT_ONCE
    assert not RunDirectory(run).busy
    status, told = Process(folder, ["resume", str(run), "--trust-model"]).wait()
    assert status == 0, told
    assert open_run(run).ledger.sha256() == undisturbed["fp32"]
    TALLY.count(f"{' then '.join(numbers)} while sampling", before, ledger_bytes(run), calm_lines["fp32"])


@pytest.mark.parametrize("wait", [0.0, 0.5, 1.5, 2.5, 3.5, 5.0])
def test_before_the_first_image(folder, wait):
    """While Python starts, torch is imported, images are loaded, the classifier is looked at."""
    process = start(folder, certify_arguments("run"), pause=0.2)
    time.sleep(wait)
    status, said, took = stopped(process, signal.SIGTERM)
    assert status in (130, -signal.SIGTERM), said
    assert "Traceback" not in said
    assert took < AT_ONCE
    if (folder / "run").exists():
        assert "smoothcert resume run" in said
    assert not list(folder.glob(".run-*"))


def test_while_documents_are_written(folder):
    pytest.importorskip("typst", reason="needs the extra report")
    assert Process(folder, certify_arguments("run")).wait()[0] == 0
    before = (folder / "run" / "events.jsonl").read_bytes()
    for wait in (0.3, 1.0, 2.5, 4.0, 6.0):
        process = start(folder, ["report", "run", "--no-live"])
        time.sleep(wait)
        if process.poll() is None:
            status, said, took = stopped(process, signal.SIGTERM)
            assert status in (0, 130, -signal.SIGTERM), said
            assert "/smoothcert/" not in said  # no traceback of ours; a kernel that is shut down may print its own
            assert took < AT_ONCE
        process.communicate()
        assert (folder / "run" / "events.jsonl").read_bytes().startswith(before)
        assert not RunDirectory(folder / "run").busy
    status, said = Process(folder, ["report", "run", "--no-live"]).wait(200)
    assert status == 0, said
    status, said = Process(folder, ["verify", "run"]).wait()
    assert status == 0, said


def test_a_closed_terminal(folder, undisturbed, calm_lines):
    """SIGHUP ends the process at once; what was decided is on the disk."""
    run = folder / "run"
    process = start(folder, certify_arguments(run), pause=0.02)
    wait_until(lambda: whole_lines(run).count(b"\n") > 3 or process.poll() is not None)
    before = whole_lines(run)
    assert stopped(process, signal.SIGHUP)[0] == -signal.SIGHUP
    status, told = Process(folder, ["resume", str(run), "--trust-model"]).wait()
    assert status == 0, told
    assert open_run(run).ledger.sha256() == undisturbed["fp32"]
    TALLY.count("SIGHUP while sampling", before, ledger_bytes(run), calm_lines["fp32"])


def test_a_kill_leaves_no_lock(folder: Path):
    run = folder / "run"
    process = Process(folder, certify_arguments(run), pause=0.02)
    wait_until(lambda: bool(whole_lines(run)))
    assert RunDirectory(run).busy
    process.stop(signal.SIGKILL)
    process.wait()
    assert not RunDirectory(run).busy
    assert Process(folder, ["resume", str(run), "--trust-model"]).wait()[0] == 0
