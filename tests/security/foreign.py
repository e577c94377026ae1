"""Runs as somebody sends them who wants code to be run: the spec is changed, and every hash after it made to fit."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGINNING = "0" * 64


def forge(run: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Change the spec of a run, and chain its log anew."""
    spec = json.loads((run / "spec.json").read_text())
    change(spec)
    (run / "spec.json").write_text(json.dumps(spec, indent=1, sort_keys=True) + "\n")
    found = hashlib.sha256((run / "spec.json").read_bytes()).hexdigest()
    rechain(run, lambda event: event | ({"spec_sha256": found} if "spec_sha256" in event else {}))
    return run


def rechain(run: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Rewrite the log line by line (None: left out), each with the hash of the line before."""
    lines, previous = [], BEGINNING
    for line in (run / "events.jsonl").read_text().splitlines():
        event = change(json.loads(line))
        if event is not None:
            lines.append(json.dumps(event | {"previous": previous}, sort_keys=True))
            previous = hashlib.sha256(lines[-1].encode()).hexdigest()
    (run / "events.jsonl").write_text("".join(f"{line}\n" for line in lines))


def unsealed(run: Path) -> Path:
    """Take the end off a run: the last results and everything the log says from the finish on."""
    ledger = next((run / "ledger").glob("*.jsonl"))
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:-2]))
    ended = []

    def cut(event: dict[str, Any]) -> dict[str, Any] | None:
        ended.extend([1] * (event["event"] == "finish"))
        return None if ended else event

    rechain(run, cut)
    return run
