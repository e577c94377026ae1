"""What a denoiser before the classifier costs: noise samples per second of pipelines, side by side.

A ResNet-20 alone, behind each built-in denoiser, two pipelines averaged, and a classifier of the size that is trained
with noise in examples/pbc28, all with random weights, on random 28x28 colour images. Rounds are interleaved, so that a
drift of the machine's speed falls on all.

    python benchmarks/denoisers.py [--rounds 3] [--seconds 4] [--precision bf16]
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import replace

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from workload import CLASSES, SIGMA, classifier, images

from smoothcert.config import Request
from smoothcert.engine.measure import samples_per_second
from smoothcert.engine.workload import Workload, workload_of
from smoothcert.models import Classifier, Denoiser
from smoothcert.models.denoisers.unet import build_denoiser
from smoothcert.models.ensemble import Ensemble
from smoothcert.models.resnet import build
from smoothcert.sampling.sampler import keep_freed_memory

ARCHS = ("unet-s", "unet-m", "unet-l")
MOST = 10_000
"""More batches than any measurement takes."""


def pipelines(precision: str) -> dict[str, Workload]:
    """Return what is measured, by name; the first is what the others are compared with."""
    base, denoisers = classifier(), {arch: denoiser(arch) for arch in ARCHS}
    mean = Ensemble([base, base], [denoisers["unet-m"]] * 2, sigma=SIGMA)
    both = replace(base, module=mean, mean=(0.0,), std=(1.0,), arch=None, built_in=False)
    found = {"resnet20": _workload(base, None, precision)}
    found |= {f"{arch}, resnet20": _workload(base, before, precision) for arch, before in denoisers.items()}
    found["2 x (unet-m, resnet20)"] = _workload(both, None, precision)
    found["wide20"] = _workload(
        replace(base, module=build("wide20", CLASSES, 3).eval(), arch="wide20"), None, precision
    )
    return found


def denoiser(arch: str) -> Denoiser:
    """Return a denoiser with random weights."""
    torch.manual_seed(0)
    return Denoiser(build_denoiser(arch, 3).eval(), f"{arch} at random", arch)


def _workload(base: Classifier, before: Denoiser | None, precision: str) -> Workload:
    request = Request(model="random", data="random", sigma=("0.5",), precision=precision)
    return workload_of(request, images(), {SIGMA: base}, {} if before is None else {SIGMA: before})


def main() -> None:
    """Measure all pipelines in turn, and print their rates and the ratios to the classifier alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--precision", default="bf16")
    args = parser.parse_args()
    keep_freed_memory()
    samplers = {name: each.sampler(SIGMA, 0) for name, each in pipelines(args.precision).items()}
    rates: dict[str, list[float]] = {name: [] for name in samplers}
    for name in track(list(samplers) * args.rounds, console=Console(stderr=True)):
        rates[name].append(samples_per_second(samplers[name], 0, args.seconds, MOST))
    first = next(iter(rates.values()))
    columns = ("pipeline", "samples/s, median (lowest to highest)", "time per sample, times that of resnet20")
    table = Table(*columns, title=f"{args.precision}, {torch.get_num_threads()} threads, {args.rounds} rounds")
    for name, found in rates.items():
        ratio = statistics.median(one / other for one, other in zip(first, found, strict=True))
        table.add_row(name, f"{statistics.median(found):,.0f} ({min(found):,.0f} to {max(found):,.0f})", f"{ratio:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
