"""The ledger: one line a (sigma, image), append-only, written when the image is decided."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from smoothcert.evidence.columns import Columns
from smoothcert.evidence.reading import PACKED, LedgerFile, Uncounted, read_lines, reading_order
from smoothcert.evidence.stored import StoredLines, columns_of
from smoothcert.formats.line import Key, Line


@dataclass(frozen=True)
class Ledger:
    """All evidence of a run, a line a (sigma, image), sorted.

    Attributes:
        lines: the lines that count, sorted by sigma and index; those of a run directory stay on the disk until they are
            asked for (`StoredLines`).
        differing: keys that two workers reported differently; the worker whose name sorts first counts.
        torn: unfinished last lines that were ignored (their images are redone on resume).
        files: what a seal says of each file, by its name without .gz; none for lines in memory.
        uncounted: lines with a duplicate key that do not count, by (worker whose line counts, worker whose does not).
    """

    lines: Sequence[Line]
    differing: tuple[Key, ...] = ()
    torn: int = 0
    files: Mapping[str, LedgerFile] = field(default_factory=dict, compare=False)
    uncounted: Uncounted = field(default_factory=dict, compare=False)

    def at(self, sigma: float) -> Sequence[Line]:
        """Return the lines of one noise level."""
        if isinstance(self.lines, StoredLines):
            return self.lines.at(sigma)
        return tuple(line for line in self.lines if line.sigma == sigma)

    def keys(self) -> AbstractSet[Key]:
        """Return the (sigma, index) pairs that are done."""
        return Keys(self.columns)

    @cached_property
    def columns(self) -> Columns:
        """What the lines say besides their votes, as arrays."""
        return columns_of(self.lines)

    def sha256(self) -> str:
        """Return the hash of the canonical ledger: sorted, without seconds, worker and time."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:
        digest = hashlib.sha256()
        for line in self.lines:
            digest.update(line.to_json(seal=True).encode() + b"\n")
        return digest.hexdigest()


class Keys(AbstractSet[Key]):
    """The keys of sorted lines: a set without an object for each."""

    def __init__(self, columns: Columns) -> None:
        """Take the columns of lines that are sorted by sigma and index."""
        self._levels: dict[float, np.ndarray] = {}
        ends = np.flatnonzero(np.diff(columns.sigma, append=np.nan)) + 1
        for first, last in zip((0, *ends.tolist()), ends.tolist(), strict=False):
            self._levels[float(columns.sigma[first])] = columns.index[first:last]

    def __len__(self) -> int:
        return sum(map(len, self._levels.values()))

    def __iter__(self) -> Iterator[Key]:
        return ((sigma, index) for sigma, level in self._levels.items() for index in level.tolist())

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, tuple) or len(key) != 2 or key[0] not in self._levels:
            return False
        level, index = self._levels[key[0]], key[1]
        place = int(np.searchsorted(level, index))
        return place < len(level) and bool(level[place] == index)

    @classmethod
    def _from_iterable(cls, keys: Iterable[Key]) -> frozenset[Key]:  # type: ignore[override]  # of `-`, `&`, `|`
        return frozenset(keys)


def read_ledger(folder: Path, most: int | None = None) -> Ledger:
    """Read every `*.jsonl` of a ledger folder, and every `*.jsonl.gz`: what gzip has packed counts as before.

    Each line is checked now and read again when it is asked for.

    Args:
        folder: the folder.
        most: lines it may hold; left out, any number.

    Raises:
        EvidenceError: a line other than an unfinished last one cannot be read; the message names file and line.
    """
    return Ledger(*read_lines(files_of(folder), most))


def files_of(folder: Path, begin: str = "") -> list[Path]:
    """Return the files of a ledger folder whose names begin so, plain or packed."""
    found = [*folder.glob(f"{begin}*.jsonl"), *folder.glob(f"{begin}*.jsonl{PACKED}")]
    return sorted(found, key=reading_order)


class LedgerWriter:
    """Appends lines to one worker's file, durably; use it as a context.

    An unfinished last line left by a crash is cut off before the first write.
    """

    def __init__(self, path: Path, so_far: LedgerFile | None = None) -> None:
        """Name the file; it is opened by entering the context.

        Args:
            path: the file.
            so_far: what `Ledger.files` says of it; left out, nothing has been written yet.
        """
        self._path = path
        self.written = so_far or LedgerFile()
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
            left = data
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
            self.written.add(data)


def _cut_unfinished(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
            os.fsync(file.fileno())
