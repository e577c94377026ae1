"""Derived files: written beside their place, moved there in one step, and known by their hash."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Write a derived JSON file in one step."""
    write_derived(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_derived(path: Path, content: str | bytes) -> None:
    """Write a derived file beside its place and move it there in one step."""
    with written_beside(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Have a file written beside its place, and move it there when the context ends.

    Yields:
        Where to write. What is half written, on a full disk or after Ctrl-C, is of no use to anybody and deleted.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield beside
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
