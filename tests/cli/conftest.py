"""One tiny real run for all command-line tests: 12 images of 8x8x3, three classes, a linear classifier."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from smoothcert.cli import main

NETS = """
import torch
from torch import nn

def brightness(seed=0):
    # Class by brightness: dark, grey, bright; a pinch of chance makes the weights depend on the seed.
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    slope = torch.tensor([-1.0, 0.0, 1.0])[:, None] / 12
    net[1].weight.data = slope.expand(3, 192) + torch.randn(3, 192) / 1000
    net[1].bias.data = torch.tensor([8.0, 4.0, -8.0])
    return net

def other():
    return brightness(1)

def two_classes():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2))

def not_a_number():
    net = brightness()
    net[1].bias.data.fill_(float("nan"))
    return net

def maps():
    return nn.Conv2d(3, 3, 1)

def scalar():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 1), nn.Flatten(0))

class Pair(nn.Module):
    def forward(self, x):
        return x.mean((2, 3)), x.mean((2, 3))

def pair():
    return Pair()

def grey_levels():
    net = brightness()
    net.smoothcert = {"value_range": [0, 255]}
    return net

def half_mean():
    net = brightness()
    net.smoothcert = {"mean": [0.5], "std": [0.5]}
    return net

def for_larger_images():
    net = brightness()
    net.smoothcert = {"input_shape": [3, 28, 28]}
    return net

def no_network():
    return 3

def fails():
    raise RuntimeError("out of order")
"""


@dataclass(frozen=True)
class Said:
    """What one command printed, and its exit status."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    """A working directory with a module of networks, images, and a finished run."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "cli_nets.py").write_text(NETS)
    labels = np.arange(12) % 3
    rng = np.random.default_rng(0)
    images = (labels * 100)[:, None, None, None] + rng.integers(0, 50, (12, 8, 8, 3))
    np.savez(folder / "images.npz", images=images.astype(np.uint8), labels=labels)
    np.savez(folder / "others.npz", images=(images + 1).astype(np.uint8), labels=labels)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "dont_write_bytecode", True)
        with pytest.raises(SystemExit) as done:
            main([*COMMAND.split(), "--out", "run"])
        assert not done.value.code
        yield folder
    sys.modules.pop("cli_nets", None)


COMMAND = (
    "certify --model cli_nets:brightness --data images.npz --sigma 0.25,0.50 --radius 0.1,0.25,0.9 --k 1 2 "
    "--n-max 200 --batch-size 64 --seed 3 --device cpu"
)


@pytest.fixture
def real_run(project, tmp_path) -> Path:
    """A private copy of the finished run."""
    return shutil.copytree(project / "run", tmp_path / "run")


@pytest.fixture
def unfinished(real_run) -> Path:
    """The run as an interruption would have left it: two images missing, not sealed."""
    for path, drop in ((real_run / "events.jsonl", 1), (real_run / "ledger" / "local-0.jsonl", 2)):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-drop]))
    (real_run / "results" / "results.json").unlink()
    return real_run


@pytest.fixture
def say(capsys):
    """Run the command line in this process."""

    def run(*arguments) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as done:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Said(done.value.code or 0, printed.out, printed.err)

    return run
