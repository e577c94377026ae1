"""Where a run is sampled: by which engine, how many workers, which part of the images. No answer depends on it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from smoothcert.spec.values import Count, Frozen


class Workers(Frozen):
    """Who samples. Every field is a flag of `smoothcert certify` and `smoothcert resume`; none is part of the spec."""

    engine: Literal["local", "ray"] = "local"
    """local: this process. ray: worker processes, here or on a Ray cluster (extra `ray`). The answer is the same."""
    workers: Count | None = None
    """Workers of --engine ray (default: one a GPU where CUDA is used, else one a processor core)."""
    address: str | None = None
    """Ray cluster that --engine ray joins, such as auto (default: one is started here, and stopped at the end)."""
    worker_timeout: Count | None = None
    """Seconds after which a worker of --engine ray that finishes no batch is replaced (default: 600)."""


class Placement(Workers):
    """Who samples, which part of the images, and who signs that the spec was locked before."""

    shard: str | None = None
    """i/n: only the i-th of n parts of the images, i from 0; `smoothcert merge` joins the parts. Needs --seed."""
    sign_lock: Path | None = None
    """SSH key that signs the locked spec before the first vote (file lock.sig, made by ssh-keygen)."""
