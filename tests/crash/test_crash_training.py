"""A training that is killed again and again ends in the weights of one that was never touched."""

import csv
import random
import signal
import time
from pathlib import Path

import pytest

from .driver import Process, wait_until

EPOCHS, KILLS = 60, 6


COMMANDS = {
    "train": "--arch resnet8",
    "train-denoiser": "--for classifier.safetensors --arch unet-s --pretrain 5 --consistency 1 --estimate-every 7",
}
"""Verbs that train, and what each is told."""


def train_arguments(verb: str, out: str, epochs: int = EPOCHS) -> list[str]:
    """A training of a few seconds, on the images of a crash test."""
    settings = f"--sigma 0.25 --epochs {epochs} --batch-size 8 --precision bf16 {COMMANDS[verb]}"
    return [verb, "--data", "images.npz", *settings.split(), "--out", out]


def epochs_done(log: Path) -> int:
    return len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "stop"), [("train", signal.SIGKILL), ("train", signal.SIGTERM), ("train-denoiser", signal.SIGKILL)]
)
def test_stopped_at_random_moments(folder, verb, stop):
    if verb == "train-denoiser":
        assert Process(folder, train_arguments("train", "classifier.safetensors", epochs=2)).wait()[0] == 0
    assert Process(folder, train_arguments(verb, "whole.safetensors")).wait()[0] == 0
    rng, log, done = random.Random(4), folder / "cut.csv", 0
    for _ in range(KILLS):
        process = Process(folder, train_arguments(verb, "cut.safetensors"))
        wait_until(lambda: epochs_done(log) > done + 1 or not process.alive)  # noqa: B023
        time.sleep(rng.uniform(0, 0.05))
        process.stop(stop)
        status, said = process.wait()
        assert status == (-stop if stop == signal.SIGKILL else 130), said
        assert epochs_done(log) > done
        done = epochs_done(log)
    status, said = Process(folder, train_arguments(verb, "cut.safetensors")).wait()
    assert status == 0, said
    assert (folder / "cut.safetensors").read_bytes() == (folder / "whole.safetensors").read_bytes()
    cut, whole = ((folder / f"{name}.csv").read_text(encoding="utf-8").splitlines() for name in ("cut", "whole"))
    assert [{**row, "seconds": ""} for row in csv.DictReader(cut)] == [
        {**row, "seconds": ""} for row in csv.DictReader(whole)
    ]
    assert sorted(path.name for path in folder.glob("cut.*")) == ["cut.csv", "cut.safetensors"]
