"""Memory that runs out stops the run with one sentence and changes no batch; with memory back it goes on."""

import os
import resource
from functools import partial
from pathlib import Path

import pytest

from smoothcert.evidence import open_run

from .driver import IMAGES, Process, certify_arguments, whole_lines
from .faults import TALLY

MORE = 2**28


def hungry(after: int) -> None:
    """Leave this process 256 MiB more of address space than it has; later the classifier wants 2 GiB."""
    os.environ["HUNGRY_AFTER"] = str(after)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MORE, resource.RLIM_INFINITY))


@pytest.mark.slow
@pytest.mark.parametrize("after", [120, 300])
def test_memory_that_runs_out_while_sampling(folder, undisturbed, calm_lines, after):
    run = folder / "run"
    status, said = Process(folder, certify_arguments(run), before=partial(hungry, after)).wait()
    said = " ".join(said[said.index("smoothcert: ") :].split())
    assert status == 2
    assert "(n, C, H, W) = (32, 3, 4, 4)" in said
    assert "smoothcert resume" in said
    assert "Traceback" not in said
    before = whole_lines(run)
    assert 0 < before.count(b"\n") < IMAGES
    assert not open_run(run).sealed
    status, said = Process(folder, ["resume", str(run), "--trust-model"]).wait()
    assert status == 0, said
    assert whole_lines(run).startswith(before)
    assert open_run(run).ledger.sha256() == undisturbed["fp32"]
    TALLY.count("memory runs out", before, whole_lines(run), calm_lines["fp32"])


@pytest.mark.slow
def test_memory_that_runs_out_at_the_first_look(folder):
    """The preflight already lacks memory: nothing is written."""
    status, said = Process(folder, certify_arguments(folder / "run"), before=partial(hungry, 1)).wait()
    assert status == 2, said
    assert "Out of memory" in " ".join(said.split())
    assert "Traceback" not in said
    assert not (folder / "run").exists()
