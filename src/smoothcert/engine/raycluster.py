"""A Ray cluster to work on: joined, or started quietly here and stopped at the end. No other module imports Ray."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from smoothcert.engine.placement import Workers
from smoothcert.engine.room import Room, no_cluster, room_for

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "(?s).*",  # what Ray would print about lost workers, the run says itself
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Environment in which Ray is started, where nothing else is set: nothing is sent, nothing printed."""
LEAST_SHARED = 256 << 20
"""Bytes of shared memory beside the images."""


@dataclass(frozen=True)
class Cluster:
    """A cluster this process is connected to: the module `ray`, and what fits on its machines."""

    ray: Any
    room: Room


@contextmanager
def connected(workers: Workers, device: str, shared_bytes: int) -> Iterator[Cluster]:
    """Join a Ray cluster, or start one on this machine for as long as the context lasts.

    A process that is connected already stays connected.

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
        yield Cluster(ray, room_for(workers, device, [node["Resources"] for node in ray.nodes() if node["Alive"]]))
    finally:
        if mine:
            ray.shutdown()


def _init(ray: Any, workers: Workers, shared_bytes: int) -> None:
    cores = max(len(os.sched_getaffinity(0)), workers.workers or 1)
    own = {"num_cpus": cores, "include_dashboard": False, "object_store_memory": LEAST_SHARED + 2 * shared_bytes}
    given = {} if workers.address else own
    with _keeping_sigterm():
        try:
            ray.init(address=workers.address or "local", log_to_driver=False, logging_level="ERROR", **given)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise no_cluster(workers.address, told) from None


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
