"""One ledger line: the votes of one (sigma, image), and nothing derived."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smoothcert.errors import EvidenceError

Votes = Mapping[int, int]
"""Votes by class; classes without a vote are left out."""

Key = tuple[float, int]
"""What one line is about: (sigma, image index)."""

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
        subgroups: the image's value in each column for which results are counted apart.
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

    @property
    def key(self) -> Key:
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
        if self.subgroups:
            record["subgroups"] = dict(sorted(self.subgroups.items()))
        if seal:
            for name in SEAL_IGNORES:
                del record[name]
        return (_SEALED if seal else _PLAIN).encode(record)


_PLAIN, _SEALED = (json.JSONEncoder(separators=(",", ":"), sort_keys=seal) for seal in (False, True))


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
            subgroups=_texts(record.get("subgroups", {})),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise EvidenceError(f"not a ledger line ({reason})") from None


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"expected a whole number of 0 or more, got {value!r:.80}")
    return value


def _texts(record: object) -> Mapping[str, str]:
    if not isinstance(record, dict) or not all(isinstance(value, str) for value in record.values()):
        raise ValueError(f"expected subgroups as texts by column, got {record!r:.80}")
    return record


def _votes(record: Mapping[str, Any]) -> Votes:
    votes = {int(c): n for c, n in record.items()}
    numbers = [*votes, *votes.values()]
    if numbers and not (set(map(type, numbers)) == {int} and min(numbers) >= 0 and max(numbers) < 2**63):
        for number in numbers:  # one by one, to name the first that is none
            _count(number)
    return votes
