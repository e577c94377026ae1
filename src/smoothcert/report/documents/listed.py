"""Which documents does the log name, and are those beside the evidence these very files, no more and no fewer?"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

from smoothcert.evidence import Run
from smoothcert.evidence.directory import file_sha256
from smoothcert.report.documents.found import Finding, Findings, fault, note, reports
from smoothcert.report.write import CHECKSUMS

RESULTS = "results.json"
"""Written with the seal, before any report; checked with the evidence."""
OURS = re.compile(
    r"SHA256SUMS|certificates\.parquet|cost\.json|memo(-letter)?\.pdf|memo_fields\.json|memo_annex\.txt|notebook\.ipynb|"
    r"report\.html|results\.(csv|md|tex)|tables/[^/]+\.csv|"
    r"figures/(figure_data\.json|((curve|classes)_k\d+|samples|image_units)\.(svg|png))"
)
"""Names of our documents: whoever finds such a file takes it for one."""
LARGEST = 2**32
"""Bytes that a document may have."""
_HASH = re.compile(r"[0-9a-f]{64}")


def files_of(folder: Path) -> list[str]:
    """Return every file below a folder, by its name relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def check_list(run: Run, folder: Path) -> Findings:
    """Yield documents that are missing, altered, or that no report wrote."""
    named = reports(run)
    present = [name for name in files_of(folder) if name != RESULTS]
    if not named:
        yield from _strays(present, "the log of events has no report on record")
        return
    facts = named[-1].facts
    hashes = _hashes(facts.get("documents"))
    if hashes is None:
        hashes = yield from _from_sums(folder, facts.get("files"))
    if hashes is None:
        return
    yield from _sums(folder, facts.get("sha256sums"))
    for name, wanted in hashes.items():
        yield from _file(folder, name, wanted)
    strays = [name for name in present if name not in hashes and name != CHECKSUMS]
    yield from _strays(strays, "the last report on record did not write them")


def _strays(names: list[str], why: str) -> Findings:
    """Name files that no report wrote: under the name of a document they are a fault, else they are not checked."""
    ours = [name for name in names if OURS.fullmatch(name)]
    others = [name for name in names if not OURS.fullmatch(name)]
    if ours:
        yield fault("", f": not documents of this run, as {why}: {', '.join(ours)}")
    if others:
        yield note("", f": not checked, as {why}: {', '.join(others)}")


def _hashes(facts: object) -> dict[str, str] | None:
    """Return the hashes by name that an event holds; None where it holds no list of them."""
    if not isinstance(facts, dict):
        return None
    return {name: str(sha) for name, sha in facts.items() if _inside(name)}


def _inside(name: str) -> bool:
    return bool(name) and not name.startswith("/") and "\\" not in name and ".." not in name.split("/")


def _sums(folder: Path, wanted: object) -> Findings:
    if not (folder / CHECKSUMS).is_file():
        yield fault(CHECKSUMS, " is missing, but the log of events names it")
    elif file_sha256(folder / CHECKSUMS) != wanted:
        yield fault(CHECKSUMS, " is not the list that the log of events names")


def _file(folder: Path, name: str, wanted: str) -> Findings:
    path = folder / name
    if not path.is_file():
        yield fault(name, " is missing; the last report wrote it")
    elif not path.resolve().is_relative_to(folder.resolve()):
        yield fault(name, " is a link to a file outside; the last report wrote a file")
    elif path.stat().st_size > LARGEST:
        yield fault(name, f" is larger than {LARGEST:,} bytes; the last report wrote no such file")
    elif file_sha256(path) != wanted:
        yield fault(name, " is not the file that the last report wrote; it was changed or replaced")


def _from_sums(folder: Path, count: object) -> Generator[Finding, None, dict[str, str] | None]:
    """Return the hashes that SHA256SUMS lists, where the log holds only its own hash; None where it cannot be read."""
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        yield fault(CHECKSUMS, " is missing or not text, but the log of events names it")
        return None
    parts = [line.partition("  ") for line in lines]
    if not all(_HASH.fullmatch(sha) and _inside(name) for sha, _, name in parts):
        yield fault(CHECKSUMS, ": a line is not a hash and a file of results/")
        return None
    if count != len(parts) + 1:
        yield fault(CHECKSUMS, f" lists {len(parts):,} documents; the log of events counts another number")
    return {name: sha for sha, _, name in parts}
