"""On what a benchmark ran, in words."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import torch
from peer import PACKAGES

from smoothcert.evidence.events import environment
from smoothcert.sampling.sampler import keep_freed_memory


def facts() -> dict[str, str]:
    """Return processor, system, versions, date and how busy the machine was, ready for a table."""
    found = environment(torch.get_num_threads())
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": f"{found['processor']}, {found['cores']} cores",
        "instructions PyTorch uses": torch.backends.cpu.get_cpu_capability(),
        "threads": str(found["threads"]),
        "system": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver()) or 'C library unknown'}",
        "load average at the start": f"{os.getloadavg()[0]:.2f}",
        "freed memory can be kept": "yes" if keep_freed_memory() else "no (the table about it compares equals)",
        "Python": found["python"],
        "packages": _packages(found["packages"]),
    }


def _packages(known: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {found}" for name, found in {**known, **_peers()}.items() if found)


def _peers() -> dict[str, str | None]:
    return {name: _version(name) for name in (*PACKAGES, "scikit-learn")}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
