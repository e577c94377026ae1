"""Comparison of two records by their keys, so that this version can check records written by another one."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

CLOSE = 1e-11
"""Relative difference up to which two floats count as equal: numeric libraries differ in the last digits."""
SHOWN = 6
_LITERAL = re.compile(r"[0-9a-f]{16,}|[-+]?\d+(\.\d+)?(e[-+]?\d+)?|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d.*")


@dataclass
class Compared:
    """Differences between a written and a computed record; each item is a path such as `curves[0].r_max`.

    Attributes:
        wrong: numbers, hashes and times that differ, lists of another length, values of another type.
        unknown: keys that only the written record has.
        absent: keys that only the computed record has.
        worded: texts that differ, and values of entries that are not attainable or are withheld.
        withheld: keys of values that a version may withhold; where only one record has them, they are `worded`.
    """

    wrong: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    worded: list[str] = field(default_factory=list)
    withheld: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def walk(self, written: Any, computed: Any, path: str = "", attainable: bool = True) -> None:
        """Compare two plain values and everything in them."""
        if written == computed and type(written) is type(computed):
            return
        if isinstance(written, dict) and isinstance(computed, dict):
            attainable = attainable and computed.get("attainable") is not False
            self.unknown += [_join(path, name) for name in written if name not in computed]
            self.absent += [_join(path, name) for name in computed if name not in written]
            for name in computed:
                if name in written:
                    self.walk(written[name], computed[name], _join(path, name), attainable)
        elif isinstance(written, list) and isinstance(computed, list) and len(written) == len(computed):
            for i, (theirs, ours) in enumerate(zip(written, computed, strict=True)):
                self.walk(theirs, ours, f"{path}[{_place(ours) or i}]", attainable)
        elif _words(written) and _words(computed):
            self.worded += [path] if written != computed else []
        elif not _same(written, computed):
            kept_back = (written is None) != (computed is None) and path.rpartition(".")[2] in self.withheld
            (self.worded if kept_back or not attainable else self.wrong).append(path)


def compare(written: Any, computed: Any, withheld: frozenset[str] = frozenset()) -> Compared:
    """Return the differences between a written and a computed record, both plain JSON values.

    Args:
        written: the record on disk.
        computed: the record as this version derives it.
        withheld: keys of values that a version may withhold.

    >>> compare({"a": 1, "text": "yes", "b": 0}, {"a": 2, "text": "no", "c": 0})
    Compared(wrong=['a'], unknown=['b'], absent=['c'], worded=['text'])
    """
    found = Compared(withheld=withheld)
    found.walk(written, computed)
    return found


def some(paths: Sequence[str]) -> str:
    """Join the first paths to a text.

    >>> some(["a", "b"]), some(["a"] * 9)
    ('a, b', 'a, a, a, a, a, a and 3 more')
    """
    more = len(paths) - SHOWN
    return ", ".join(path[:80] for path in paths[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def close(one: float, other: float) -> bool:
    """Whether two numbers are equal up to the last digits of a float."""
    return one == other or math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-15)


def _same(written: Any, computed: Any) -> bool:
    if isinstance(written, bool) or isinstance(computed, bool):
        return written is computed
    if isinstance(written, int | float) and isinstance(computed, int | float):
        return (
            written == computed if isinstance(written, int) and isinstance(computed, int) else close(written, computed)
        )
    return bool(written == computed)


def _words(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_words(each) for each in value)
    return isinstance(value, str) and not _LITERAL.fullmatch(value)


def _place(record: Any) -> str:
    """Return the entry of the results table that a record describes, as text; empty if it describes none."""
    if not isinstance(record, dict) or not {"sigma", "k", "radius"} <= {*record}:
        return ""
    return f"sigma {record['sigma']:g}, k {record['k']}, r {record['radius']:g}"


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
