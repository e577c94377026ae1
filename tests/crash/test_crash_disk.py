"""Disks that fail, fill or cannot be written: the run stops with one sentence, stays good, and goes on afterwards."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smoothcert.evidence import open_run
from smoothcert.evidence.events import broken_link

from .driver import IMAGES, Process, certify_arguments, ledger_bytes, whole_lines
from .faults import TALLY, Fails, fill

pytestmark = pytest.mark.slow

Mount = Callable[..., None]
BROKEN = {errno.EIO: "Input/output error", errno.ENOSPC: "No space left", errno.ESTALE: "Stale file handle"}


@pytest.fixture
def disk(folder: Path) -> Iterator[tuple[Path, Mount]]:
    """A disk in memory, and a function that mounts it anew with options such as ro."""
    place = folder / "disk"
    place.mkdir()

    def mount(*options: str) -> None:
        try:
            command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)]
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs the right to mount a file system")

    mount("size=40m")
    yield place, mount
    if os.path.ismount(place):
        subprocess.run(["umount", place], check=True)


def one_sentence(said: str) -> str:
    """The refusal; there must be no traceback, and nothing after it."""
    assert "Traceback" not in said, said
    assert said.count("smoothcert: ") == 1, said
    return " ".join(said[said.index("smoothcert: ") :].split())


def goes_on(folder: Path, run: Path, before: bytes, whole: str) -> None:
    """Resume a run; it must keep what it had and end like one that nothing disturbed."""
    status, said = Process(folder, ["resume", str(run), "--trust-model"]).wait()
    assert status == 0, said
    assert whole_lines(run).startswith(before)
    after = open_run(run)
    assert (after.sealed, after.missing, after.ledger.sha256()) == (True, 0, whole)
    assert broken_link(after.directory.events) is None
    assert Process(folder, ["verify", str(run)]).wait()[0] == 0


@pytest.mark.parametrize("number", BROKEN)
@pytest.mark.parametrize(
    ("call", "ending", "after"),
    [
        ("fsync", ".jsonl", 5),
        ("fsync", "local-0.jsonl", 0),
        ("fsync", "local-0.jsonl", 7),
        ("fsync", "events.jsonl", 2),
        ("replace", "results.json", 0),
    ],
    ids=["an event", "first lines", "later lines", "an early event", "the seal"],
)
def test_a_write_that_fails(folder, undisturbed, calm_lines, number, call, ending, after):
    run = folder / "run"
    status, said = Process(folder, certify_arguments(run), before=Fails(call, ending, number, after)).wait()
    told = one_sentence(said)
    assert status == 2
    assert BROKEN[number] in told
    assert f"smoothcert resume {run}" in told
    before = whole_lines(run)
    assert not open_run(run).sealed
    goes_on(folder, run, before, undisturbed["fp32"])
    TALLY.count(f"write fails: {BROKEN[number]}", before, ledger_bytes(run), calm_lines["fp32"])


def test_a_failing_disk_before_the_spec_is_locked_leaves_nothing(folder):
    for call, ending in (("fsync", "events.jsonl"), ("replace", "environment.json")):
        status, said = Process(folder, certify_arguments("run"), before=Fails(call, ending, errno.EIO)).wait()
        assert status == 2
        assert "Input/output error" in one_sentence(said)
        assert not (folder / "run").exists()
        assert not list(folder.glob(".run*"))


def test_a_disk_that_fills_up_while_documents_are_written(folder, disk, undisturbed, calm_lines):
    pytest.importorskip("typst", reason="needs the extra report")
    run = disk[0] / "run"
    assert Process(folder, certify_arguments(run)).wait()[0] == 0
    before = ledger_bytes(run)
    for leave in (0, 200_000, 900_000):
        stuffing = fill(disk[0], leave)
        status, said = Process(folder, ["report", str(run), "--no-live"]).wait(200)
        assert status == 2, said
        assert "No space left" in one_sentence(said)
        stuffing.unlink()
        assert ledger_bytes(run) == before
        assert Process(folder, ["verify", str(run)]).wait()[0] in (0, 1)  # 1: documents half renewed are named
        assert open_run(run).sealed
    status, said = Process(folder, ["report", str(run), "--no-live"]).wait(200)
    assert status == 0, said
    status, said = Process(folder, ["verify", str(run)]).wait()
    assert status == 0, said
    assert not [path.name for path in (run / "results").rglob(".*") if path.is_file()]
    TALLY.count("disk full while documents are written", before, ledger_bytes(run), calm_lines["fp32"], times=3)


def test_a_run_on_a_disk_that_became_read_only(folder, disk, undisturbed, calm_lines):
    place, mount = disk
    run, part = place / "run", place / "part"
    assert Process(folder, certify_arguments(run)).wait()[0] == 0
    assert Process(folder, certify_arguments(part), before=Fails("fsync", "local-0.jsonl", errno.EIO, 7)).wait()[0] == 2
    before = ledger_bytes(part)
    mount("remount", "ro")
    for verb in (["verify", str(run)], ["table", str(run)], ["status", str(run)], ["status", str(part)]):
        status, said = Process(folder, verb).wait()
        assert status == 0, said
    for verb in (["resume", str(part), "--trust-model"], ["report", str(run)], certify_arguments(place / "new")):
        status, said = Process(folder, verb).wait(200)
        assert status == 2
        assert "Read-only file system" in one_sentence(said)
    assert ledger_bytes(part) == before
    mount("remount", "rw")
    goes_on(folder, part, whole_lines(part), undisturbed["fp32"])
    TALLY.count("disk becomes read-only", before[: before.rfind(b"\n") + 1], ledger_bytes(part), calm_lines["fp32"])


def test_a_flipped_byte_in_a_ledger_is_named_and_nothing_is_written(folder, calm_lines):
    run = folder / "run"
    arguments = certify_arguments(run)
    assert Process(folder, arguments, before=Fails("fsync", "local-0.jsonl", errno.EIO, 9)).wait()[0] == 2
    place, whole = run / "ledger" / "local-0.jsonl", ledger_bytes(run)
    events = (run / "events.jsonl").read_bytes()
    begin = whole.index(b"\n") + 1
    spoiled = whole[: begin + 3] + b"\xff" + whole[begin + 4 :]
    place.write_bytes(spoiled)
    for verb in ("resume", "report", "table"):
        status, said = Process(folder, [verb, str(run)]).wait()
        assert status == 2
        assert f"Line 2 of {place} is damaged" in one_sentence(said)
        assert ledger_bytes(run) == spoiled
        assert (run / "events.jsonl").read_bytes() == events
    place.write_bytes(whole)
    status, said = Process(folder, ["resume", str(run), "--trust-model"]).wait()
    assert status == 0, said
    assert len(whole_lines(run).splitlines()) == IMAGES
    TALLY.count(
        "flipped byte, restored", whole[: whole.rfind(b"\n") + 1], ledger_bytes(run), calm_lines["fp32"], times=3
    )
