"""A disk that fills up stops the run with one sentence; after room is made the run goes on."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smoothcert.evidence import open_run

from .driver import IMAGES, Process, certify_arguments, whole_lines
from .faults import TALLY

pytestmark = pytest.mark.slow

Mount = Callable[..., None]


@pytest.fixture
def disk(folder: Path) -> Iterator[tuple[Path, Mount]]:
    """A small disk in memory, and a function that sets its size."""
    place = folder / "disk"
    place.mkdir()

    def mount(size: str, *more: str) -> None:
        options = ",".join([*more, f"size={size}"])
        try:
            subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("needs the right to mount a file system")

    yield place, mount
    if os.path.ismount(place):
        subprocess.run(["umount", place], check=True)


def one_sentence(said: str) -> str:
    """Return the refusal; there must be no traceback, and nothing after it."""
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert said.count("smoothcert: ") == 1
    return " ".join(said[said.index("smoothcert: ") :].split())


def test_a_full_disk_in_the_middle(folder, disk, undisturbed, calm_lines):
    place, mount = disk
    mount("40k")
    run = place / "run"
    status, said = Process(folder, certify_arguments(run)).wait()
    assert status in (1, 2)
    assert "No space left" in one_sentence(said)
    assert "kept" in one_sentence(said)
    before = whole_lines(run)
    assert 0 < before.count(b"\n") < IMAGES
    again, said = Process(folder, ["resume", str(run), "--trust-model"]).wait()
    assert again == status
    assert "No space left" in one_sentence(said)
    assert whole_lines(run).startswith(before)
    mount("4m", "remount")
    status, said = Process(folder, ["resume", str(run), "--trust-model"]).wait()
    assert status == 0, said
    assert whole_lines(run).startswith(before)
    assert open_run(run).ledger.sha256() == undisturbed["fp32"]
    TALLY.count("disk full while sampling", before, whole_lines(run), calm_lines["fp32"], times=2)


def test_a_disk_too_small_for_the_spec_leaves_nothing(folder, disk):
    place, mount = disk
    mount("4k")
    status, said = Process(folder, certify_arguments(place / "run")).wait()
    assert status == 2
    assert "No space left" in one_sentence(said)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("largest", [6_000, 16_000])
def test_a_file_that_may_not_grow(folder, undisturbed, calm_lines, largest):
    """The same without the right to mount: the system refuses to write files above a size."""
    run = folder / "run"
    status, said = Process(folder, certify_arguments(run), largest_file=largest).wait()
    assert status in (1, 2)
    assert "File too large" in one_sentence(said)
    before = whole_lines(run)
    assert 0 < before.count(b"\n") < IMAGES
    status, said = Process(folder, ["resume", str(run), "--trust-model"]).wait()
    assert status == 0, said
    assert whole_lines(run).startswith(before)
    assert open_run(run).ledger.sha256() == undisturbed["fp32"]
    TALLY.count("a file that may not grow", before, whole_lines(run), calm_lines["fp32"])
