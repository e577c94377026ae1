"""Lines that stay on the disk: a sequence that reads them when they are asked for, in blocks, in order."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import index as whole
from pathlib import Path
from typing import IO, BinaryIO, overload

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import EvidenceError
from smoothcert.evidence.columns import Columns, Rows, Whole, gathered, votes_of
from smoothcert.formats.line import Line, parse_line
from smoothcert.formats.strict import open_regular

BLOCK = 2048
"""Lines that are held at a time: some kilobytes each."""


@dataclass(frozen=True, eq=False)
class Places:
    """Where lines lie; arrays of shape (m,).

    Attributes:
        file: number of the file.
        offset: first byte.
        length: bytes, the end of the line included.
    """

    file: NDArray[np.int32]
    offset: Whole
    length: Whole

    def of(self, rows: Rows) -> Places:
        """Return the places of some lines; a slice copies nothing."""
        return Places(self.file[rows], self.offset[rows], self.length[rows])


class Files:
    """Ledger files by number. What gzip has packed cannot be read out of order: it is copied, unpacked, once.

    The copy is one temporary file without a name, which ends with this object.
    """

    def __init__(self) -> None:
        """Begin without a file."""
        self.paths: list[Path] = []
        self._packed: set[int] = set()
        self._copy: BinaryIO | None = None

    def add(self, path: Path) -> int:
        """Return the number of one more file."""
        self.paths.append(path)
        return len(self.paths) - 1

    def unpacked(self, file: int) -> BinaryIO:
        """Return where the content of a packed file is to be written, behind that of others."""
        self._packed.add(file)
        if self._copy is None:
            self._copy = tempfile.TemporaryFile(prefix="smoothcert-")  # noqa: SIM115  # lives as long as this object
            weakref.finalize(self, self._copy.close)
        return self._copy

    def read(self, file: int, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes at (offset, length) of one file.

        Raises:
            EvidenceError: the file is gone.
        """
        try:
            if self._copy is not None and file in self._packed:
                self._copy.flush()
                return _pieces(self._copy, spans)
            with open_regular(self.paths[file]) as plain:
                return _pieces(plain, spans)
        except OSError as error:
            raise EvidenceError(f"Cannot read {self.paths[file]}: {error.strerror}.") from None


def _pieces(file: IO[bytes], spans: Sequence[tuple[int, int]]) -> list[bytes]:
    return [os.pread(file.fileno(), length, offset) for offset, length in spans]


class StoredLines(Sequence[Line]):
    """Lines of ledger files, sorted by sigma and index; holds their columns, not their votes.

    A slice is such a sequence too. Equal to any sequence of the same lines.
    """

    def __init__(self, columns: Columns, places: Places, files: Files) -> None:
        """Take columns and places of the same lines, in the same order."""
        self.columns, self._places, self._files = columns, places, files

    def __len__(self) -> int:
        return len(self.columns)

    @overload
    def __getitem__(self, at: int) -> Line: ...
    @overload
    def __getitem__(self, at: slice) -> StoredLines: ...
    def __getitem__(self, at: int | slice) -> Line | StoredLines:
        if isinstance(at, slice):
            return self.of(at)
        place = range(len(self))[whole(at)]
        return next(iter(self.of(slice(place, place + 1))))

    def of(self, rows: Rows) -> StoredLines:
        """Return some of the lines, by a slice or by their places."""
        return StoredLines(self.columns.of(rows), self._places.of(rows), self._files)

    def __iter__(self) -> Iterator[Line]:
        for start in range(0, len(self), BLOCK):
            yield from self.of(slice(start, start + BLOCK))._read()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as large as the files, so never a key

    def at(self, sigma: float) -> StoredLines:
        """Return the lines of one noise level."""
        first, last = (int(np.searchsorted(self.columns.sigma, sigma, side)) for side in ("left", "right"))
        return self[first:last]

    def _read(self) -> list[Line]:
        """Read all lines, each file from front to back.

        Raises:
            EvidenceError: a file is gone, or was changed since it was opened.
        """
        places, found = self._places, np.empty(len(self), dtype=object)
        for file in np.unique(places.file).tolist():
            rows = np.flatnonzero(places.file == file)
            rows = rows[np.argsort(places.offset[rows])]
            spans = zip(places.offset[rows].tolist(), places.length[rows].tolist(), strict=True)
            found[rows] = self._files.read(file, list(spans))
        return [self._parsed(i, text) for i, text in enumerate(found)]

    def _parsed(self, i: int, text: bytes) -> Line:
        try:
            line = parse_line(text)
        except EvidenceError:
            line = None
        if line is None or line.index != self.columns.index[i] or votes_of(line) != self.columns.samples[i]:
            path = self._files.paths[int(self._places.file[i])]
            raise EvidenceError(f"{path} was changed while it was read; call again.")
        return line


def columns_of(lines: Sequence[Line]) -> Columns:
    """Return the columns of lines, on the disk or in memory."""
    return lines.columns if isinstance(lines, StoredLines) else gathered(lines)


def some_of(lines: Sequence[Line], places: Whole) -> Iterable[Line]:
    """Return the lines at some places, read in blocks where they are on the disk."""
    return lines.of(places) if isinstance(lines, StoredLines) else [lines[place] for place in places.tolist()]


def in_blocks(lines: Sequence[Line]) -> Iterator[tuple[slice, Sequence[Line]]]:
    """Yield consecutive lines, a few thousand in memory at a time, with their places among all."""
    for start in range(0, len(lines), BLOCK):
        rows = slice(start, min(start + BLOCK, len(lines)))
        yield rows, tuple(lines[rows])
