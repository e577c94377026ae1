"""Where a run is sampled, and whether those workers are available. No result depends on it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from smoothcert.config.values import Count, Frozen
from smoothcert.errors import InputError, MissingExtraError


class Workers(Frozen):
    """The workers. Every field is a flag of `smoothcert certify` and `smoothcert resume`; none is part of the spec."""

    engine: Literal["local", "ray"] = "local"
    """This process, or Ray workers. local: this process. ray: worker processes, here or on a Ray cluster (extra `ray`).
    The results are the same."""
    workers: Count | None = None
    """Ray workers (default: one per GPU or core). One per GPU if CUDA is used, else one per processor core."""
    address: str | None = None
    """Ray cluster to join, such as auto. Default: a cluster is started here, and stopped at the end."""
    worker_timeout: Count | None = None
    """Replace a stalled Ray worker after N s. A worker that finishes no batch for so many seconds (default: 600)."""


class Placement(Workers):
    """The workers, the shard, and the key that signs the locked spec."""

    shard: str | None = None
    """Part i/n of the images, such as 0/4; needs --seed. i counts from 0; `smoothcert merge` joins the parts."""
    sign_lock: Path | None = None
    """SSH key that signs the locked spec. Signed by ssh-keygen before the first vote, as lock.sig."""


KNOCK_SECONDS = 10.0


@dataclass(frozen=True)
class Resources:
    """The number of workers, and the resources of each.

    Attributes:
        workers: number of workers; fewer run while the cluster has no room for them.
        threads: threads per worker.
        cpus: processor cores that the cluster reserves per worker.
        gpus: GPUs that the cluster reserves per worker.
    """

    workers: int
    threads: int
    cpus: int
    gpus: int


def resources_for(workers: Workers, device: str, nodes: Iterable[Mapping[str, float]]) -> Resources:
    """Return how many workers a cluster gets, and the resources of each.

    Args:
        workers: how many are asked for; by default one per GPU if CUDA is used, else one per core.
        device: device of the numeric recipe.
        nodes: resources of each machine, "CPU" and "GPU".

    >>> resources_for(Workers(workers=3), "cpu", [{"CPU": 8.0}, {"CPU": 4.0}])
    Resources(workers=3, threads=4, cpus=4, gpus=0)
    >>> resources_for(Workers(), "cuda (NVIDIA H100)", [{"CPU": 16.0, "GPU": 4.0}])
    Resources(workers=4, threads=4, cpus=1, gpus=1)
    """
    found = list(nodes)
    cores = [int(node["CPU"]) for node in found if node.get("CPU", 0) >= 1] or [1]
    gpus = sum(int(node.get("GPU", 0)) for node in found)
    cuda = device.startswith("cuda")
    count = workers.workers or (max(1, gpus) if cuda else sum(cores))
    threads = max(1, min(sum(cores) // count, *cores))
    return Resources(count, threads, 1 if cuda else threads, 1 if cuda else 0)


def check_workers(workers: Workers) -> None:
    """Check that the workers are available, before anything is loaded.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: a setting of Ray is given for another engine, or no cluster answers at the address.
    """
    if workers.engine == "ray":
        if find_spec("ray") is None:
            raise MissingExtraError("--engine ray", "ray")
        _check_address(workers.address)
        return
    given = {"workers": workers.workers, "address": workers.address, "worker-timeout": workers.worker_timeout}
    for name, value in given.items():
        if value is not None:
            raise InputError(
                f"--{name} is for --engine ray; the local engine is one process. Add --engine ray, or remove it.",
                code="E-INPUT-021",
            )


def no_cluster(address: str | None, reason: str) -> InputError:
    """Return the error for an address without a cluster, or a machine that cannot start one."""
    where = f"at {address}" if address else "on this machine"
    remedy = "or remove --address" if address else "and add --address auto"
    return InputError(
        f"No Ray cluster {where} ({reason.rstrip('.')}). Start one with `ray start --head`, {remedy}.",
        code="E-INPUT-022",
    )


def _check_address(address: str | None) -> None:
    """Try to connect to HOST:PORT: Ray itself would wait for minutes."""
    if address in (None, "auto", "local"):
        return
    found = re.fullmatch(r"(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})", address or "")
    if found is None:
        raise InputError(
            f"--address: expected auto or HOST:PORT of the cluster's head, got {address}. Start the run on a machine "
            "of the cluster, or through `ray job submit`.",
            code="E-INPUT-023",
        )
    try:
        socket.create_connection((found[1] or found[2], int(found[3])), KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise no_cluster(address, str(error)) from None
