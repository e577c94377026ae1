"""Sealed runs of any size without classifier or images: votes drawn from made-up probabilities. Synthetic, called so.

What an image is asked for is the real procedure: selection, looks, running bounds, futility.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import DataFacts, ModelFacts, Recipe, Spec, make_request
from smoothcert.evidence import RunDirectory
from smoothcert.evidence.creation import create_run
from smoothcert.evidence.events import LEVEL, STARTED, append_event, environment
from smoothcert.evidence.outcomes import plan_of
from smoothcert.evidence.seal import seal_run
from smoothcert.stats import Bounds, Plan, Tally, schedule
from smoothcert.stats.bounds_rule import step
from smoothcert.verify.plain import thresholds

SIGMA, SHAPE, LEVELS, SEED = 0.5, (3, 28, 28), 255, 7
RIVALS = 6  # classes an image is ever mistaken for
BLOCK = 20_000
HASH = "sha256:" + hashlib.sha256(b"synthetic").hexdigest()

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Drawn:
    """What a run is drawn for: images, classes, k and the most samples of an image."""

    images: int
    classes: int = 8
    k: tuple[int, ...] = (1,)
    n_max: int = 10_000


def draw_run(path: Path, wanted: Drawn, packed: bool = False) -> Path:
    """Write a sealed run; the same `wanted` gives the same votes. Packed: its ledger file is gzip's."""
    rng = np.random.default_rng(SEED)
    labels = rng.integers(0, wanted.classes, wanted.images)
    spec = spec_of(wanted, labels)
    run = create_run(path, spec, environment(1))
    append_event(run.events, STARTED, lines=0, worker="drawn", recipe=None)
    tests = {"self_test": {"bit_equal": True}, "noise_test": {"passed": True}}  # nothing is sampled: votes are drawn
    append_event(run.events, LEVEL, sigma=SIGMA, **tests)
    began = np.datetime64(run.own_events()[0].at.removesuffix("Z"))
    name = run.ledger / ("drawn.jsonl.gz" if packed else "drawn.jsonl")
    with gzip.open(name, "wt", compresslevel=6) if packed else name.open("w") as file:
        for first in range(0, wanted.images, BLOCK):
            file.writelines(_lines(rng, spec, labels[first : first + BLOCK], first, began))
    _seal(run, spec)
    return path


def _seal(run: RunDirectory, spec: Spec) -> None:
    seal_run(run, spec, run.read_ledger())


def spec_of(wanted: Drawn, labels: Whole) -> Spec:
    """Return the spec of a drawn run: integer noise, one sigma."""
    asked = make_request(
        model="drawn", data="d.npz", sigma=str(SIGMA), k=wanted.k, radius="0.25,0.5,1.0", n_max=wanted.n_max
    )
    head = f"({len(labels)},) int64\n".encode()
    eta = float(np.prod(SHAPE)) * thresholds(SIGMA, LEVELS) * 2.0**-64
    return Spec(
        smoothcert="0.1.0",
        request=asked,
        looks=schedule(wanted.n_max),
        seed=SEED,
        seed_source="user",
        models=(
            ModelFacts(
                sigma=SIGMA,
                written=str(SIGMA),
                reference="drawn",
                weights=None,
                sha256=HASH,
                arch=None,
                input_shape=SHAPE,
                mean=(),
                std=(),
                trained_sigma=None,
                own=False,
                eta=eta,
            ),
        ),
        data=DataFacts(
            reference=f"synthetic:{wanted.images}",
            sha256=HASH,
            labels_sha256="sha256:" + hashlib.sha256(head + labels.astype("<i8").tobytes()).hexdigest(),
            images=wanted.images,
            shape=SHAPE,
            levels=LEVELS,
            class_names=tuple(f"class {c}" for c in range(wanted.classes)),
            class_counts=tuple(np.bincount(labels, minlength=wanted.classes).tolist()),
            preprocessing=(),
            grouped=False,
        ),
        recipe=Recipe(
            precision="fp32",
            folded=False,
            autocast=False,
            compiled=False,
            memory_format="contiguous",
            batch_size=512,
            device="none (votes were drawn)",
            instructions="none",
            torch="none",
        ),
    )


def _lines(rng: np.random.Generator, spec: Spec, labels: Whole, first: int, began: np.datetime64) -> Iterator[str]:
    """Yield the ledger lines of a block of images, the earliest decided first."""
    m, n0 = len(labels), spec.request.n0
    rivals = min(RIVALS, spec.classes - 1)
    share = 1 / (1 + np.exp(-rng.normal(2.5, 2.2, m)))  # of the label: many are easy, some hopeless
    split = rng.dirichlet(np.full(rivals, 0.5), m)
    p = np.column_stack([share, (1 - share)[:, None] * split])
    offsets = (rng.integers(0, spec.classes, m)[:, None] + np.arange(rivals)) % (spec.classes - 1)
    classes = np.column_stack([labels, (labels[:, None] + 1 + offsets) % spec.classes])
    selection = rng.multinomial(n0, p)
    looks = _looks(rng, spec, p, selection, classes)
    texts = _votes(selection, classes)
    for i in range(m):
        index, taken = first + i, looks[i]
        samples = n0 + (taken[-1][0] if taken else 0)
        said = ",".join(f"[{n},{votes}]" for n, votes in taken)
        image = hashlib.sha256(str(index).encode()).hexdigest()
        yield (
            f'{{"sigma":{SIGMA},"index":{index},"image":"sha256:{image}","label":{labels[i]},"group":null,'
            f'"selection":{texts[i]},"looks":[{said}],"seconds":{samples / 5000:.4f},"worker":"drawn",'
            f'"at":"{began + index // 50}Z"}}\n'
        )


def _looks(
    rng: np.random.Generator, spec: Spec, p: NDArray[np.float64], selection: Whole, classes: Whole
) -> list[list[tuple[int, str]]]:
    """Return for each image its looks, the votes as JSON."""
    plan, m = plan_of(spec, SIGMA), len(p)
    wrong = (selection[:, 1:].max(axis=1) > selection[:, 0]) | (
        (selection[:, 1:] == selection[:, :1]) & (classes[:, 1:] < classes[:, :1])
    ).any(axis=1)
    targets = spec.request.targets
    still = {k: ~wrong if target == "prediction" else np.ones(m, bool) for k, target in targets.items()}
    bounds = {k: Bounds(np.ones(m), np.ones((m, k))) for k in targets}
    counts, before, found = np.zeros(p.shape, np.int64), 0, [[] for _ in range(m)]
    for n in plan.looks:
        at = np.flatnonzero(np.any(list(still.values()), axis=0))
        counts[at] += rng.multinomial(n - before, p[at])
        for i, text in zip(at.tolist(), _votes(counts[at], classes[at]), strict=True):
            found[i].append((n, text))
        for k in targets:
            _step(counts, (bounds[k], still[k]), n, plan, k)
        before = n
    return found


def _step(counts: Whole, state: tuple[Bounds, NDArray[np.bool_]], n: int, plan: Plan, k: int) -> None:
    bounds, still = state
    at = np.flatnonzero(still)
    ranked = -np.sort(-counts[at, 1:], axis=1)
    tally = Tally(np.full(len(at), n), counts[at, 0], np.pad(ranked, ((0, 0), (0, max(0, k - ranked.shape[1])))))
    now, on = step(tally, Bounds(bounds.q[at], bounds.u[at]), RADII, plan, k)
    bounds.q[at], bounds.u[at], still[at] = now.q, now.u, on


RADII = (0.25, 0.5, 1.0)


def _votes(counts: Whole, classes: Whole) -> Sequence[str]:
    """Return votes by class as JSON, classes in order, those without a vote left out."""
    order = np.argsort(classes, axis=1)
    ranked = np.take_along_axis(counts, order, axis=1).tolist(), np.take_along_axis(classes, order, axis=1).tolist()
    return [
        "{" + ",".join(f'"{c}":{n}' for n, c in zip(*row, strict=True) if n) + "}" for row in zip(*ranked, strict=True)
    ]
