"""Shard runs made by hand from a sealed run: its lines dealt out, each with a log of its own."""

from pathlib import Path

from evidence.handmade import PASSED, dated
from smoothcert.config import parse_share
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.creation import create_run
from smoothcert.evidence.events import CLEAN, ENERGY, LEVEL, SHARD_FINISHED, STARTED, append_event
from smoothcert.evidence.ledger import LedgerWriter
from smoothcert.evidence.seal import seal_facts


def a_shard(path, whole, share, lines, finished=True, machine=1, **environment):
    """Write one shard of a run: its share of the lines, decided after it locked the spec."""
    machine = {"threads": machine, "packages": {"smoothcert": "0.1.0", "torch": "2.13.0"}, **environment}
    run = create_run(path, whole.spec, machine, None if share is None else parse_share(share))
    append_event(run.events, STARTED, lines=0, worker="local-0", recipe=None, shard=share)
    for sigma in map(float, whole.spec.request.sigma):
        own = [line for line in lines if line.sigma == sigma]
        correct = {"1": [7] * whole.spec.classes}
        append_event(run.events, CLEAN, sigma=sigma, images=whole.spec.data.images, correct=correct)
        append_event(run.events, LEVEL, sigma=sigma, **PASSED)
        samples = sum(line.samples for line in own)
        append_event(run.events, ENERGY, sigma=sigma, copies=samples, joules=float(samples), source="RAPL", seconds=1.0)
    with LedgerWriter(run.ledger / "local-0.jsonl") as writer:
        writer.append(dated(lines))
    if finished:
        append_event(run.events, SHARD_FINISHED, shard=share, **seal_facts(run.read_ledger()))
    return path


def dealt(whole: Path, folder: Path, n=3, **more) -> list[Path]:
    """Deal the images of a sealed run out to n finished shards, as `--shard i/n` does."""
    run = open_run(whole)
    place = {index: p for p, index in enumerate(run.spec.indices)}
    lines = list(run.ledger.lines)
    parts = [[line for line in lines if place[line.index] % n == i] for i in range(n)]
    return [a_shard(folder / f"part{i}", run, f"{i}/{n}", parts[i], **more) for i in range(n)]


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def unfinish(path: Path, drop=1) -> RunDirectory:
    """Take the last lines of a shard away, and the event that says it is finished."""
    run = RunDirectory(path)
    for file, count in ((run.events, 1), (run.ledger / "local-0.jsonl", drop)):
        file.write_text("".join(file.read_text().splitlines(keepends=True)[: -count or None]))
    return run
