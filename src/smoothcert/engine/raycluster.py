"""A Ray cluster to work on: joined, or started quietly here and stopped at the end. No other module imports Ray."""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
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
LOOPBACK = "127.0.0.1"
"""Where a cluster that is started here listens: no other machine reaches it."""
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
        yield Cluster(ray, room_for(workers, device, [node["Resources"] for node in ray.nodes() if node["Alive"]]))
    finally:
        if mine:
            ray.shutdown()
            _forget_token(ray)


def _init(ray: Any, workers: Workers, shared_bytes: int) -> None:
    cores = max(len(os.sched_getaffinity(0)), workers.workers or 1)
    own = {
        "num_cpus": cores,
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
