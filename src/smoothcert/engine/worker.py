"""A worker: one process of a cluster that loads the classifiers of a locked spec and samples the images it is sent.

Images arrive through a work queue while it samples, so that its batches stay full to the last image.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Sequence
from threading import Lock

from smoothcert.config import read_spec
from smoothcert.data import ImageSet
from smoothcert.engine.local import LocalEngine, WorkQueue
from smoothcert.engine.messages import Heartbeat, Job, Ready, Refusal, Results
from smoothcert.engine.workload import check_models, load_workload
from smoothcert.errors import EvidenceError, RecipeError, SmoothcertError
from smoothcert.sampling.recipe import differences

QUIET_SECONDS = 0.5
"""Seconds between two messages of a worker that decides nothing; decided images are sent at once."""


class Worker:
    """Samples images of a run and returns ledger lines as text; it writes nothing.

    `feed` and `beat` may be called from other threads while `lines` runs.
    """

    def __init__(self, name: str, job: Job, images: ImageSet) -> None:
        """Store the work; nothing is loaded yet.

        Args:
            name: written into ledger lines.
            job: what to certify.
            images: the images, shared with the other workers of this machine.
        """
        self._name, self._job, self._images = name, job, images
        self._engine: LocalEngine | None = None
        self._queues: dict[float, WorkQueue] = {}
        self._lock = Lock()

    def load(self) -> Ready | Refusal:
        """Load the classifiers; check that they, and the numeric recipe of this machine, are those of the run."""
        node = socket.gethostname()
        try:
            self._engine = self._loaded()
        except SmoothcertError as error:
            return Refusal(type(error).__name__, f"Worker {self._name} on {node}: {error}", error.code)
        return Ready(node, os.getpid())

    def _loaded(self) -> LocalEngine:
        _enter(self._job.folder)
        _use_threads(self._job.threads)
        spec = read_spec(self._job.spec)
        work = load_workload(self._job.request, images=self._images, consent=self._job.consent)
        check_models(spec, work)
        differing = differences(self._job.recipe, work.recipe)
        if differing:
            raise RecipeError(
                f"This machine's numeric recipe is not the run's: {'; '.join(differing)}. Every worker must compute "
                "like the machine that started the run: use machines with the same processor, device and software.",
                code="E-RECIPE-002",
            )
        return LocalEngine(spec, work, self._name, None if work.recipe == spec.recipe else work.recipe.name)

    def feed(self, sigma: float, indices: Sequence[int], last: bool = False) -> None:
        """Add images of one noise level; with `last`, no more follow."""
        queue = self._queue(sigma)
        queue.put(indices)
        if last:
            queue.close()

    def beat(self) -> Heartbeat:
        """Return how many samples are drawn."""
        return Heartbeat(0 if self._engine is None else self._engine.drawn)

    def lines(self, sigma: float) -> Iterator[Results | Refusal]:
        """Sample the images given by `feed`, until the last."""
        try:
            yield from self._results(sigma)
        except SmoothcertError as error:
            yield Refusal(type(error).__name__, str(error), error.code)

    def _results(self, sigma: float) -> Iterator[Results]:
        if self._engine is None:
            raise EvidenceError(f"Worker {self._name} has not loaded its classifiers.", code="E-RUN-010")
        _use_threads(self._job.threads)
        before, sent = self._engine.samples, time.monotonic()
        for lines in self._engine.sample_queue(sigma, self._queue(sigma)):
            if lines or time.monotonic() - sent > QUIET_SECONDS:
                sent = time.monotonic()
                yield Results(tuple(line.to_json() for line in lines), self._engine.samples - before)

    def _queue(self, sigma: float) -> WorkQueue:
        with self._lock:  # images may arrive before sampling begins
            return self._queues.setdefault(sigma, WorkQueue())


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise EvidenceError(
            f"Expected the folder {folder}, in which the run was started, found none ({error.strerror}). Every machine "
            "needs the files and code of the classifier at the same path.",
            code="E-RUN-011",
        ) from None


def _use_threads(threads: int) -> None:
    """Set the number of threads for the calling thread: OpenMP keeps a number for each."""
    import torch

    torch.set_num_threads(threads)
