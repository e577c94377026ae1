"""Ray (ray.io): a cluster joined or started here, and its workers as actors. No other module imports Ray."""

from __future__ import annotations

import os
import re
import secrets
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from smoothcert.data import ImageSet
from smoothcert.engine.messages import Closed, Died, Job, Message
from smoothcert.engine.resources import Resources, Workers, no_cluster, resources_for
from smoothcert.engine.worker import Worker

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "(?s).*",  # what Ray would print about lost workers, the run says itself
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Environment in which Ray is started, where nothing else is set: nothing is sent, nothing printed."""
LOOPBACK = "127.0.0.1"
"""Where a cluster that is started here listens: no other machine reaches it."""
LEAST_SHARED = 256 << 20
"""Bytes of shared memory beside the images."""


@dataclass(frozen=True)
class Cluster:
    """A cluster this process is connected to: the module `ray`, and what fits on its machines."""

    ray: Any
    room: Resources


@contextmanager
def connected(workers: Workers, device: str, shared_bytes: int) -> Iterator[Cluster]:
    """Join a Ray cluster, or start one on this machine for as long as the context lasts.

    A process that is connected already stays connected. A cluster that is started here listens to this machine alone,
    and to those who know its token, which is drawn anew and lies in the environment of its processes.

    Args:
        workers: how many, and where.
        device: of the numeric recipe; on "cuda ..." each worker has a GPU of its own.
        shared_bytes: size of the images, which lie in shared memory.

    Raises:
        InputError: no cluster answers at the address.
    """
    with _environment(QUIET):
        import ray

        mine = not ray.is_initialized()
        if mine:
            _init(ray, workers, shared_bytes)
    try:
        yield Cluster(ray, resources_for(workers, device, [node["Resources"] for node in ray.nodes() if node["Alive"]]))
    finally:
        if mine:
            ray.shutdown()
            _forget_token(ray)


def _init(ray: Any, workers: Workers, shared_bytes: int) -> None:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    own = {
        "num_cpus": max(usable, workers.workers or 1),
        "include_dashboard": False,
        "object_store_memory": LEAST_SHARED + 2 * shared_bytes,
        "_node_ip_address": LOOPBACK,
    }
    given = {} if workers.address else own
    with _keeping_sigterm(), nullcontext() if workers.address else _private(ray):
        try:
            ray.init(address=workers.address or "local", log_to_driver=False, logging_level="ERROR", **given)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise no_cluster(workers.address, told) from None


@contextmanager
def _private(ray: Any) -> Iterator[None]:
    """Have Ray start a cluster with a token of its own, and take the loopback address as it is given."""
    constants = ray._private.ray_constants
    before, mode = constants.ENABLE_RAY_CLUSTER, os.environ.get("RAY_AUTH_MODE")
    constants.ENABLE_RAY_CLUSTER = False  # as where Ray makes no clusters of machines; else it takes another address
    _forget_token(ray)
    try:
        with _environment({"RAY_AUTH_TOKEN": secrets.token_hex(32)}):
            yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before
        if mode is None:
            os.environ.pop("RAY_AUTH_MODE", None)  # Ray sets it


def _forget_token(ray: Any) -> None:
    """Have Ray look for a token again: it keeps the last one it found."""
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Keep this process's answer to SIGTERM, which Ray replaces by its own: pre-emption must stop at a safe place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    added = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


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
