"""The rounds: every contestant in turn, each measurement a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from figures import Certified, Scale
from page import GUARANTEES
from peer import installed
from rich.progress import Progress

BENCH = Path(__file__).with_name("bench.py")

Task = dict[str, Any]

RATES: dict[str, Task] = {
    "engine-fp32": {"who": "engine"},
    "engine-bf16": {"who": "engine", "precision": "bf16"},
    "bare-fp32": {"who": "bare"},
    "bare-bf16": {"who": "bare", "precision": "bf16"},
    "literal": {"who": "literal"},
    "published": {"who": "literal", "batch_size": 1000},
    "art": {"who": "art"},
    "engine-fp32-left": {"who": "engine", "keep": False},
    "engine-bf16-left": {"who": "engine", "precision": "bf16", "keep": False},
    "literal-kept": {"who": "literal", "keep": True},
    "published-kept": {"who": "literal", "batch_size": 1000, "keep": True},
    "art-kept": {"who": "art", "keep": True},
}
"""Contestants of the rates; a batch size left out is the best of those tried, keep left out is their own way."""


class Bench:
    """Runs measurements one after the other and shows how far it has come."""

    def __init__(self, scale: Scale, progress: Progress) -> None:
        self.scale, self._progress = scale, progress
        self.has_art = installed() is not None
        steps = len(self._of(("literal", "art"))) * len(scale.batches) * scale.tries
        steps += len(self._of(RATES)) * scale.rounds + len(self._of(GUARANTEES)) * scale.guarantee_rounds
        self._bar = progress.add_task("", total=steps)

    def tried(self) -> dict[str, dict[int, float]]:
        """Try batch sizes for the contestants whose user chooses one."""
        found: dict[str, dict[int, float]] = {"literal": {}, "art": {}}
        for size in self.scale.batches * self.scale.tries:
            for who in self._of(found):
                rate = self._rate({"who": who, "batch_size": size}, self.scale.seconds / 2)
                found[who][size] = max(rate, found[who].get(size, 0.0))
        return found

    def rates(self, sizes: dict[str, int]) -> dict[str, tuple[float, ...]]:
        """Measure samples per second, round by round; the order turns by one place each round."""
        found: dict[str, tuple[float, ...]] = dict.fromkeys(RATES, ())
        for _, name in self._turns(RATES, self.scale.rounds):
            task = {"batch_size": sizes.get(RATES[name]["who"], 0), **RATES[name]}
            found[name] += (self._rate(task, self.scale.seconds),)
        return found

    def guarantees(self, sizes: dict[str, int]) -> dict[str, tuple[Certified, ...]]:
        """Certify the same images with everyone, round by round."""
        found: dict[str, tuple[Certified, ...]] = dict.fromkeys(GUARANTEES, ())
        for seed, name in self._turns(GUARANTEES, self.scale.guarantee_rounds):
            task = {"who": name, "images": self.scale.images, "n_max": self.scale.n_max, "seed": seed}
            answer = self._apart("--guarantee", {**task, "batch_size": sizes.get(name, 0)})
            found[name] += (Certified(**{**answer, "certified": tuple(answer["certified"])}),)
        return found

    def _of(self, names: Collection[str]) -> list[str]:
        return [name for name in names if self.has_art or not name.startswith("art")]

    def _turns(self, names: Collection[str], rounds: int) -> Iterator[tuple[int, str]]:
        here = self._of(names)
        for i in range(rounds):
            yield from ((i, here[(i + j) % len(here)]) for j in range(len(here)))

    def _rate(self, task: Task, seconds: float) -> float:
        return float(self._apart("--rate", {**task, "seconds": seconds, "least": self.scale.least}))

    def _apart(self, kind: str, task: Task) -> Any:
        """Measure in a process of its own."""
        self._progress.update(self._bar, description=" ".join(str(task[key]) for key in ("who", "batch_size")))
        command = [sys.executable, str(BENCH), kind, json.dumps(task)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"A measurement failed: {task}\n{done.stderr[-2000:]}")
        self._progress.advance(self._bar)
        return json.loads(done.stdout.splitlines()[-1])
