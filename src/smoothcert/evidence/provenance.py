"""Where and with what a run was made: versions and machine, without importing what it names."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from smoothcert import version

PACKAGES = ("smoothcert", "torch", "numpy", "scipy", "numba", "mpmath", "safetensors", "pydantic")
SOURCES = (".py", ".typ", ".j2", ".css", ".js")
DRAWING = ("matplotlib", "typst")
"""Libraries on whose version the bytes of figures and memo depend."""


def environment(threads: int) -> dict[str, Any]:
    """Return versions, processor and thread count as a plain record."""
    return {
        "packages": {**{name: _version(name) for name in PACKAGES}, "smoothcert": version.__version__},
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "generator": "Philox4x64-10, addressed",
        "code_sha256": code_sha256(),
    }


def writer() -> dict[str, Any]:
    """Return which code writes documents here: what must be equal for their wording, and their bytes, to be equal."""
    libraries = {name: _version(name) for name in DRAWING}
    return {"smoothcert": version.__version__, "code_sha256": code_sha256(), "libraries": libraries}


def processor() -> str:
    """Return the processor's name, as far as the operating system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def code_sha256() -> str:
    """Return one hash over this package's source files: code, and the templates of its documents."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for path in sorted(path for path in root.rglob("*") if path.suffix in SOURCES):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
