"""Reading ledger files once, front to back: each line is checked, and of each its columns and place are kept."""

from __future__ import annotations

import gzip
import zlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import EvidenceError
from smoothcert.evidence.columns import Collector, Columns, Whole
from smoothcert.evidence.line import Key, Line, parse_line
from smoothcert.evidence.stored import Files, Places, StoredLines

LONGEST = 2**26
"""Bytes of a line: votes of a million classes at every look take less."""


def read_lines(paths: Iterable[Path]) -> tuple[StoredLines, tuple[Key, ...], int]:
    """Read ledger files.

    Args:
        paths: plain files, and files packed by gzip, whose names end with .gz.

    Returns:
        The lines that count, sorted; keys that two workers reported differently; unfinished last lines.

    Raises:
        EvidenceError: a line other than an unfinished last one cannot be read; the message names file and line.
    """
    reader = _Reader()
    for path in paths:
        reader.read(path)
    lines = reader.lines()
    kept, differing = _decided(lines)
    return (lines if kept is None else lines.of(kept)), differing, reader.torn


class _Reader:
    """Gathers columns and places of lines, file by file."""

    def __init__(self) -> None:
        self.torn = 0
        self._columns, self._files = Collector(), Files()
        self._places = [array("i"), array("q"), array("q")]  # file, offset, length

    def read(self, path: Path) -> None:
        file = self._files.add(path)
        try:
            for number, (offset, text) in enumerate(self._texts(path, file), 1):
                if not text.endswith(b"\n"):
                    self.torn += 1
                    return
                self._columns.append(_parsed(text, number, path))
                for place, number_of in zip(self._places, (file, offset, len(text)), strict=True):
                    place.append(number_of)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise EvidenceError(f"{path} is damaged or cut short; pack it again, or restore it from a copy.") from None
        except OSError as error:
            raise EvidenceError(f"Cannot read {path}: {error.strerror}.") from None

    def _texts(self, path: Path, file: int) -> Iterator[tuple[int, bytes]]:
        """Yield each line with the place at which it can be read again."""
        if path.suffix == ".gz":
            copy = self._files.unpacked(file)
            with gzip.open(path) as packed:
                for text in _bounded(packed, path):
                    yield copy.tell(), text
                    copy.write(text)
            return
        offset = 0
        with path.open("rb") as plain:
            for text in _bounded(plain, path):
                yield offset, text
                offset += len(text)

    def lines(self) -> StoredLines:
        """Return all lines, sorted; lines of one key in the order in which they were read."""
        order = self._columns.order()
        places = Places(*(np.array(self._places.pop(0))[order] for _ in range(3)))
        return StoredLines(self._columns.done(order), places, self._files)


def _bounded(file: IO[bytes] | gzip.GzipFile, path: Path) -> Iterator[bytes]:
    """Yield lines; refuse one that no worker writes before it fills the memory, as a few packed bytes can claim it."""
    while text := file.readline(LONGEST):
        if len(text) == LONGEST:
            raise EvidenceError(f"{path} holds a line of {LONGEST:,} bytes or more, which no worker writes.")
        yield text


def _parsed(text: bytes, number: int, path: Path) -> Line:
    try:
        return parse_line(text.decode("utf-8"))
    except (EvidenceError, UnicodeDecodeError) as error:
        raise EvidenceError(
            f"Line {number} of {path} is damaged: {error}. Restore the file from a copy; "
            "removing the line makes its image be sampled again on resume."
        ) from None


def _decided(lines: StoredLines) -> tuple[Whole | None, tuple[Key, ...]]:
    """Return the places of the lines that count, None for all; and the keys of which lines differ in their votes.

    Of several lines of one key that of the worker whose name sorts first counts: a rule blind to the votes.
    """
    again = _repeated(lines.columns)
    if not again.any():
        return None, ()
    doubled = np.flatnonzero(again | np.roll(again, -1))
    kept, differing = ~again, set()
    counts: tuple[int, Line] | None = None
    for place, line in zip(doubled.tolist(), lines.of(doubled), strict=True):
        if counts is None or counts[1].key != line.key:
            counts = place, line
            continue
        if line.to_json(seal=True) != counts[1].to_json(seal=True):
            differing.add(line.key)
        if line.worker < counts[1].worker:
            kept[[counts[0], place]] = False, True
            counts = place, line
    return np.flatnonzero(kept), tuple(sorted(differing))


def _repeated(columns: Columns) -> NDArray[np.bool_]:
    """Whether a line has the key of the line before it, bool (m,)."""
    again = np.zeros(len(columns), dtype=np.bool_)
    again[1:] = (columns.sigma[1:] == columns.sigma[:-1]) & (columns.index[1:] == columns.index[:-1])
    return again
