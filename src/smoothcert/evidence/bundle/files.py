"""A bundle directory: its four files, how they are written whole, and how every reading checks every byte."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from smoothcert.errors import EvidenceError
from smoothcert.evidence.bundle.readme import readme
from smoothcert.evidence.bundle.record import Bundle
from smoothcert.evidence.derived import file_sha256
from smoothcert.evidence.directory import refuse_occupied
from smoothcert.formats.strict import read_bytes

RECORD, WEIGHTS, README, SUMS = "bundle.json", "weights.safetensors", "README.md", "SHA256SUMS"
SUMMED = (README, RECORD, WEIGHTS)
LARGEST = 1 << 26
"""Bytes of a record: the names of a million classes."""
LARGEST_WEIGHTS = 1 << 37
_SUM = re.compile(r"([0-9a-f]{64})  (.+)")


def write_bundle(path: Path, bundle: Bundle, weights: bytes) -> None:
    """Write a bundle directory, all of it or nothing.

    Args:
        path: a new or empty folder.
        bundle: its record.
        weights: the bytes of a safetensors file.

    Raises:
        EvidenceError: the place already holds something, or cannot be written.
    """
    refuse_occupied(path)
    files = {RECORD: bundle.to_json().encode(), WEIGHTS: weights, README: readme(bundle).encode()}
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in SUMMED)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            fresh = Path(folder) / "bundle"
            fresh.mkdir()
            for name, data in {**files, SUMS: sums.encode()}.items():
                (fresh / name).write_bytes(data)
            fresh.rename(path)
    except OSError as error:
        raise EvidenceError(f"Cannot write the bundle {path}: {error.strerror}.") from None


def read_bundle(path: Path) -> Bundle:
    """Read a bundle's record after checking every file of it.

    Raises:
        EvidenceError: there is no bundle here, a file was changed, is missing or was added, or the record is not one.
    """
    fault = next(bundle_faults(path), None)
    if fault:
        raise EvidenceError(
            f"{path} is not the bundle that was written: {fault}. "
            "Copy the whole bundle again from where it was made, or make it anew with `smoothcert bundle`."
        )
    return read_record(path)


def read_record(path: Path) -> Bundle:
    """Read a bundle's record alone, for a reader who has just checked its files (`bundle_faults`).

    Raises:
        EvidenceError: the record is not one.
    """
    return Bundle.from_json(read_bytes(path / RECORD, LARGEST))


def bundle_faults(path: Path) -> Iterator[str]:
    """Yield each file of a bundle that was changed, is missing or was added; nothing for a whole one.

    Raises:
        EvidenceError: there is no bundle here.
    """
    expect_bundle(path)
    try:
        yield from _faults(path)
    except OSError as error:
        raise EvidenceError(f"Cannot read {error.filename or path}: {error.strerror}.") from None


def expect_bundle(path: Path) -> None:
    """Refuse a place that is no bundle directory.

    Raises:
        EvidenceError: there is no bundle here.
    """
    if not path.is_dir() or not ((path / RECORD).exists() or (path / SUMS).exists()):
        raise EvidenceError(f"Expected a bundle directory with a {RECORD}, found none in {path}.")


def _faults(path: Path) -> Iterator[str]:
    there = sorted(entry.name for entry in path.iterdir())
    for name in (SUMS, *SUMMED):
        if name not in there:
            yield f"{name} is missing"
    for name in there:
        if name not in (SUMS, *SUMMED):
            yield f"{json.dumps(name)} was added"
        elif not (path / name).is_file():
            yield f"{name} is not a file"
        elif (path / name).stat().st_size > (largest := LARGEST_WEIGHTS if name == WEIGHTS else LARGEST):
            yield f"{name} is larger than {largest:,} bytes"
            return
    sums = _sums(path / SUMS) if (path / SUMS).is_file() else {}
    if sums is None:
        yield f"{SUMS} was changed: it must hold one line a file, the hash and the name"
        return
    hashes = {name: file_sha256(path / name) for name in SUMMED if name in sums and (path / name).is_file()}
    for name, found in hashes.items():
        if found != sums[name]:
            yield f"{name} was changed: its hash is not the one in {SUMS}"
    if hashes == sums and sums:
        yield from _strange_weights(path, hashes[WEIGHTS])


def _sums(path: Path) -> dict[str, str] | None:
    """Return the hash of each file as `SHA256SUMS` has it, or None where its lines are not what was written."""
    lines = read_bytes(path, LARGEST).decode("utf-8", "replace").split("\n")
    found = [_SUM.fullmatch(line) for line in lines[:-1]]
    sums = {match[2]: match[1] for match in found if match}
    whole = lines[-1] == "" and len(found) == len(SUMMED)
    return sums if whole and tuple(sorted(sums)) == SUMMED else None


def _strange_weights(path: Path, found: str) -> Iterator[str]:
    try:
        bundle = read_record(path)
    except (EvidenceError, UnicodeDecodeError) as error:
        yield f"{RECORD} was changed ({error})"
        return
    if bundle.file_sha256 != f"sha256:{found}":
        yield f"{WEIGHTS} was changed: it is not the file that {RECORD} names"
