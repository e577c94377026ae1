"""A worker: one process of a cluster that loads the classifiers of a locked spec and samples the images it is sent.

Images arrive through a work queue while it samples, so that its batches stay full to the last image.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from threading import Condition, Lock

from smoothcert.config import read_spec
from smoothcert.data import ImageSet
from smoothcert.engine.local import LocalEngine
from smoothcert.engine.messages import Heartbeat, Job, Ready, Refusal, Results
from smoothcert.engine.workload import check_models, load_workload
from smoothcert.errors import EvidenceError, RecipeError, SmoothcertError
from smoothcert.sampling.recipe import differences


class WorkQueue:
    """Images for one worker at one noise level, put in by one thread and taken out by another.

    As an iterator it runs dry where no image is waiting but some are being sampled, and goes on once more have come;
    where none is being sampled either, it waits. After `close` it ends for good.
    """

    def __init__(self) -> None:
        """Start empty and open."""
        self._waiting: deque[int] = deque()
        self._sampled = 0
        self._closed = False
        self._changed = Condition()

    def put(self, indices: Iterable[int]) -> None:
        """Add images."""
        with self._changed:
            self._waiting.extend(indices)
            self._changed.notify_all()

    def close(self) -> None:
        """Promise that no more images come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def decided(self, images: int) -> None:
        """Take note that so many of the images taken out are decided."""
        with self._changed:
            self._sampled -= images

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed or self._sampled)
            if not self._waiting:
                raise StopIteration
            self._sampled += 1
            return self._waiting.popleft()


QUIET_SECONDS = 0.5
"""A worker that decides nothing says so this often at most; decided images are told at once."""


class Worker:
    """Samples images of a run and returns ledger lines as text; it writes nothing.

    `feed` and `beat` may be called while `lines` is at work, by other threads.
    """

    def __init__(self, name: str, job: Job, images: ImageSet) -> None:
        """Take note of the work; nothing is loaded yet.

        Args:
            name: written into ledger lines.
            job: what to certify.
            images: the images, shared with the other workers of this machine.
        """
        self._name, self._job, self._images = name, job, images
        self._engine: LocalEngine | None = None
        self._feeds: dict[float, WorkQueue] = {}
        self._lock = Lock()

    def load(self) -> Ready | Refusal:
        """Load the classifiers and check that they and this machine's arithmetic are those of the run."""
        node = socket.gethostname()
        try:
            self._engine = self._loaded()
        except SmoothcertError as error:
            return Refusal(type(error).__name__, f"Worker {self._name} on {node}: {error}")
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
                "like the machine that started the run: use machines with the same processor, device and software."
            )
        return LocalEngine(spec, work, self._name, None if work.recipe == spec.recipe else work.recipe.name)

    def feed(self, sigma: float, indices: Sequence[int], last: bool = False) -> None:
        """Add images of one noise level, the last of which says that no more come."""
        feed = self._feed(sigma)
        feed.put(indices)
        if last:
            feed.close()

    def beat(self) -> Heartbeat:
        """Say how far sampling is."""
        return Heartbeat(0 if self._engine is None else self._engine.drawn)

    def lines(self, sigma: float) -> Iterator[Results | Refusal]:
        """Sample the images that are fed, until the last."""
        try:
            yield from self._waves(sigma)
        except SmoothcertError as error:
            yield Refusal(type(error).__name__, str(error))

    def _waves(self, sigma: float) -> Iterator[Results]:
        if self._engine is None:
            raise EvidenceError(f"Worker {self._name} has not loaded its classifiers.")
        _use_threads(self._job.threads)
        feed, before, told = self._feed(sigma), self._engine.copies, time.monotonic()
        for lines in self._engine.sample(sigma, feed):
            feed.decided(len(lines))
            if lines or time.monotonic() - told > QUIET_SECONDS:
                told = time.monotonic()
                yield Results(tuple(line.to_json() for line in lines), self._engine.copies - before)

    def _feed(self, sigma: float) -> WorkQueue:
        with self._lock:  # images may come before sampling has begun
            return self._feeds.setdefault(sigma, WorkQueue())


def _enter(folder: str) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        raise EvidenceError(
            f"Expected the folder {folder}, in which the run was started, found none ({error.strerror}). Every machine "
            "needs the classifier's files and code at the same place."
        ) from None


def _use_threads(threads: int) -> None:
    """Set the threads of the calling thread's work: OpenMP keeps the number apart for each."""
    import torch

    torch.set_num_threads(threads)
