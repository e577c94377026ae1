"""Runs of the command line in processes of their own, with a classifier slow enough to be interrupted."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

IMAGES, SHAPE, CLASSES = 80, (4, 4, 3), 4
# a test run that was put into the background ignores Ctrl-C, under nohup the end of a terminal; children inherit that
HEARS_SIGNALS = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); "
)
MAIN = f"{HEARS_SIGNALS}from smoothcert.cli import main; main()"

FACTORY = '''
import os
import time

import torch
from torch import nn


class Slow(nn.Module):
    """A random linear classifier that pauses a few milliseconds a batch, and after some wants much memory at once."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(48, 4)
        self.pause = float(os.environ.get("PAUSE", "0"))
        self.hungry_after, self.batches = int(os.environ.get("HUNGRY_AFTER", "0")), 0

    def forward(self, x):
        time.sleep(self.pause)
        self.batches += len(x) == 32
        if 0 < self.hungry_after < self.batches:
            torch.ones(2**29)
        return self.head(x.flatten(1) - 0.5)


def make():
    return Slow()
'''


def write_inputs(folder: Path) -> None:
    """Write `slow:make` and images labelled as it sees them."""
    import torch
    from torch import nn

    (folder / "slow.py").write_text(FACTORY, encoding="utf-8")
    images = np.random.default_rng(2).integers(0, 256, (IMAGES, *SHAPE), dtype=np.uint8)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        unit = torch.from_numpy(images.transpose(0, 3, 1, 2) / 255).float()
        labels = nn.Linear(48, CLASSES)(unit.flatten(1) - 0.5).argmax(dim=1).numpy()
    np.savez(folder / "images.npz", images=images, labels=labels)


def certify_arguments(out: Path | str, precision: str = "fp32") -> list[str]:
    """The arguments of a run of a few hundred batches."""
    inputs = ["--model", "slow:make", "--data", "images.npz", "--out", str(out), "--precision", precision]
    settings = "--sigma 0.25 --radius 0.05,0.1 --k 1,2 --n0 20 --n-max 1000 --batch-size 32 --seed 5 --device cpu"
    return ["certify", *inputs, *settings.split()]


class Process:
    """One `smoothcert` process in a folder; forked from a server that has imported torch already.

    `before` runs in the child first: it brings the fault about.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        pause: float = 0.0,
        largest_file: int = 0,
        before: Callable[[], object] | None = None,
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["smoothcert.cli.certify_work", "smoothcert.noise.cpu"])
        self.output = folder / f"output-{time.monotonic_ns()}"
        self._process = context.Process(
            target=_run, args=(folder, list(arguments), pause, self.output, largest_file, before)
        )
        self._process.start()

    def stop(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self._process.pid or 0, number)

    def wait(self, seconds: float = 60.0) -> tuple[int, str]:
        """Return exit status (minus the signal's number if one ended it) and everything printed."""
        self._process.join(seconds)
        assert self._process.exitcode is not None, "the process did not end"
        said = self.output.read_text(encoding="utf-8") if self.output.exists() else ""  # it may die before it has one
        return self._process.exitcode, said

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.is_alive()


def _run(
    folder: Path,
    arguments: list[str],
    pause: float,
    output: Path,
    largest_file: int,
    before: Callable[[], object] | None,
) -> None:
    import resource

    import torch

    from smoothcert.cli import main

    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    os.environ["PAUSE"] = str(pause)
    torch.set_num_threads(1)
    if largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    if before is not None:
        before()
    main(arguments)


def start(folder: Path, arguments: Sequence[str], pause: float = 0.0) -> subprocess.Popen[str]:
    """Start `smoothcert` as a person does: a fresh interpreter."""
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        cwd=folder,
        env=os.environ | {"PAUSE": str(pause), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ledger_bytes(run: Path) -> bytes:
    """Return the ledger as it lies on the disk, a torn last line included."""
    path = run / "ledger" / "local-0.jsonl"
    return path.read_bytes() if path.exists() else b""


def whole_lines(run: Path) -> bytes:
    """Return the ledger's finished lines."""
    return ledger_bytes(run)[: ledger_bytes(run).rfind(b"\n") + 1]


def wait_until(true: Callable[[], bool], seconds: float = 240.0) -> None:
    """Wait until something is true; a cluster takes minutes to start where other programs work too."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)
