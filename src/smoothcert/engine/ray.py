"""Ray (ray.io): joins or starts a cluster, and runs workers as actors. No other module imports Ray."""

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
    "RAY_DEDUP_LOGS_SKIP_REGEX": "(?s).*",  # the run reports lost workers itself
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Environment variables for Ray, unless they are set: no usage statistics, no log output."""
LOOPBACK = "127.0.0.1"
"""Address of a cluster that is started here: no other machine reaches it."""
LEAST_SHARED = 256 << 20
"""Bytes of shared memory in addition to the images."""


@dataclass(frozen=True)
class Cluster:
    """A cluster this process is connected to: the module `ray`, and the resources of its workers."""

    ray: Any
    resources: Resources


@contextmanager
def connected(workers: Workers, device: str, shared_bytes: int) -> Iterator[Cluster]:
    """Join a Ray cluster, or start one on this machine until the block ends.

    A process that is connected already stays connected. A cluster that is started here accepts connections only from
    this machine and with its token, which is random and in the environment of its processes.

    Args:
        workers: how many, and where.
        device: device of the numeric recipe; on "cuda ..." each worker has its own GPU.
        shared_bytes: size of the images in shared memory.

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
            text = (str(error).splitlines() or [type(error).__name__])[0]
            raise no_cluster(workers.address, text) from None


@contextmanager
def _private(ray: Any) -> Iterator[None]:
    """Let Ray start a cluster with a token of its own, on the loopback address."""
    constants = ray._private.ray_constants
    before, mode = constants.ENABLE_RAY_CLUSTER, os.environ.get("RAY_AUTH_MODE")
    constants.ENABLE_RAY_CLUSTER = False  # otherwise Ray replaces the loopback address
    _forget_token(ray)
    try:
        with _environment({"RAY_AUTH_TOKEN": secrets.token_hex(32)}):
            yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before
        if mode is None:
            os.environ.pop("RAY_AUTH_MODE", None)  # Ray sets it


def _forget_token(ray: Any) -> None:
    """Clear the token that Ray has cached."""
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _keeping_sigterm() -> Iterator[None]:
    """Restore the SIGTERM handler, which Ray replaces: pre-emption must stop the run at a safe point."""
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
"""Concurrent calls of an actor: `feed` and `beat` while `lines` runs."""
ALLOCATOR = {"MALLOC_ARENA_MAX": "1"}
"""Environment of an actor. It does not sample in its main thread, and glibc would return the freed memory of other
threads after every batch (see `keep_freed_memory`): measured on two cores, 0.87 of the rate of one process without
this, 0.96 with it."""


class RayPool:
    """Starts workers as actors and receives their messages."""

    def __init__(self, cluster: Cluster, job: Job, images: ImageSet) -> None:
        """Put the images into shared memory.

        Args:
            cluster: where to start the workers.
            job: the job of every worker.
            images: copied once to each machine; its workers read them from shared memory.
        """
        self._ray, self._job = cluster.ray, job
        self._actor = self._ray.remote(Worker).options(
            num_cpus=cluster.resources.cpus,
            num_gpus=cluster.resources.gpus,
            max_concurrency=SERVED,
            max_restarts=0,
            runtime_env={"env_vars": ALLOCATOR},
        )
        self._images = self._ray.put(images)
        self._actors: dict[str, Any] = {}
        self._sources: dict[Any, str] = {}

    def start(self, name: str) -> None:
        """Create an actor; it starts when the cluster has room."""
        self._actors[name] = actor = self._actor.remote(name, self._job, self._images)
        self._sources[actor.load.remote()] = name

    def open(self, name: str, sigma: float) -> None:
        """Start the stream of an actor's lines at one noise level."""
        self._sources[self._actors[name].lines.options(num_returns="streaming").remote(sigma)] = name

    def feed(self, name: str, sigma: float, indices: list[int], last: bool = False) -> None:
        """Send images."""
        self._actors[name].feed.remote(sigma, indices, last)

    def ask(self, name: str) -> None:
        """Ask an actor for a heartbeat."""
        self._sources[self._actors[name].beat.remote()] = name

    def stop(self, name: str) -> None:
        """Kill an actor; its messages are dropped."""
        self._sources = {source: who for source, who in self._sources.items() if who != name}
        actor = self._actors.pop(name, None)
        if actor is not None:
            self._ray.kill(actor)

    def close(self) -> None:
        """Kill all actors, so that a shared cluster gets their cores back."""
        for name in list(self._actors):
            self.stop(name)

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        """Return one message of each actor that has one; block until there is one, for at most so many seconds."""
        sources = list(self._sources)
        if not sources:
            time.sleep(seconds)
            return []
        ready, _ = self._ray.wait(sources, num_returns=1, timeout=seconds, fetch_local=False)
        if ready:  # all others that are ready are read too, so that a busy actor does not delay them
            ready, _ = self._ray.wait(sources, num_returns=len(sources), timeout=0, fetch_local=False)
        return [(self._sources[source], self._message(source)) for source in ready]

    def _message(self, source: Any) -> Message:
        """Return the message of a source; a source that has ended is removed."""
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
    """Return the cause from the message of Ray about an actor that is gone.

    >>> reason("The actor died unexpectedly.\\n\\tpid: 7\\nWorker exit detail: Out of memory. Try less.")
    'Out of memory'
    """
    detail = re.search(r"exit detail: ([^.]*)", text)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["unknown reason"]
    created = "creation task" in lines[0] and len(lines) > 1
    return (detail[1] if detail else lines[-1] if created else lines[0]).rstrip(".")
