"""A line of a ledger file (`*.jsonl`, `*.jsonl.gz`): the votes of one (sigma, image), nothing derived.

Version 1 of a line has the key `looks`. Version 2 has `added` in its place and is otherwise the same; runs with bound
"betting", whose looks are many, write it, and no other run does.

Each line is one JSON object without blanks, its keys in this order:

* `sigma`: number, noise level in units of the [0, 1] range;
* `index`: int from 0, the image's index in its source;
* `image`: str, "sha256:" and the hash of the image;
* `label`: int from 0, the reference label;
* `group`: str or null, the patient or other group;
* `selection`: object or null, votes of the n0 selection samples by class; null if no class is selected;
* `looks` (version 1): list of [n, votes], the votes of the first n noise samples at each look taken;
* `added` (version 2): list of votes, for each look taken those of the noise samples since the look before. The number
  of samples n of a look is the sum of all votes up to it, and has to be that of the look in the spec. No number of
  votes is 0;
* `seconds`: number from 0, time spent, as far as it can be attributed to one image;
* `worker`: str, name of the worker that sampled it, which is the file name without its ending;
* `at`: str, UTC time such as `2026-01-31T12:00:00Z` at which it was decided;
* `recipe`: str, name of the numeric recipe; left out if it is the spec's own;
* `subgroups`: object of str, value of the image in each column of the spec; left out if the spec has none;
* `output`: reserved for votes on something other than the class of an image; no line of these versions has it.

Votes are objects that map the class number in plain decimal (no sign, no leading zero) to a whole number; classes
without a vote are left out. The canonical ledger, whose SHA-256 is in the seal, consists of the lines sorted by sigma
and index, with sorted keys, without `seconds`, `worker` and `at`, each followed by a newline.

No key may be added in a minor version, since an unknown key could hold votes. An unknown key is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smoothcert.errors import EvidenceError
from smoothcert.formats.strict import MOST_COUNTED, decode, utc

Votes = Mapping[int, int]
"""Votes by class; classes without a vote are left out."""

Key = tuple[float, int]
"""Key of a line: (sigma, image index)."""

SEAL_IGNORES = ("seconds", "worker", "at")
KEYS = frozenset(
    ("sigma", "index", "image", "label", "group", "selection", "looks", *SEAL_IGNORES, "recipe", "subgroups")
)
KEYS_2 = KEYS - {"looks"} | {"added"}
LONGEST = 10**12
"""Largest number of seconds of a line; sums over a million lines are finite."""


@dataclass(frozen=True)
class Line:
    """The evidence on one image at one noise level.

    Attributes:
        sigma: noise standard deviation, in units of the [0, 1] range.
        index: the image's index in its source.
        image: "sha256:..." of the image.
        label: reference label.
        group: the patient or other group, or None.
        selection: votes of the n0 selection samples; None if no class is selected.
        looks: (n, votes) at each look taken, cumulative.
        seconds: time spent, as far as it can be attributed to one image.
        worker: name of the worker that sampled it.
        at: UTC time at which it was decided.
        recipe: name of the numeric recipe if it is not the spec's own.
        subgroups: value of the image in each column for which results are counted separately.
        compact: whether the line is of version 2.
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
    subgroups: Mapping[str, str] = field(default_factory=dict)
    compact: bool = False

    @property
    def key(self) -> Key:
        """Key of the line: (sigma, image index)."""
        return (self.sigma, self.index)

    @property
    def samples(self) -> int:
        """Noise samples drawn for this image, selection included."""
        return sum((self.selection or {}).values()) + (self.looks[-1][0] if self.looks else 0)

    def to_json(self, seal: bool = False) -> str:
        """Return the line as JSON; with `seal`, the canonical line, without what may differ between two equal runs."""
        record: dict[str, Any] = {
            "sigma": self.sigma,
            "index": self.index,
            "image": self.image,
            "label": self.label,
            "group": self.group,
            "selection": None if self.selection is None else _by_class(self.selection),
            **self._looks(),
            "seconds": round(self.seconds, 4),
            "worker": self.worker,
            "at": self.at,
        }
        if self.recipe is not None:
            record["recipe"] = self.recipe
        if self.subgroups:
            record["subgroups"] = dict(sorted(self.subgroups.items()))
        if seal:
            for name in SEAL_IGNORES:
                del record[name]
        return (_SEALED if seal else _PLAIN).encode(record)

    def _looks(self) -> dict[str, Any]:
        if not self.compact:
            return {"looks": [[n, _by_class(votes)] for n, votes in self.looks]}
        both = zip(({}, *(votes for _, votes in self.looks)), (votes for _, votes in self.looks), strict=False)
        return {"added": [_by_class(_difference(before, votes)) for before, votes in both]}


_PLAIN, _SEALED = (json.JSONEncoder(separators=(",", ":"), sort_keys=seal) for seal in (False, True))


def _by_class(votes: Votes) -> dict[str, int]:
    return {str(c): votes[c] for c in sorted(votes)}


def _difference(before: Votes, votes: Votes) -> Votes:
    found = {c: votes.get(c, 0) - before.get(c, 0) for c in {*before, *votes}}
    return {c: n for c, n in found.items() if n}


def parse_line(text: str | bytes) -> Line:
    """Read one line of a ledger.

    Raises:
        EvidenceError: the line is not JSON, a key is missing or unknown, or a value is of another type.
    """
    try:
        record = decode(text, bounded=False)
        if not isinstance(record, dict):
            raise ValueError("expected an object")
        keys = KEYS_2 if "added" in record else KEYS
        if not record.keys() <= keys:
            raise ValueError(f"unknown key {min(record.keys() - keys)!r:.60}")
        return Line(
            sigma=_number(record["sigma"]),
            index=_count(record["index"]),
            image=_text(record["image"]),
            label=_count(record["label"]),
            group=None if record["group"] is None else _text(record["group"]),
            selection=None if record["selection"] is None else _votes(record["selection"]),
            looks=_added(record["added"]) if "added" in record else _looks(record["looks"]),
            seconds=_seconds(record["seconds"]),
            worker=_text(record["worker"]),
            at=utc(_text(record["at"])),
            recipe=_text(record["recipe"]) if "recipe" in record else None,
            subgroups=_texts(record["subgroups"]) if "subgroups" in record else {},
            compact="added" in record,
        )
    except KeyError as missing:
        raise EvidenceError(f"not a ledger line (no {missing})", code="E-RUN-053") from None
    except (ValueError, OverflowError) as reason:
        raise EvidenceError(f"not a ledger line ({reason})", code="E-RUN-054") from None


class _Classes(dict[str, int]):
    """Class numbers by their text in plain decimal; other forms that `int` accepts are refused."""

    def __missing__(self, text: str) -> int:
        if not _CLASS.fullmatch(text):
            raise ValueError(f"expected class numbers in plain decimal, got {text!r:.40}")
        return int(text)


_CLASS = re.compile("0|[1-9][0-9]{0,17}")
_CLASSES = _Classes({str(c): c for c in range(1000)})


def _votes(record: object) -> Votes:
    if not isinstance(record, dict):
        raise ValueError(f"expected votes by class, got {record!r:.80}")
    votes = {_CLASSES[c]: n for c, n in record.items()}
    numbers = votes.values()
    if votes and not (set(map(type, numbers)) == {int} and min(numbers) >= 0 and max(numbers) <= MOST_COUNTED):
        for number in numbers:  # one by one, to name the first invalid one
            _count(number)
    return votes


def _looks(record: object) -> tuple[tuple[int, Votes], ...]:
    if not isinstance(record, list) or not all(isinstance(look, list) and len(look) == 2 for look in record):
        raise ValueError(f"expected looks as [n, votes], got {record!r:.80}")
    return tuple((_count(n), _votes(votes)) for n, votes in record)


def _added(record: object) -> tuple[tuple[int, Votes], ...]:
    """Return the looks that the votes of each batch add up to."""
    if not isinstance(record, list):
        raise ValueError(f"expected added as votes by class, got {record!r:.80}")
    looks: list[tuple[int, Votes]] = []
    so_far: dict[int, int] = {}
    for batch in map(_votes, record):
        if not batch or 0 in batch.values():
            raise ValueError(f"expected votes of 1 or more in each batch, got {batch!r:.80}")
        so_far = {**so_far, **{c: so_far.get(c, 0) + n for c, n in batch.items()}}
        looks.append((_count(sum(so_far.values())), so_far))
    return tuple(looks)


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MOST_COUNTED:
        raise ValueError(f"expected a whole number of 0 or more, got {value!r:.80}")
    return value


def _number(value: object) -> float:
    if type(value) is not float and type(value) is not int:
        raise ValueError(f"expected a number, got {value!r:.80}")
    return float(value)


def _seconds(value: object) -> float:
    seconds = _number(value)
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"expected seconds from 0 to {LONGEST:,}, got {seconds}")
    return seconds


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, got {value!r:.80}")
    return value


def _texts(record: object) -> Mapping[str, str]:
    if not isinstance(record, dict) or not all(isinstance(value, str) for value in record.values()):
        raise ValueError(f"expected subgroups as texts by column, got {record!r:.80}")
    return record
