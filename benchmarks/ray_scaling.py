"""Does sampling by several workers on Ray keep the rate of one process? Both in turn, on the same images and samples.

One process with a thread a core, and as many one-thread workers as there are cores, certify random images with a
ResNet-20 of random weights at two noise levels; the rate is that of the second, at which all workers are at work. The
label of an image is what the network answers for it under noise, so that most samples are drawn. Every measurement is a
process of its own, and rounds are interleaved, so that a drift of the machine's speed falls on both.

    python benchmarks/ray_scaling.py [--rounds 5] [--images 64] [--samples 2000] [--stopping fixed] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

SIGMAS = (0.25, 0.5)
TARGET = 0.9
ENGINES = ("local", "ray")


def write_inputs(folder: Path, images: int) -> None:
    """Write the classifier and the images, as another machine would find them."""
    import torch
    from workload import CLASSES, Normalised, classifier

    from smoothcert.formats.card import Card
    from smoothcert.models.checkpoints import save_weights

    base = classifier()
    card = Card("resnet20", CLASSES, 3, mean=base.mean, std=base.std, sigma=SIGMAS[1])
    save_weights(base.module, card, folder / "net.safetensors")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, 28, 28, 3), dtype=np.uint8)
    noisy = torch.from_numpy(pixels / 255 + rng.normal(0, SIGMAS[1], pixels.shape)).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        answers = Normalised(base)(noisy).argmax(1).numpy()
    names = [str(c) for c in range(CLASSES)]
    np.savez(folder / "images.npz", images=pixels, labels=answers, class_names=names)


def measure(task: dict[str, str], folder: Path) -> dict[str, float | str]:
    """Certify once in this process; return samples per second at the second noise level, and the hash of the ledger."""
    import torch

    from smoothcert.config import make_request
    from smoothcert.engine.resources import Placement
    from smoothcert.engine.run import certify
    from smoothcert.evidence import open_run
    from smoothcert.evidence.events import ENERGY

    cores = int(task["cores"])
    torch.set_num_threads(cores)
    where = Placement(engine="ray", workers=cores) if task["engine"] == "ray" else Placement()
    asked = {name: task[name] for name in ("n_max", "stopping", "precision")}
    os.chdir(folder)
    request = make_request(model="net.safetensors", data="images.npz", sigma=SIGMAS, seed=1, device="cpu", **asked)
    with tempfile.TemporaryDirectory() as place:
        run = open_run(certify(request, Path(place) / "run", placement=where).path)
        last = [event.facts for event in run.directory.read_events() if event.event == ENERGY][-1]
        return {"rate": last["copies"] / last["seconds"], "ledger": run.ledger.sha256()}


def one(task: dict[str, str], folder: Path) -> dict[str, float | str]:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--task", json.dumps(task), "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"A measurement failed: {task}\n{done.stderr[-2000:]}")
    found: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return found


def rounds(options: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Measure both in turn, the order changing each round; their ledgers must be equal."""
    rates: dict[str, list[float]] = {engine: [] for engine in ENGINES}
    ledgers = set()
    for i in track(range(options.rounds), "rounds", transient=True):
        for engine in ENGINES[:: 1 if i % 2 == 0 else -1]:
            task = {"engine": engine, "n_max": options.samples, "cores": options.cores}
            found = one(task | {"stopping": options.stopping, "precision": options.precision}, folder)
            rates[engine].append(float(found["rate"]))
            ledgers.add(found["ledger"])
    if len(ledgers) != 1:
        raise SystemExit(f"The ledgers differ: {ledgers}")
    return rates


def report(options: argparse.Namespace, rates: dict[str, list[float]], load: float) -> None:
    table = Table("round", f"one process, {options.cores} threads", f"{options.cores} Ray workers", "ratio")
    ratios = [there / here for here, there in zip(rates["local"], rates["ray"], strict=True)]
    for i, (here, there, ratio) in enumerate(zip(rates["local"], rates["ray"], ratios, strict=True), 1):
        table.add_row(str(i), f"{here:,.0f} samples/s", f"{there:,.0f} samples/s", f"{ratio:.2f}")
    console = Console(width=100, highlight=False)
    console.print(table)
    middle = statistics.median(ratios)
    console.print(
        f"Ray against one process: {middle:.2f} (median of {len(ratios)}, target {TARGET}: "
        f"{'reached' if middle >= TARGET else 'MISSED'}); {options.images} images, {options.samples} samples at most, "
        f"{options.stopping}, {options.precision}; Ray {version('ray')}, load average at the start {load:.2f}."
        f"{' A trial: too short to mean anything.' if options.quick else ''}"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--samples", type=int, default=2000, help="n_max (default 2000)")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="threads, and workers")
    parser.add_argument("--stopping", choices=("fixed", "looks"), default="fixed")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--quick", action="store_true", help="a tiny trial run")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.images, options.samples = 1, 8, 200
    return options


def main() -> None:
    options, load = arguments(), os.getloadavg()[0]
    if options.task:
        print(json.dumps(measure(json.loads(options.task), options.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder), options.images)
        report(options, rounds(options, Path(folder)), load)


if __name__ == "__main__":
    main()
