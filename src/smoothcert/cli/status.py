"""`smoothcert status`: how far a run is, from its files alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smoothcert.evidence import Run
    from smoothcert.evidence.line_store import Columns

DAMAGED = 1


def status(run: Path, /) -> int:
    """Say how far a run is: running, interrupted, finished or damaged; images decided, copies drawn, time left.

    Exit status 1 for a damaged run.

    Args:
        run: Run directory.
    """
    from smoothcert.cli.terminal import tell
    from smoothcert.errors import EvidenceError, SpecError
    from smoothcert.evidence import RunDirectory, open_run
    from smoothcert.verify import damage

    try:
        opened = open_run(run)
        fault = next(damage(opened), None)
    except (EvidenceError, SpecError) as error:
        if not RunDirectory(run).spec.is_file():
            raise
        opened, fault = None, str(error)
    tell(f"{run}: {'damaged' if fault or opened is None else _state(opened)}")
    for line in () if opened is None else (*_levels(opened), *_settings(opened), *_odd(opened)):
        tell(line, indent=2)
    if fault:
        tell(f"damage: {fault}", indent=2)
    tell(f"Next: {_next(run, opened, fault)}")
    return DAMAGED if fault else 0


def _state(run: Run) -> str:
    if run.directory.busy:
        return "running"
    share = run.directory.share
    if share is not None:
        done = "finished" if run.done else f"interrupted, {run.unsampled:,} results missing"
        return f"shard {share}, a part of a run, {done}; not sealed"
    if run.missing:
        return f"interrupted, {run.missing:,} of {run.expected:,} results missing, NOT SEALED"
    return "finished and sealed" if run.sealed else "interrupted, all images decided, NOT SEALED"


def _levels(run: Run) -> Iterator[str]:
    from smoothcert.evidence.line_store import columns_of

    total = run.images
    levels = [(f"{sigma:g}", columns_of(run.ledger.at(sigma))) for sigma in run.spec.request.sigma]
    width = max(len(written) for written, _ in levels)
    for written, decided in levels:
        copies = int(decided.samples.sum())
        mean = f"{copies / len(decided):,.0f} copies an image" if len(decided) else "not begun"
        yield (
            f"sigma {written:<{width}}  {_bar(len(decided), total)}  {len(decided):,}/{total:,} images decided, {mean}"
            f"{_left(decided, total)}"
        )


def _left(decided: Columns, total: int) -> str:
    """Return the time left at the pace of the images decided so far."""
    from smoothcert.progress import duration

    missing = total - len(decided)
    if not (missing and len(decided)):
        return ""
    return f", about {duration(decided.total_seconds() / len(decided) * missing)} of sampling left"


def _bar(done: int, total: int, width: int = 10) -> str:
    full = done * width // max(total, 1)
    return "#" * full + "." * (width - full)


def _settings(run: Run) -> Iterator[str]:
    from smoothcert.evidence.seal import fingerprint_words

    request = run.spec.request
    yield (
        f"alpha {request.alpha:g}, bound {request.bound}, k {', '.join(map(str, request.k))}, "
        f"n_max {request.n_max:,}, stopping {request.stopping}, noise {request.noise}"
    )
    yield f"computer arithmetic: {run.arithmetic}"
    if run.sealed:
        yield f"evidence fingerprint: {fingerprint_words(run.directory)}"


def _odd(run: Run) -> Iterator[str]:
    if run.ledger.torn:
        yield f"{run.ledger.torn} unfinished ledger line was cut off by a crash; its image is sampled again"
    for level, index in run.ledger.differing:
        yield f"workers differ on sigma {level:g}, image {index}: the one whose name sorts first counts"


def _next(path: Path, run: Run | None, fault: str | None) -> str:
    if fault or run is None:
        return f"smoothcert verify {path} names what does not hold; restore the damaged file from a copy"
    if run.directory.busy:
        return f"wait, or interrupt it: nothing is lost; smoothcert table {path} shows what is decided so far"
    if run.directory.share is not None and run.done:
        return "when all shards are finished, smoothcert merge RUN... --out RUN"
    if run.missing or not run.sealed:
        return f"smoothcert resume {path}"
    return f"smoothcert table {path}, smoothcert report {path}, smoothcert verify {path}"
