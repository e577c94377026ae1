"""How often votes and decisions differ between numeric recipes: batch shapes, precisions, folding, eager and compiled.

The noise integers of a copy are the same in all of them; what differs is the classifier's rounding. Every recipe gets
the same seed, images and samples.

    python benchmarks/recipes.py --model weights/r20_0.25.safetensors --data images.npz#val --sigma 0.25
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from smoothcert.config import make_request
from smoothcert.engine.local import LocalEngine
from smoothcert.engine.run import freeze_spec
from smoothcert.engine.workload import Workload, load_workload
from smoothcert.evidence.outcomes import outcomes
from smoothcert.formats.line import Line
from smoothcert.noise import Rows, Stage

SEED = 20_190_209
VARIANTS = {
    "bf16, batch 1024": {"precision": "bf16", "batch_size": 1024},
    "bf16, batch 64": {"precision": "bf16", "batch_size": 64},
    "bf16, batch 1024, compiled": {"precision": "bf16", "batch_size": 1024, "compile": "on"},
    "fp32, batch 1024": {"precision": "fp32", "batch_size": 1024},
    "fp32, batch 64": {"precision": "fp32", "batch_size": 64},
    "fp32, batch 1024, compiled": {"precision": "fp32", "batch_size": 1024, "compile": "on"},
}


@dataclass(frozen=True)
class Seen:
    """What one recipe gave: the input bits and the class of every copy, and the decisions of every image."""

    inputs: list[bytes]
    votes: NDArray[np.int64]
    decisions: NDArray[np.bool_]


def run(options: argparse.Namespace, variant: dict[str, object]) -> Seen:
    request = make_request(
        model=options.model,
        data=options.data,
        sigma=(options.sigma,),
        limit=options.images,
        n_max=options.n_max,
        k=(1, 3),
        seed=SEED,
        **variant,
    )
    work = load_workload(request)
    inputs, votes = samples(work, options.sigma, options.samples)
    spec = freeze_spec(work)
    engine = LocalEngine(spec, work)
    lines = [
        line for wave in engine.lines(options.sigma, work.sampler(options.sigma, SEED), spec.indices) for line in wave
    ]
    return Seen(inputs, votes, decisions(work, sorted(lines, key=lambda line: line.index), options.sigma))


def samples(work: Workload, sigma: float, count: int) -> tuple[list[bytes], NDArray[np.int64]]:
    """Return the input bits and the class of `count` samples of each image."""
    sampler = work.sampler(sigma, SEED)
    index = np.repeat(work.images.indices, count)
    sample = np.tile(np.arange(count), len(work.images))
    bits, votes = [], []
    for start in range(0, len(index), sampler.batch_size):
        here = np.resize(np.arange(start, min(start + sampler.batch_size, len(index))), sampler.batch_size)
        slots, slot = np.unique(index[here], return_inverse=True)
        for i, image in enumerate(slots):
            sampler.load(i, int(image))
        found = sampler.logits(Rows.of(slot, index[here], sample[here], Stage.TEST)).argmax(1).numpy()
        kept = min(sampler.batch_size, len(index) - start)
        votes.append(found[:kept])
        bits += [row.tobytes() for row in sampler._bits[:kept]]
    return bits, np.concatenate(votes)


def decisions(work: Workload, lines: list[Line], sigma: float) -> NDArray[np.bool_]:
    spec = freeze_spec(work)
    found = [outcomes(spec, lines, sigma, k) for k in spec.request.k]
    return np.stack([each.certified_correct(r) for each in found for r in spec.request.radius])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--sigma", type=float, required=True)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--n-max", type=int, default=1000)
    options = parser.parse_args()
    seen = {name: run(options, variant) for name, variant in track(VARIANTS.items(), "recipes", transient=True)}
    report(seen)


def report(seen: dict[str, Seen]) -> None:
    table = Table("recipe", "compared with", "inputs equal", "votes that differ", "decisions that differ")
    for name, found in seen.items():
        base = "bf16, batch 1024" if name.startswith("bf16") or name == "fp32, batch 1024" else "fp32, batch 1024"
        if name == base:
            continue
        other = seen[base]
        inputs = "yes" if found.inputs == other.inputs else "other precision"
        votes, decided = (found.votes != other.votes), (found.decisions != other.decisions)
        table.add_row(
            name,
            base,
            inputs,
            f"{votes.sum()} of {votes.size} ({votes.mean():.2%})",
            f"{decided.sum()} of {decided.size}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
