"""A training that is killed again and again ends in the weights of one that was never touched."""

import csv
import random
import signal
import time
from pathlib import Path

import pytest

from .driver import Process, wait_until

EPOCHS, KILLS = 60, 6


def train_arguments(out: str) -> list[str]:
    """A training of a few seconds, on the images of a crash test."""
    settings = f"--sigma 0.25 --arch resnet8 --epochs {EPOCHS} --batch-size 8 --precision bf16"
    return ["train", "--data", "images.npz", *settings.split(), "--out", out]


def epochs_done(log: Path) -> int:
    return len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_stopped_at_random_moments(folder, stop):
    assert Process(folder, train_arguments("whole.safetensors")).wait()[0] == 0
    rng, log, done = random.Random(4), folder / "cut.csv", 0
    for _ in range(KILLS):
        process = Process(folder, train_arguments("cut.safetensors"))
        wait_until(lambda: epochs_done(log) > done + 1 or not process.alive)  # noqa: B023
        time.sleep(rng.uniform(0, 0.05))
        process.stop(stop)
        status, said = process.wait()
        assert status == (-stop if stop == signal.SIGKILL else 130), said
        assert epochs_done(log) > done
        done = epochs_done(log)
    status, said = Process(folder, train_arguments("cut.safetensors")).wait()
    assert status == 0, said
    assert (folder / "cut.safetensors").read_bytes() == (folder / "whole.safetensors").read_bytes()
    cut, whole = ((folder / f"{name}.csv").read_text(encoding="utf-8").splitlines() for name in ("cut", "whole"))
    assert [{**row, "seconds": ""} for row in csv.DictReader(cut)] == [
        {**row, "seconds": ""} for row in csv.DictReader(whole)
    ]
    assert sorted(path.name for path in folder.glob("cut.*")) == ["cut.csv", "cut.safetensors"]
