"""Changes of run directories behind the back of the code, and snapshots that show them."""

import hashlib
import json
from pathlib import Path

from smoothcert.evidence import RunDirectory
from smoothcert.evidence.events import FINISHED
from smoothcert.evidence.seal import seal_facts


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def edit_lines(run, change):
    """Rewrite the ledger: `change` modifies the list of JSON records in place."""
    path = run / "ledger" / "local-0.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    change(records)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def edit_json(path, change):
    """Rewrite a JSON file: `change` modifies its content in place."""
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def rechain(run):
    """Forge the event log, with its dates, so that its hashes match spec and ledger as they are now."""
    directory = RunDirectory(run)
    events, ledger = directory.read_events(), directory.read_ledger()
    facts = {
        "spec locked": {"spec_sha256": directory.read_spec().sha256()},
        FINISHED: seal_facts(ledger),
    }
    texts, previous = [], "0" * 64
    for event in events:
        facts_now = {**event.facts, **facts.get(event.event, {})}
        record = {"event": event.event, "at": event.at, "previous": previous, **facts_now}
        texts.append(json.dumps(record, sort_keys=True))
        previous = hashlib.sha256(texts[-1].encode()).hexdigest()
    directory.events.write_text("".join(f"{text}\n" for text in texts))


def snapshot(folder: Path):
    """Return names, times and bytes of everything in a folder."""
    paths = sorted(folder.rglob("*"))
    return [(path, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in paths]
