"""The ledger: one line per (sigma, image), append-only, written when the image is decided, checked on reading."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import EvidenceError
from smoothcert.evidence.line_store import Collector, Columns, Files, Places, StoredLines, Whole, columns_of
from smoothcert.formats.line import Key, Line, parse_line
from smoothcert.formats.strict import open_regular

LONGEST = 2**26
"""Largest number of bytes of a line; votes of a million classes at every look take less."""
MOST_TIMES, SMALL = 100, 2**20
"""A packed file may unpack to SMALL bytes plus MOST_TIMES its size: lines contain hashes, which compress badly."""

PACKED = ".gz"

Uncounted = Mapping[tuple[str, str], int]
"""Lines with a duplicate key that do not count, by (worker whose line counts, worker whose line does not)."""


@dataclass
class LedgerFile:
    """Running hash of the complete lines of one ledger file, unpacked, as recorded by a seal.

    Attributes:
        lines: number of complete lines.
        torn: whether an incomplete last line follows them.
    """

    lines: int = 0
    torn: bool = False
    _digest: Any = field(default_factory=hashlib.sha256, repr=False)

    def add(self, text: bytes) -> None:
        """Add complete lines."""
        self._digest.update(text)
        self.lines += text.count(b"\n")

    def record(self) -> dict[str, Any]:
        """Return the number of lines and their SHA-256, as in a seal."""
        return {"lines": self.lines, "sha256": self._digest.hexdigest()}


def plain_name(path: Path) -> str:
    """Return the name of a ledger file without .gz: packing does not change the evidence."""
    return path.name.removesuffix(PACKED)


def reading_order(path: Path) -> tuple[str, bool]:
    """Return the sort key of ledger files: a packed file comes before the plain one of its name, which is newer."""
    return plain_name(path), not path.name.endswith(PACKED)


def read_lines(
    paths: Iterable[Path], most: int | None = None
) -> tuple[StoredLines, tuple[Key, ...], int, Mapping[str, LedgerFile], Uncounted]:
    """Read ledger files.

    Args:
        paths: plain files, and gzip files, whose names end with .gz.
        most: maximum number of lines in total (default: unbounded).

    Returns:
        The lines that count, sorted; keys that two workers reported differently; number of incomplete last lines; the
        `LedgerFile` of each file, by its plain name; lines that do not count.

    Raises:
        EvidenceError: a line other than an incomplete last one cannot be read; the message names file and line. A file
            is not a regular file, has too many lines, or unpacks to far more bytes than a ledger can have.
    """
    reader = _Reader(most)
    for path in sorted(paths, key=reading_order):
        reader.read(path)
    lines = reader.lines()
    kept, differing, uncounted = _decided(lines)
    return (lines if kept is None else lines.of(kept)), differing, reader.torn, reader.records, uncounted


def prefixes(paths: Iterable[Path], lengths: Mapping[str, set[int]]) -> dict[tuple[str, int], str]:
    """Return the SHA-256 of the first lines of ledger files, which are append-only.

    Args:
        paths: ledger files.
        lengths: numbers of lines, by plain file name.

    Returns:
        Hashes by (plain name, number of lines); none for a file with fewer lines.
    """
    found: dict[tuple[str, int], str] = {}
    records: dict[str, LedgerFile] = {}
    for path in sorted(paths, key=reading_order):
        name = plain_name(path)
        record, counts = records.setdefault(name, LedgerFile()), lengths.get(name, set())
        if counts and not record.lines:
            found[name, 0] = record.record()["sha256"]
        for text in _texts(path) if counts else ():
            if text.endswith(b"\n"):
                record.add(text)
                if record.lines in counts:
                    found[name, record.lines] = record.record()["sha256"]
    return found


class _Reader:
    """Collects columns and places of lines, file by file."""

    def __init__(self, most: int | None) -> None:
        self.torn, self._most = 0, most
        self.records: dict[str, LedgerFile] = {}
        self._columns, self._files = Collector(), Files()
        self._places = [array("i"), array("q"), array("q")]  # file, offset, length

    def read(self, path: Path) -> None:
        file, record = self._files.add(path), self.records.setdefault(plain_name(path), LedgerFile())
        try:
            for number, (offset, text) in enumerate(self._placed(path, file), 1):
                if not text.endswith(b"\n"):
                    self.torn, record.torn = self.torn + 1, True
                    return
                record.add(text)
                if self._most is not None and len(self._places[0]) >= self._most:
                    raise EvidenceError(
                        f"{path} has more lines than a run of this spec can have: {self._most:,}.", code="E-RUN-037"
                    )
                self._columns.append(_parsed(text, number, path))
                for place, number_of in zip(self._places, (file, offset, len(text)), strict=True):
                    place.append(number_of)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise EvidenceError(
                f"{path} is damaged or cut short; pack it again, or restore it from a copy.", code="E-RUN-038"
            ) from None
        except OSError as error:
            raise EvidenceError(f"Cannot read {path}: {error.strerror}.", code="E-RUN-017") from None

    def _placed(self, path: Path, file: int) -> Iterator[tuple[int, bytes]]:
        """Yield each line with the place at which it can be read again."""
        copy = self._files.unpacked(file) if path.name.endswith(PACKED) else None
        offset = copy.tell() if copy else 0
        for text in _texts(path):
            yield offset, text
            offset += copy.write(text) if copy else len(text)

    def lines(self) -> StoredLines:
        """Return all lines, sorted; lines of one key in the order in which they were read."""
        order = self._columns.order()
        places = Places(*(np.array(self._places.pop(0))[order] for _ in range(3)))
        return StoredLines(self._columns.done(order), places, self._files)


def _texts(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file, unpacked; refuse what no worker writes before it fills memory or disk.

    A few packed bytes can claim any number of lines, and a line of any length.
    """
    with open_regular(path) as file:
        packed = path.name.endswith(PACKED)
        left = SMALL + MOST_TIMES * os.fstat(file.fileno()).st_size
        lines = gzip.GzipFile(fileobj=file) if packed else file
        while text := lines.readline(LONGEST):
            left -= len(text)
            if len(text) == LONGEST:
                raise EvidenceError(
                    f"{path}: expected lines below {LONGEST:,} bytes, got a longer one.", code="E-RUN-040"
                )
            if packed and left < 0:
                raise EvidenceError(
                    f"{path} unpacks to more than {MOST_TIMES} times its size, as no ledger does.", code="E-RUN-041"
                )
            yield text


def _parsed(text: bytes, number: int, path: Path) -> Line:
    try:
        return parse_line(text)
    except EvidenceError as error:
        raise EvidenceError(
            f"Line {number} of {path} is damaged: {error}. Restore the file from a copy, or, if the run is not sealed, "
            "remove the line and resume: its image is then sampled again.",
            code=error.code,
        ) from None


def _decided(lines: StoredLines) -> tuple[Whole | None, tuple[Key, ...], Uncounted]:
    """Return the indices of the lines that count (None: all), keys whose lines differ in votes, and duplicates.

    Among lines with the same key, that of the worker whose name sorts first counts: a rule that ignores the votes.
    """
    again = _repeated(lines.columns)
    if not again.any():
        return None, (), {}
    doubled = np.flatnonzero(again | np.roll(again, -1))
    kept, differing, uncounted = ~again, set(), Counter[tuple[str, str]]()
    counts: tuple[int, Line] | None = None
    for place, line in zip(doubled.tolist(), lines.of(doubled), strict=True):
        if counts is None or counts[1].key != line.key:
            counts = place, line
            continue
        if line.to_json(seal=True) != counts[1].to_json(seal=True):
            differing.add(line.key)
        both = sorted((line.worker, counts[1].worker))
        uncounted[both[0], both[1]] += 1
        if line.worker < counts[1].worker:
            kept[[counts[0], place]] = False, True
            counts = place, line
    return np.flatnonzero(kept), tuple(sorted(differing)), uncounted


def _repeated(columns: Columns) -> NDArray[np.bool_]:
    """Whether a line has the key of the line before it, bool (m,)."""
    again = np.zeros(len(columns), dtype=np.bool_)
    again[1:] = (columns.sigma[1:] == columns.sigma[:-1]) & (columns.index[1:] == columns.index[:-1])
    return again


@dataclass(frozen=True)
class Ledger:
    """The votes of a run, one line per (sigma, image), sorted.

    Attributes:
        lines: the lines that count, sorted by sigma and index; those of a run directory are read from disk on access
            (`StoredLines`).
        differing: keys that two workers reported differently; the worker whose name sorts first counts.
        torn: number of incomplete last lines that were ignored (their images are sampled again on resume).
        files: `LedgerFile` of each file, by its name without .gz; empty for lines in memory.
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
        """Return the (sigma, index) pairs that are decided."""
        return Keys(self.columns)

    @cached_property
    def columns(self) -> Columns:
        """All of the lines but their votes, as arrays."""
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
    """The keys of sorted lines: a set that creates no object per key."""

    def __init__(self, columns: Columns) -> None:
        """Store the columns of lines sorted by sigma and index."""
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
    """Read all `*.jsonl` and `*.jsonl.gz` files of a ledger folder.

    Each line is checked now and read again on access.

    Args:
        folder: the folder.
        most: maximum number of lines (default: unbounded).

    Raises:
        EvidenceError: a line other than an incomplete last one cannot be read; the message names file and line.
    """
    return Ledger(*read_lines(files_of(folder), most))


def files_of(folder: Path, begin: str = "") -> list[Path]:
    """Return the files of a ledger folder, plain or packed, whose names start with `begin`."""
    found = [*folder.glob(f"{begin}*.jsonl"), *folder.glob(f"{begin}*.jsonl{PACKED}")]
    return sorted(found, key=reading_order)


class LedgerWriter:
    """Appends lines to the file of one worker, durably; a context manager.

    An incomplete last line left by a crash is cut off before the first write.
    """

    def __init__(self, path: Path, so_far: LedgerFile | None = None) -> None:
        """Store the path; the file is opened on entering the context.

        Args:
            path: the file.
            so_far: its entry in `Ledger.files` (default: the file is new).
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
        """Close the file; all lines are on disk already."""
        if self._file is not None:
            self._file.close()

    def append(self, lines: Iterable[Line]) -> None:
        """Write lines and wait until they are on disk (fsync).

        Raises:
            OSError: writing failed, as on a full disk; an incomplete line is cut off when the run is resumed.
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
