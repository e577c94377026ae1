"""One session of a run: sample what is missing, append lines as images are decided, seal the run when it is whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from smoothcert.data.inspection import Inspection
from smoothcert.engine.energy import meter_of
from smoothcert.engine.local import LocalEngine
from smoothcert.engine.measure import measure_changes, measure_clean, measure_rates
from smoothcert.engine.preflight import Preflight
from smoothcert.engine.work import Reading, Work
from smoothcert.errors import SmoothcertError
from smoothcert.evidence import (
    CHANGED,
    CLEAN,
    ENERGY,
    FINISHED,
    LEVEL,
    RATES,
    LedgerWriter,
    Line,
    RunDirectory,
    append_event,
    results_record,
    write_json,
)
from smoothcert.sampling.sampler import Sampler
from smoothcert.sampling.selftest import noise_test, self_test
from smoothcert.spec import Spec

NOISE_TESTED_IMAGES = 256


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        sigma: noise level being sampled.
        decided: (sigma, image) pairs with a ledger line.
        total: all pairs of the run.
        copies: noisy copies drawn by this process.
        fixed_copies: copies fixed sampling would have drawn for the images this process decided.
        decided_copies: copies those images took.
        seconds: time this process has been sampling.
    """

    sigma: float
    decided: int
    total: int
    copies: int
    fixed_copies: int
    decided_copies: int
    seconds: float


@dataclass(frozen=True)
class Hooks:
    """What a caller may hear of a run, and how it may change the order of work."""

    on_read: Reading = lambda done, total: None
    on_images: Callable[[Inspection], None] = lambda _: None
    on_preflight: Callable[[Preflight], None] = lambda _: None
    on_progress: Callable[[Progress], None] = lambda _: None
    order: Callable[[list[int]], Sequence[int]] = lambda indices: indices


class Session:
    """One process's work on a run, from the first missing image to the seal."""

    def __init__(self, run: RunDirectory, spec: Spec, work: Work, hooks: Hooks) -> None:
        """Prepare to sample; nothing is written yet.

        Args:
            run: a run directory with a locked spec.
            spec: that spec.
            work: its images and classifiers, already checked against it.
            hooks: whom to tell.
        """
        self._run, self._spec, self._work, self._hooks = run, spec, work, hooks
        self._recipe = None if work.recipe == spec.recipe else work.recipe
        self._engine = LocalEngine(spec, work, recipe_name=None if self._recipe is None else self._recipe.name)
        self._decided = self._copies = self._lines = self._line_copies = 0
        self._began = 0.0

    def sample(self, event: str) -> None:
        """Sample every missing image and seal the run.

        Args:
            event: how this session is called in the event log.

        Raises:
            EvidenceError: another process is writing this run.
            ModelError: the classifier misbehaves under noise.
        """
        with self._run.locked():
            done = self._run.read_ledger().keys()
            self._decided, self._began = len(done), time.monotonic()
            recipe = None if self._recipe is None else self._recipe.model_dump()
            append_event(self._run.events, event, lines=len(done), worker=self._engine.worker, recipe=recipe)
            self._measure()
            with LedgerWriter(self._run.ledger / f"{self._engine.worker}.jsonl") as writer:
                for sigma in self._work.classifiers:
                    missing = [index for index in self._spec.indices if (sigma, index) not in done]
                    if missing:
                        self._level(sigma, missing, writer)
            self._seal()

    def _measure(self) -> None:
        """Record, once a run, what the documents say beside the votes: accuracy without noise, changes, rates."""
        known = [(event.event, event.facts.get("sigma")) for event in self._run.read_events()]
        for sigma in self._work.classifiers:
            if (CLEAN, sigma) not in known:
                append_event(self._run.events, CLEAN, **measure_clean(self._work, sigma))
        if (CHANGED, None) not in known:
            append_event(self._run.events, CHANGED, **measure_changes(self._work))
        if not any(event == RATES for event, _ in known):
            first = next(iter(self._work.classifiers))
            append_event(self._run.events, RATES, **measure_rates(self._work, first, self._spec.seed))

    def _level(self, sigma: float, missing: list[int], writer: LedgerWriter) -> None:
        sampler = self._work.sampler(sigma, self._spec.seed)
        self._test(sigma, sampler, missing[0])
        drawn_before, began, meter = self._copies, time.monotonic(), meter_of(self._work.recipe.device)
        meter.start()
        for lines in self._engine.lines(sigma, sampler, self._hooks.order(missing)):
            writer.append(lines)
            meter.poll()
            self._copies = drawn_before + sampler.copies
            self._tell(sigma, lines)
        joules, seconds = meter.stop(), time.monotonic() - began
        used = {"copies": sampler.copies, "joules": joules, "source": meter.source, "seconds": round(seconds, 3)}
        append_event(self._run.events, ENERGY, sigma=sigma, **used)

    def _test(self, sigma: float, sampler: Sampler, index: int) -> None:
        """Record the self-test of the recipe and the test of the noise that is about to be delivered."""
        noise = self._work.noise(sigma, self._spec.seed)
        delivered = noise_test(noise, list(self._spec.indices[:NOISE_TESTED_IMAGES]), self._spec.data.shape)
        tests = {"self_test": asdict(self_test(sampler, index)), "noise_test": delivered}
        append_event(self._run.events, LEVEL, sigma=sigma, **tests)
        if not delivered["passed"]:
            raise SmoothcertError(
                f"The noise delivered at sigma {sigma:g} does not have the distribution it must have: {delivered}. "
                "No vote was counted; this points to a defect of this machine or of the package."
            )

    def _tell(self, sigma: float, lines: list[Line]) -> None:
        self._decided += len(lines)
        self._lines += len(lines)
        self._line_copies += sum(line.samples for line in lines)
        request = self._spec.request
        self._hooks.on_progress(
            Progress(
                sigma=sigma,
                decided=self._decided,
                total=len(self._spec.models) * self._spec.data.images,
                copies=self._copies,
                fixed_copies=self._lines * request.most_copies,
                decided_copies=self._line_copies,
                seconds=time.monotonic() - self._began,
            )
        )

    def _seal(self) -> None:
        ledger = self._run.read_ledger()
        write_json(self._run.results / "results.json", results_record(self._spec, ledger))
        append_event(self._run.events, FINISHED, lines=len(ledger.lines), ledger_sha256=ledger.sha256())
