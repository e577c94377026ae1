"""One session of a run: sample what is missing, append lines as images are decided, seal the run when it is whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from smoothcert.data.inspection import Inspection
from smoothcert.engine import warnings
from smoothcert.engine.local import Engine, LocalEngine
from smoothcert.engine.measure import measure_changes, measure_clean, measure_rates, measure_repeats
from smoothcert.engine.preflight import Preflight
from smoothcert.engine.workload import Reading
from smoothcert.errors import SmoothcertError
from smoothcert.evidence import RunDirectory
from smoothcert.evidence.events import (
    CHANGED,
    CLEAN,
    ENERGY,
    LEVEL,
    RATES,
    REPEATED,
    SESSION_ENDED,
    WORKER,
    append_event,
    code_sha256,
    utc_now,
)
from smoothcert.evidence.ledger import LedgerWriter
from smoothcert.evidence.seal import finish_shard, refuse_finished, seal_files, seal_run
from smoothcert.formats.line import Line
from smoothcert.sampling.sampler import noise_test, self_test


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        sigma: noise level being sampled.
        decided: (sigma, image) pairs with a ledger line.
        total: all pairs of the run, or of the shard that is sampled here.
        lines: pairs decided in this session.
        samples: noise samples drawn in this session, by all its workers.
        fixed_samples: samples that fixed sampling would have drawn for those lines.
        decided_samples: samples drawn for those lines.
        seconds: sampling time of this session.
    """

    sigma: float
    decided: int
    total: int
    lines: int
    samples: int
    fixed_samples: int
    decided_samples: int
    seconds: float

    @property
    def seconds_left(self) -> float | None:
        """Time left at the rate of this session; None before its first line."""
        return self.seconds / self.lines * (self.total - self.decided) if self.lines else None


@dataclass(frozen=True)
class Hooks:
    """Callbacks of a run: its progress, its warnings, and the order in which images are sampled."""

    on_read: Reading = lambda done, total: None
    on_images: Callable[[Inspection], None] = lambda _: None
    on_preflight: Callable[[Preflight], None] = lambda _: None
    on_progress: Callable[[Progress], None] = lambda _: None
    on_worker: Callable[[dict[str, Any]], None] = lambda _: None
    on_warning: Callable[[str], None] = lambda _: None
    order: Callable[[list[int]], Sequence[int]] = lambda indices: indices


NOISE_TESTED_IMAGES = 256


class Session:
    """The work of one process on a run, from the first missing image to the seal, under an exclusive lock."""

    def __init__(self, run: RunDirectory, local: LocalEngine, engine: Engine, hooks: Hooks) -> None:
        """Prepare to sample; nothing is written yet.

        Args:
            run: a run directory with a locked spec.
            local: this process, with that spec and its images and classifiers, already checked against it.
            engine: samples the images: `local` itself, or a pool of workers.
            hooks: callbacks.
        """
        self._run, self._local, self._engine, self._hooks = run, local, engine, hooks
        self._spec, self._work, self._share = local.spec, local.work, run.share
        self._decided = self._total = self._lines = self._line_samples = 0
        self._began = 0.0

    def sample(self, event: str) -> None:
        """Sample every missing image of the run or shard; seal the run, or finish the shard.

        Args:
            event: name of this session's first event.

        Raises:
            EvidenceError: another process is writing this run, or has finished it.
            ModelError: the classifier fails or returns NaN under noise.
        """
        indices = self._spec.indices if self._share is None else self._share.part(self._spec.indices)
        with self._run.locked():
            refuse_finished(self._run)
            ledger = self._run.read_ledger()
            done, files = ledger.keys(), seal_files(ledger)
            missing = {sigma: [index for index in indices if (sigma, index) not in done] for sigma in self._sigmas}
            self._began, self._total = time.monotonic(), len(self._sigmas) * len(indices)
            self._decided = self._total - sum(map(len, missing.values()))
            append_event(self._run.events, event, lines=len(done), files=files, **self._facts())
            self._measure()
            name = f"{self._engine.worker}.jsonl"
            with LedgerWriter(self._run.ledger / name, ledger.files.get(name)) as writer:
                try:
                    for sigma, images in missing.items():
                        if images:
                            self._level(sigma, images, writer)
                except BaseException:
                    self._interrupted({**files, name: writer.written.record()})
                    raise
            self._finish()

    @property
    def _sigmas(self) -> list[float]:
        return list(self._work.classifiers)

    def _facts(self) -> dict[str, Any]:
        recipe = None if self._local.recipe_name is None else self._work.recipe.model_dump()
        part = {} if self._share is None else {"shard": str(self._share)}
        return {"worker": self._engine.worker, "recipe": recipe, "code_sha256": code_sha256(), **part}

    def _measure(self) -> None:
        """Record once per run what is measured beside the votes: clean accuracy, perturbations, rates.

        Of several shards only the first measures: the numbers are about all images of the run.
        """
        if self._share is not None and self._share.number > 0:
            return
        known = [(event.event, event.facts.get("sigma")) for event in self._run.read_events()]
        if (REPEATED, None) not in known:
            append_event(self._run.events, REPEATED, **measure_repeats(self._work))
        for sigma in self._sigmas:
            if (CLEAN, sigma) not in known:
                append_event(self._run.events, CLEAN, **measure_clean(self._work, sigma))
        if (CHANGED, None) not in known:
            append_event(self._run.events, CHANGED, **measure_changes(self._work))
        if not any(event == RATES for event, _ in known):
            append_event(self._run.events, RATES, **measure_rates(self._work, self._sigmas[0], self._spec.seed))

    def _level(self, sigma: float, missing: list[int], writer: LedgerWriter) -> None:
        self._test(sigma, missing[0])
        before, began, meter = self._engine.samples, time.monotonic(), self._engine.meter()
        meter.start()
        since = self._run.own_events()[-1].at
        for lines in self._engine.sample(sigma, self._hooks.order(missing), self._record_worker):
            writer.append(_dated_within(since, lines))
            meter.poll()
            self._report(sigma, lines)
        joules, seconds, samples = meter.stop(), time.monotonic() - began, self._engine.samples - before
        used = {"copies": samples, "joules": joules, "source": meter.source, "seconds": round(seconds, 3)}
        append_event(self._run.events, ENERGY, sigma=sigma, **used)

    def _test(self, sigma: float, index: int) -> None:
        """Record the self-test of the recipe and the test of the delivered noise."""
        noise = self._work.noise(sigma, self._spec.seed)
        delivered = noise_test(noise, list(self._spec.indices[:NOISE_TESTED_IMAGES]), self._spec.data.shape)
        found = self_test(self._local.sampler(sigma), index)
        tests = {"self_test": asdict(found), "noise_test": delivered}
        append_event(self._run.events, LEVEL, sigma=sigma, **tests)
        if not found.bit_equal:
            self._hooks.on_warning(warnings.of_self_test(f"{sigma:g}", f" (by up to {found.largest_difference:.2g})"))
        if not delivered["passed"]:
            raise SmoothcertError(
                f"The noise delivered at sigma {sigma:g} does not have the expected distribution: {delivered}. "
                "No vote was counted. This is a defect of this machine or of the package.",
                code="E-RUN-009",
            )

    def _record_worker(self, facts: dict[str, Any]) -> None:
        append_event(self._run.events, WORKER, **facts)
        self._hooks.on_worker(facts)

    def _report(self, sigma: float, lines: list[Line]) -> None:
        self._decided += len(lines)
        self._lines += len(lines)
        self._line_samples += sum(line.samples for line in lines)
        self._hooks.on_progress(
            Progress(
                sigma=sigma,
                decided=self._decided,
                total=self._total,
                lines=self._lines,
                samples=self._engine.samples,
                fixed_samples=self._lines * self._spec.request.max_samples,
                decided_samples=self._line_samples,
                seconds=time.monotonic() - self._began,
            )
        )

    def _interrupted(self, files: dict[str, Any]) -> None:
        """Record the state of the ledger files when a session ends early, so that a line lost later is noticed."""
        with suppress(OSError):  # the error that ended the session is raised instead
            append_event(self._run.events, SESSION_ENDED, files=files)

    def _finish(self) -> None:
        ledger = self._run.read_ledger()
        if self._share is None:
            seal_run(self._run, self._spec, ledger)
        else:
            finish_shard(self._run, ledger)


def _dated_within(time: str, lines: list[Line]) -> list[Line]:
    """Correct the times of lines if a worker's clock is behind the event log or ahead: no line is older than `time`."""
    now = max(time, utc_now())
    return [replace(line, at=min(max(line.at, time), now)) for line in lines]
