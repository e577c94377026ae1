"""The ledger: one line a (sigma, image), append-only, written when the image is decided. Votes, and nothing derived."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from smoothcert.errors import EvidenceError

Votes = Mapping[int, int]
"""Votes by class; classes without a vote are left out."""

SEAL_IGNORES = ("seconds", "worker", "at")


@dataclass(frozen=True)
class Line:
    """The evidence on one image at one noise level.

    Attributes:
        sigma: noise standard deviation, in units of the [0, 1] range.
        index: the image's index in its source.
        image: "sha256:..." of the image.
        label: reference label.
        group: the patient or other group, or None.
        selection: votes of the n0 selection copies, or None where no class had to be selected.
        looks: (n, votes) at each look taken, cumulative.
        seconds: time spent, as far as it can be attributed to one image.
        worker: who sampled it.
        at: UTC time at which it was decided.
        recipe: name of the numeric recipe where it is not the spec's own.
    """

    sigma: float
    index: int
    image: str
    label: int
    group: str | None
    selection: Votes | None
    looks: tuple[tuple[int, Votes], ...]
    seconds: float
    worker: str
    at: str
    recipe: str | None = None

    @property
    def key(self) -> tuple[float, int]:
        """What one line is about: (sigma, image index)."""
        return (self.sigma, self.index)

    @property
    def samples(self) -> int:
        """Noisy copies drawn for this image, selection included."""
        return sum((self.selection or {}).values()) + (self.looks[-1][0] if self.looks else 0)

    def to_json(self, seal: bool = False) -> str:
        """Return the line as JSON; with `seal`, without what may differ between two equal runs."""
        record: dict[str, Any] = {
            "sigma": self.sigma,
            "index": self.index,
            "image": self.image,
            "label": self.label,
            "group": self.group,
            "selection": None if self.selection is None else _text(self.selection),
            "looks": [[n, _text(votes)] for n, votes in self.looks],
            "seconds": round(self.seconds, 4),
            "worker": self.worker,
            "at": self.at,
        }
        if self.recipe is not None:
            record["recipe"] = self.recipe
        if seal:
            for name in SEAL_IGNORES:
                del record[name]
        return json.dumps(record, separators=(",", ":"), sort_keys=seal)


def _text(votes: Votes) -> dict[str, int]:
    return {str(c): votes[c] for c in sorted(votes)}


def parse_line(text: str) -> Line:
    """Read one line of a ledger.

    Raises:
        EvidenceError: the line is not JSON, or a field is missing or of the wrong kind.
    """
    try:
        record = json.loads(text)
        return Line(
            sigma=float(record["sigma"]),
            index=_count(record["index"]),
            image=str(record["image"]),
            label=_count(record["label"]),
            group=None if record["group"] is None else str(record["group"]),
            selection=None if record["selection"] is None else _votes(record["selection"]),
            looks=tuple((_count(n), _votes(votes)) for n, votes in record["looks"]),
            seconds=float(record["seconds"]),
            worker=str(record["worker"]),
            at=str(record["at"]),
            recipe=record.get("recipe"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise EvidenceError(f"not a ledger line ({reason})") from None


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"expected a whole number of 0 or more, got {value!r}")
    return value


def _votes(record: Mapping[str, object]) -> Votes:
    return {_count(int(c)): _count(votes) for c, votes in record.items()}


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
        digest = hashlib.sha256()
        for line in self.lines:
            digest.update(line.to_json(seal=True).encode() + b"\n")
        return digest.hexdigest()


def read_ledger(folder: Path) -> Ledger:
    """Read every `*.jsonl` of a ledger folder.

    Raises:
        EvidenceError: a line other than an unfinished last one cannot be read; the message names file and line.
    """
    found: dict[tuple[float, int], Line] = {}
    differing: set[tuple[float, int]] = set()
    torn = 0
    for path in sorted(folder.glob("*.jsonl")):
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
    try:
        whole, _, rest = path.read_bytes().rpartition(b"\n")
    except OSError as error:
        raise EvidenceError(f"Cannot read {path}: {error.strerror}.") from None
    lines = []
    for number, text in enumerate(whole.split(b"\n") if whole else [], 1):
        try:
            lines.append(parse_line(text.decode("utf-8")))
        except (EvidenceError, UnicodeDecodeError) as error:
            raise EvidenceError(
                f"Line {number} of {path} is damaged: {error}. Restore the file from a copy; "
                "removing the line makes its image be sampled again on resume."
            ) from None
    return lines, bool(rest)


@dataclass
class LedgerWriter:
    """Appends lines to one worker's file; `commit` makes them durable.

    An unfinished last line left by a crash is cut off before the first write.
    """

    path: Path
    _file: BinaryIO | None = field(default=None, repr=False)

    def __enter__(self) -> LedgerWriter:
        """Open the file for appending."""
        _cut_unfinished(self.path)
        self._file = self.path.open("ab")
        return self

    def __exit__(self, *_: object) -> None:
        """Make what was written durable and close."""
        if self._file is not None:
            self.commit()
            self._file.close()
            self._file = None

    def append(self, lines: Iterable[Line]) -> None:
        """Write lines and make them durable, all or none of each line."""
        data = b"".join(line.to_json().encode() + b"\n" for line in lines)
        if data:
            cast(BinaryIO, self._file).write(data)
            self.commit()

    def commit(self) -> None:
        """Flush to the disk."""
        file = cast(BinaryIO, self._file)
        file.flush()
        os.fsync(file.fileno())


def _cut_unfinished(path: Path) -> None:
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
            os.fsync(file.fileno())
