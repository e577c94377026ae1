"""Ledger lines by the million: all but votes as arrays, tens of bytes per line; votes are read from disk in blocks."""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from operator import index as whole
from pathlib import Path
from typing import IO, Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Spec
from smoothcert.errors import EvidenceError
from smoothcert.formats.line import Line, parse_line
from smoothcert.formats.strict import open_regular

T = TypeVar("T", bound=Hashable)
Whole = NDArray[np.int64]
Rows = slice | Whole
_MOST = 2**63 - 1

Pairs = tuple[tuple[str, str], ...]
"""Value of a line in each column for which results are counted separately, sorted by name."""


@dataclass(frozen=True, eq=False)
class Coded(Generic[T]):
    """A categorical column: values that repeat from line to line.

    Attributes:
        codes: int32 (m,): index of the value of each line in `values`.
        values: the distinct values.
    """

    codes: NDArray[np.int32]
    values: tuple[T, ...]

    def __iter__(self) -> Iterator[T]:
        """Yield the value of each line."""
        return (self.values[code] for code in self.codes)

    def __getitem__(self, rows: Rows) -> Coded[T]:
        """Return the column of some lines."""
        return Coded(self.codes[rows], self.values)

    def distinct(self) -> list[T]:
        """Return the values that occur; `values` may have others, of lines that are not selected."""
        return [self.values[code] for code in np.unique(self.codes)]

    def counts(self) -> dict[T, int]:
        """Return the number of lines per value that occurs, in order of first occurrence."""
        first = np.unique(self.codes, return_index=True)[1]
        many = np.bincount(self.codes, minlength=len(self.values))
        return {self.values[code]: int(many[code]) for code in self.codes[np.sort(first)].tolist()}


@dataclass(frozen=True, eq=False)
class Columns:
    """All of m lines but their votes; arrays of shape (m,).

    Attributes:
        sigma: noise level.
        index: the image's index in its source.
        label: reference label.
        samples: noise samples drawn, selection included.
        looks: number of looks taken.
        seconds: time spent.
        at: UTC time at which each was decided.
        group: the patient or other group, or None.
        recipe: name of the numeric recipe if it is not the spec's own.
        subgroups: (column, value) pairs, sorted.
        image: uint64 of the image hash (`image_key`), equal for repeated images.
    """

    sigma: NDArray[np.float64]
    index: Whole
    label: Whole
    samples: Whole
    looks: NDArray[np.int32]
    seconds: NDArray[np.float64]
    at: Coded[str]
    group: Coded[str | None]
    recipe: Coded[str | None]
    subgroups: Coded[Pairs]
    image: NDArray[np.uint64]

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.index)

    def of(self, rows: Rows) -> Columns:
        """Return the columns of some lines; for a slice these are views."""
        parts: dict[str, Any] = {part.name: getattr(self, part.name)[rows] for part in fields(self)}
        return Columns(**parts)

    def total_seconds(self) -> float:
        """Return the total time, summed in the order of the lines, so that every machine gets the same sum."""
        return float(np.cumsum(self.seconds)[-1]) if len(self) else 0.0

    def time_order(self) -> Whole:
        """Return the permutation that sorts the lines by the time at which they were decided, then by index."""
        rank = np.empty(len(self.at.values), dtype=np.int64)
        rank[sorted(range(len(rank)), key=self.at.values.__getitem__)] = np.arange(len(rank))
        return np.lexsort((self.index, rank[self.at.codes]))


def votes_of(line: Line) -> int:
    """Return the noise samples of a line, clipped to int64, since a forged line may have any numbers."""
    return min(line.samples, _MOST)


def repeated(image: NDArray[np.uint64], owner: Whole | NDArray[np.int32]) -> int:
    """Return how many images repeat another one.

    Images of one owner may repeat each other: each image counts once per owner beyond the first.

    Args:
        image: uint64 (m,): `image_key` of each image.
        owner: int (m,): index of the image, or of its group.

    >>> repeated(np.array([7, 7, 7, 8], dtype=np.uint64), np.arange(4))
    2
    """
    pairs = np.unique(np.stack([image, owner.astype(np.uint64)]), axis=1)
    return int(pairs.shape[1]) - len(np.unique(image))


def image_key(image: str) -> int:
    """Return 64 bits of the hash of an image hash, which may be any text."""
    return int.from_bytes(hashlib.sha256(image.encode("utf-8", "surrogatepass")).digest()[:8], "little")


_NUMBERS: dict[str, tuple[str, Callable[[Line], Any]]] = {
    "sigma": ("d", lambda line: line.sigma),
    "index": ("q", lambda line: line.index),
    "label": ("q", lambda line: line.label),
    "samples": ("q", votes_of),
    "looks": ("i", lambda line: len(line.looks)),
    "seconds": ("d", lambda line: line.seconds),
    "image": ("Q", lambda line: image_key(line.image)),
}
_VALUES: dict[str, Callable[[Line], Any]] = {
    "at": lambda line: line.at,
    "group": lambda line: line.group,
    "recipe": lambda line: line.recipe,
    "subgroups": lambda line: tuple(sorted(line.subgroups.items())),
}


class Collector:
    """Collects columns line by line."""

    def __init__(self) -> None:
        """Start without lines."""
        self._numbers = {name: array(code) for name, (code, _) in _NUMBERS.items()}
        self._codes = {name: array("i") for name in _VALUES}
        self._values: dict[str, dict[Any, int]] = {name: {} for name in _VALUES}

    def append(self, line: Line) -> None:
        """Add one line."""
        for name, (_, number) in _NUMBERS.items():
            self._numbers[name].append(number(line))
        for name, value in _VALUES.items():
            known = self._values[name]
            self._codes[name].append(known.setdefault(value(line), len(known)))

    def order(self) -> Whole:
        """Return the permutation that sorts the lines by sigma and index; stable."""
        return np.lexsort((np.array(self._numbers["index"]), np.array(self._numbers["sigma"])))

    def done(self, order: Rows = slice(None)) -> Columns:
        """Return the columns in a given order; the collected data are released piece by piece."""
        columns: dict[str, Any] = {name: np.array(self._numbers.pop(name))[order] for name in _NUMBERS}
        for name in _VALUES:
            columns[name] = Coded(np.array(self._codes.pop(name))[order], tuple(self._values.pop(name)))
        return Columns(**columns)


def gathered(lines: Iterable[Line]) -> Columns:
    """Return the columns of lines in memory."""
    collector = Collector()
    for line in lines:
        collector.append(line)
    return collector.done()


def indices_of(spec: Spec) -> Whole:
    """Return the indices of a spec's images as an array, in the spec's order."""
    own = spec.data.indices
    return np.arange(spec.data.images) if own is None else np.array(own, dtype=np.int64)


BLOCK = 2048
"""Number of lines in memory at a time, some kilobytes each."""


@dataclass(frozen=True, eq=False)
class Places:
    """Positions of lines in files; arrays of shape (m,).

    Attributes:
        file: number of the file.
        offset: first byte.
        length: number of bytes, line break included.
    """

    file: NDArray[np.int32]
    offset: Whole
    length: Whole

    def of(self, rows: Rows) -> Places:
        """Return the places of some lines; for a slice these are views."""
        return Places(self.file[rows], self.offset[rows], self.length[rows])


class Files:
    """Ledger files by number. Packed files cannot be read in random order, so each is unpacked once.

    Unpacked bytes are in one unnamed temporary file, which is closed with this object.
    """

    def __init__(self) -> None:
        """Start without files."""
        self.paths: list[Path] = []
        self._packed: set[int] = set()
        self._copy: IO[bytes] | None = None

    def add(self, path: Path) -> int:
        """Add a file; return its number."""
        self.paths.append(path)
        return len(self.paths) - 1

    def unpacked(self, file: int) -> IO[bytes]:
        """Return the file to which the content of a packed file is to be appended."""
        self._packed.add(file)
        if self._copy is None:
            self._copy = tempfile.TemporaryFile(prefix="smoothcert-")  # noqa: SIM115  # lives as long as this object
            weakref.finalize(self, self._copy.close)
        return self._copy

    def read(self, file: int, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes at each (offset, length) of one file.

        Raises:
            EvidenceError: the file cannot be read any more.
        """
        try:
            if self._copy is not None and file in self._packed:
                return _pieces(self._copy, spans)
            with open_regular(self.paths[file]) as plain:
                return _pieces(plain, spans)
        except OSError as error:
            raise EvidenceError(f"Cannot read {self.paths[file]}: {error.strerror}.", code="E-RUN-017") from None


def _pieces(file: IO[bytes], spans: Sequence[tuple[int, int]]) -> list[bytes]:
    end = file.tell()
    pieces = []
    for offset, length in spans:
        file.seek(offset)
        pieces.append(file.read(length))
    file.seek(end)  # where writing goes on
    return pieces


class StoredLines(Sequence[Line]):
    """Lines of ledger files, sorted by sigma and index; keeps their columns in memory, not their votes.

    A slice is such a sequence too. Equal to any sequence of the same lines.
    """

    def __init__(self, columns: Columns, places: Places, files: Files) -> None:
        """Store columns and places of the same lines, in the same order."""
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
        """Return some of the lines, by a slice or by their indices."""
        return StoredLines(self.columns.of(rows), self._places.of(rows), self._files)

    def __iter__(self) -> Iterator[Line]:
        for start in range(0, len(self), BLOCK):
            yield from self.of(slice(start, start + BLOCK))._read()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # hashing would read all files

    def at(self, sigma: float) -> StoredLines:
        """Return the lines of one noise level."""
        first, last = (int(np.searchsorted(self.columns.sigma, sigma, side)) for side in ("left", "right"))
        return self[first:last]

    def _read(self) -> list[Line]:
        """Read all lines, each file from start to end.

        Raises:
            EvidenceError: a file cannot be read any more, or was changed since it was opened.
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
            raise EvidenceError(f"{path} was changed while it was read; call again.", code="E-RUN-043")
        return line


def columns_of(lines: Sequence[Line]) -> Columns:
    """Return the columns of lines, on disk or in memory."""
    return lines.columns if isinstance(lines, StoredLines) else gathered(lines)


def some_of(lines: Sequence[Line], places: Whole) -> Iterable[Line]:
    """Return the lines at some indices, read in blocks if they are on disk."""
    return lines.of(places) if isinstance(lines, StoredLines) else [lines[place] for place in places.tolist()]


def in_blocks(lines: Sequence[Line]) -> Iterator[tuple[slice, Sequence[Line]]]:
    """Yield blocks of consecutive lines, a few thousand at a time, with their slice of all lines."""
    for start in range(0, len(lines), BLOCK):
        rows = slice(start, min(start + BLOCK, len(lines)))
        yield rows, tuple(lines[rows])
