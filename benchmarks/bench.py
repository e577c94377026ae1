"""Copies certified a second on this machine: this engine, a bare forward loop, and Algorithm 1 written out literally.

All classify noisy copies of the same 28x28 colour images with the same ResNet-20. They run in turn, several rounds, so
that a drift of the machine's speed falls on all of them; medians and ratios are printed. Each measurement is a process
of its own: the engine and the bare loop set the memory allocator as the engine does, the literal loop leaves it alone.

    python benchmarks/bench.py [--rounds 5] [--seconds 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from smoothcert.data import ImageSet
from smoothcert.engine.local import LocalEngine
from smoothcert.engine.runner import lock
from smoothcert.engine.work import Work
from smoothcert.models import Classifier
from smoothcert.models.resnet import build
from smoothcert.sampling.memory import keep_freed_memory
from smoothcert.sampling.recipe import DTYPES, choose_recipe, prepare
from smoothcert.spec import make_request

SIGMA, CLASSES, IMAGES = 0.5, 8, 64
LITERAL_BATCH = 1000


@dataclass(frozen=True)
class Contestant:
    """A way to classify noisy copies; `run(copies)` returns how many it did."""

    name: str
    run: Callable[[int], int]


def classifier() -> Classifier:
    torch.manual_seed(0)
    module = build("resnet20", CLASSES, 3).eval()
    return Classifier(module, CLASSES, (3, 28, 28), (0.5,) * 3, (0.5,) * 3, "", "resnet20", True, "resnet20", SIGMA)


def images() -> ImageSet:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (IMAGES, 28, 28, 3), dtype=np.uint8)
    names = tuple(str(c) for c in range(CLASSES))
    return ImageSet("random", pixels, rng.integers(0, CLASSES, IMAGES), class_names=names)


def engine(precision: str) -> Contestant:
    """The package: noise, waves, votes, looks and bounds of many images (fixed sampling, so that the work is known)."""

    def run(copies: int) -> int:
        n_max = max(1, copies // IMAGES)
        request = make_request(
            model="-", data="-", sigma=(SIGMA,), precision=precision, n_max=n_max, stopping="fixed", target="label"
        )
        base, data = classifier(), images()
        work = Work(request, data, {SIGMA: base}, choose_recipe(base, request, data.shape))
        sampler = work.sampler(SIGMA, seed=1)
        began[0] = time.perf_counter()
        for _ in LocalEngine(lock(work), work).lines(SIGMA, sampler, range(IMAGES)):
            pass
        return sampler.copies

    return Contestant(f"engine {precision}", run)


def bare(precision: str) -> Contestant:
    """The forward pass alone: the engine's prepared classifier on one constant batch of its size."""

    def run(copies: int) -> int:
        keep_freed_memory()
        base = classifier()
        request = make_request(model="-", data="-", sigma=(SIGMA,), precision=precision)
        recipe = choose_recipe(base, request, (3, 28, 28))
        forward = prepare(base, recipe)
        batch = torch.rand(recipe.batch_size, 3, 28, 28).to(DTYPES[precision])
        if recipe.memory_format == "channels_last":
            batch = batch.to(memory_format=torch.channels_last)
        done = 0
        with torch.inference_mode():
            began[0] = time.perf_counter()
            while done < copies:
                forward(batch)
                done += len(batch)
        return done

    return Contestant(f"bare forward {precision}", run)


def literal() -> Contestant:
    """SampleUnderNoise of Cohen, Rosenfeld and Kolter (2019), Algorithm 1: fp32, one image at a time, randn noise."""

    def run(copies: int) -> int:
        base, data = classifier(), images()
        base.module.to(memory_format=torch.contiguous_format)
        done, left, index = 0, copies, 0
        began[0] = time.perf_counter()
        while left > 0:
            image = torch.from_numpy(data.pixels(index % IMAGES) / np.float32(255))
            counts, n = np.zeros(CLASSES, dtype=int), min(left, 10 * LITERAL_BATCH)
            with torch.no_grad():
                for _ in range(-(-n // LITERAL_BATCH)):
                    this = min(LITERAL_BATCH, n)
                    batch = image.repeat(this, 1, 1, 1)
                    noisy = (batch + torch.randn_like(batch) * SIGMA - 0.5) / 0.5
                    counts += np.bincount(base.module(noisy).argmax(1).numpy(), minlength=CLASSES)
                    n, done, left = n - this, done + this, left - this
            index += 1
        return done

    return Contestant("Algorithm 1, literal, fp32", run)


began = [0.0]
CONTESTANTS = {each.name: each for each in (*map(engine, ("fp32", "bf16")), *map(bare, ("fp32", "bf16")), literal())}
RATIOS = (
    ("engine fp32", "bare forward fp32"),
    ("engine bf16", "bare forward bf16"),
    ("engine fp32", "Algorithm 1, literal, fp32"),
    ("engine bf16", "Algorithm 1, literal, fp32"),
)


def rate(contestant: Contestant, copies: int) -> float:
    done = contestant.run(copies)
    return done / (time.perf_counter() - began[0])


def one(name: str, seconds: float) -> float:
    """Measure one contestant in this process: a warm-up that sets the number of copies, then the measured run."""
    contestant = CONTESTANTS[name]
    rate(contestant, 4096)
    return rate(contestant, max(4096, int(seconds * rate(contestant, 4096))))


def apart(name: str, seconds: float) -> float:
    """Measure one contestant in a process of its own, so that each has the memory allocator it would have."""
    command = [sys.executable, __file__, "--one", name, "--seconds", str(seconds)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="measured time of each contestant in each round")
    parser.add_argument("--one", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(one(options.one, options.seconds))
        return
    rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in track(range(options.rounds), "rounds", transient=True):
        for name in CONTESTANTS:
            rates[name].append(apart(name, options.seconds))
    report(rates)


def report(rates: dict[str, list[float]]) -> None:
    console = Console(width=100)
    title = f"ResNet-20, 28x28x3, torch {torch.__version__}, {torch.get_num_threads()} threads"
    table = Table("", "copies/s, median", "lowest", "highest", title=title)
    for name, found in rates.items():
        table.add_row(name, *(f"{value:,.0f}" for value in (statistics.median(found), min(found), max(found))))
    console.print(table)
    for mine, other in RATIOS:
        ratios = [a / b for a, b in zip(rates[mine], rates[other], strict=True)]
        console.print(f"{mine} / {other}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
