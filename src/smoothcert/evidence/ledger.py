"""The ledger: one line a (sigma, image), append-only, written when the image is decided."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from smoothcert.errors import EvidenceError
from smoothcert.evidence.line import Line, parse_line


@dataclass(frozen=True)
class Ledger:
    """All evidence of a run, a line a (sigma, image), sorted.

    Attributes:
        lines: the lines that count, sorted by sigma and index.
        differing: keys that two workers reported differently; the worker whose name sorts first counts.
        torn: unfinished last lines that were ignored (their images are redone on resume).
    """

    lines: tuple[Line, ...]
    differing: tuple[tuple[float, int], ...] = ()
    torn: int = 0

    def at(self, sigma: float) -> tuple[Line, ...]:
        """Return the lines of one noise level."""
        return tuple(line for line in self.lines if line.sigma == sigma)

    def keys(self) -> frozenset[tuple[float, int]]:
        """Return the (sigma, index) pairs that are done."""
        return frozenset(line.key for line in self.lines)

    def sha256(self) -> str:
        """Return the hash of the canonical ledger: sorted, without seconds, worker and time."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        digest = hashlib.sha256()
        for line in self.lines:
            digest.update(line.to_json(seal=True).encode() + b"\n")
        return digest.hexdigest()


def read_ledger(folder: Path) -> Ledger:
    """Read every `*.jsonl` of a ledger folder, and every `*.jsonl.gz`: what gzip has packed counts as before.

    Raises:
        EvidenceError: a line other than an unfinished last one cannot be read; the message names file and line.
    """
    found: dict[tuple[float, int], Line] = {}
    differing: set[tuple[float, int]] = set()
    torn = 0
    for path in sorted([*folder.glob("*.jsonl"), *folder.glob("*.jsonl.gz")]):
        lines, unfinished = _read_file(path)
        torn += unfinished
        for line in lines:
            other = found.get(line.key)
            if other is not None and other.to_json(seal=True) != line.to_json(seal=True):
                differing.add(line.key)
            if other is None or line.worker < other.worker:
                found[line.key] = line
    return Ledger(tuple(found[key] for key in sorted(found)), tuple(sorted(differing)), torn)


def _read_file(path: Path) -> tuple[list[Line], bool]:
    lines: list[Line] = []
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.endswith(b"\n"):
                    return lines, True
                lines.append(_parsed(text, number, path))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise EvidenceError(f"{path} is damaged or cut short; pack it again, or restore it from a copy.") from None
    except OSError as error:
        raise EvidenceError(f"Cannot read {path}: {error.strerror}.") from None
    return lines, False


def _parsed(text: bytes, number: int, path: Path) -> Line:
    try:
        return parse_line(text.decode("utf-8"))
    except (EvidenceError, UnicodeDecodeError) as error:
        raise EvidenceError(
            f"Line {number} of {path} is damaged: {error}. Restore the file from a copy; "
            "removing the line makes its image be sampled again on resume."
        ) from None


class LedgerWriter:
    """Appends lines to one worker's file, durably; use it as a context.

    An unfinished last line left by a crash is cut off before the first write.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it is opened by entering the context."""
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> LedgerWriter:
        """Open the file for appending."""
        _cut_unfinished(self._path)
        self._file = self._path.open("ab", buffering=0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file; what was appended is on the disk already."""
        if self._file is not None:
            self._file.close()

    def append(self, lines: Iterable[Line]) -> None:
        """Write lines and wait until they are on the disk.

        Raises:
            OSError: the disk is full or gone; an unfinished line is cut off when the run is resumed.
        """
        data = b"".join(line.to_json().encode() + b"\n" for line in lines)
        if data and self._file is not None:
            while data:
                data = data[self._file.write(data) :]
            os.fsync(self._file.fileno())


def _cut_unfinished(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
            os.fsync(file.fileno())
