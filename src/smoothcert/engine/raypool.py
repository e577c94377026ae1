"""Workers as actors of Ray (ray.io): images are shared, lines come back as streams."""

from __future__ import annotations

import re
import time
from typing import Any

from smoothcert.data import ImageSet
from smoothcert.engine.messages import Closed, Died, Job, Message
from smoothcert.engine.raycluster import Cluster
from smoothcert.engine.worker import Worker

SERVED = 3
"""Calls an actor answers at a time: it is fed, and asked how far it is, while it samples."""
ALLOCATOR = {"MALLOC_ARENA_MAX": "1"}
"""Environment of an actor. It samples in a thread that is not its first, whose freed blocks glibc would hand back after
every batch (see `keep_freed_memory`): measured on two cores, 0.87 of the rate of one process without this, 0.96 with
it."""


class RayPool:
    """Starts workers as actors and listens to their streams."""

    def __init__(self, cluster: Cluster, job: Job, images: ImageSet) -> None:
        """Put the images where all workers can read them.

        Args:
            cluster: where to start them.
            job: what they are told.
            images: copied once to each machine, and read there by all its workers from shared memory.
        """
        self._ray, self._job = cluster.ray, job
        self._actor = self._ray.remote(Worker).options(
            num_cpus=cluster.room.cpus,
            num_gpus=cluster.room.gpus,
            max_concurrency=SERVED,
            max_restarts=0,
            runtime_env={"env_vars": ALLOCATOR},
        )
        self._images = self._ray.put(images)
        self._actors: dict[str, Any] = {}
        self._sources: dict[Any, str] = {}

    def start(self, name: str) -> None:
        """Create an actor; it comes to life when the cluster has room."""
        self._actors[name] = actor = self._actor.remote(name, self._job, self._images)
        self._sources[actor.load.remote()] = name

    def open(self, name: str, sigma: float) -> None:
        """Begin the stream of an actor's lines at one noise level."""
        self._sources[self._actors[name].lines.options(num_returns="streaming").remote(sigma)] = name

    def feed(self, name: str, sigma: float, indices: list[int], last: bool = False) -> None:
        """Send images."""
        self._actors[name].feed.remote(sigma, indices, last)

    def ask(self, name: str) -> None:
        """Ask an actor how far it is."""
        self._sources[self._actors[name].beat.remote()] = name

    def stop(self, name: str) -> None:
        """Kill an actor, and listen to it no more."""
        self._sources = {source: who for source, who in self._sources.items() if who != name}
        actor = self._actors.pop(name, None)
        if actor is not None:
            self._ray.kill(actor)

    def close(self) -> None:
        """Kill all actors: a cluster that is not ours must not keep them, nor the cores they hold."""
        for name in list(self._actors):
            self.stop(name)

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        """Return one word of each actor that has one, waiting no longer than that for the first."""
        sources = list(self._sources)
        if not sources:
            time.sleep(seconds)
            return []
        ready, _ = self._ray.wait(sources, num_returns=1, timeout=seconds, fetch_local=False)
        if ready:  # whoever else has something to say is heard now, so that nobody waits behind a talkative one
            ready, _ = self._ray.wait(sources, num_returns=len(sources), timeout=0, fetch_local=False)
        return [(self._sources[source], self._said(source)) for source in ready]

    def _said(self, source: Any) -> Message:
        """Return what a source says; one that has ended is listened to no more."""
        lost = (self._ray.exceptions.RayActorError, self._ray.exceptions.ObjectLostError)
        try:
            if isinstance(source, self._ray.ObjectRef):
                del self._sources[source]
                return self._get(source)
            return self._get(next(source))
        except StopIteration:
            del self._sources[source]
            return Closed()
        except lost as error:
            self._sources.pop(source, None)
            return Died(reason(str(error)))

    def _get(self, ref: Any) -> Message:
        try:
            message: Message = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error
        return message


def reason(text: str) -> str:
    """Return the telling sentence of what Ray says about an actor that is gone.

    >>> reason("The actor died unexpectedly.\\n\\tpid: 7\\nWorker exit detail: Out of memory. Try less.")
    'Out of memory'
    """
    detail = re.search(r"exit detail: ([^.]*)", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason is known"]
    created = "creation task" in lines[0] and len(lines) > 1
    return (detail[1] if detail else lines[-1] if created else lines[0]).rstrip(".")
