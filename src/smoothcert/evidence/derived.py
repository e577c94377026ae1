"""How derived files are written: beside their place, and moved there in one step."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Write a derived JSON file in one step."""
    write_derived(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_derived(path: Path, content: str | bytes) -> None:
    """Write a derived file beside its place and move it there in one step."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(beside, path)
    except BaseException:  # a full disk, or Ctrl-C: what is half written is of no use to anybody
        beside.unlink(missing_ok=True)
        raise
