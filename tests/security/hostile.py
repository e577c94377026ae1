"""Hostile bytes: sound files with flipped bits, cuts and strange values, and what is asked of whoever reads them."""

import contextlib
import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from smoothcert.errors import SmoothcertError
from smoothcert.evidence import RunDirectory
from smoothcert.evidence.seal import seal_facts

EXAMPLES = int(os.environ.get("HOSTILE_EXAMPLES", "25"))
"""Hostile files a test tries; before a release HOSTILE_EXAMPLES=2000 tries more."""

LONGEST = None if settings().derandomize else 20_000
many = settings(max_examples=EXAMPLES, deadline=LONGEST, suppress_health_check=list(HealthCheck))
"""Each example is written to the same folder; among random ones, one that takes longer than 20 seconds is a failure."""

TOKENS = (
    *(b"\0", b"NaN", b"-Infinity", b"1e999", b"-1", b"18446744073709551616", b"9" * 400, b"1.5"),
    *(b"[", b"]", b"{", b"}", b"null", b"true", b'""', b'"', b"\\", b'"\\ud800"', b"[]", b"{}", b",", b";", b"\t"),
    *(b"\n", b"\r\n", b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f", b"\x1b[2J", "\u202e".encode(), b"<script>", b"=1+1"),
    *(b"[" * 60_000, b'{"a":' * 60_000, b"- " * 30_000, b'"' * 1000),
)
"""Pieces that readers stumble over: numbers that are none, brackets, half characters, escapes, deep nesting."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 1.5, float("nan"), float("inf"), 1e308, 5e-324, 1e-300, 10**25, 2**63, -(2**70)),
    *("", "\0", "\ud800", "a\nb", "\u202egnorw", "<b>", "9" * 500, "1e400", "nan", "0.25", "x" * 10_000),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": [1]}}, [1, 2, 3], ["\ud800"]),
)
NAMES = ("x", "\ud800", "__class__", "1e5", "-1", "999999999999999999999", "0")

_place = st.integers(0, 2**20)
_edit = st.one_of(
    st.tuples(st.just("flip"), _place, st.integers(0, 7)),
    st.tuples(st.just("cut"), _place, st.none()),
    st.tuples(st.just("put"), _place, st.sampled_from(TOKENS)),
    st.tuples(st.just("replace"), _place, st.sampled_from(TOKENS)),
    st.tuples(st.just("drop"), _place, st.integers(1, 60)),
    st.tuples(st.just("double"), _place, st.integers(1, 60)),
)


def _edited(data: bytes, edit: tuple[str, int, Any]) -> bytes:
    how, place, what = edit
    i = place % (len(data) + 1)
    if how == "flip" and data:
        i %= len(data)
        return data[:i] + bytes([data[i] ^ 1 << what]) + data[i + 1 :]
    inserted = {"put": what, "replace": what, "double": data[i : i + what] if how == "double" else b""}.get(how, b"")
    left_out = {"cut": len(data), "replace": 1, "drop": what}.get(how, 0)
    return data[:i] + inserted + data[i + left_out :]


@st.composite
def spoiled(draw: st.DrawFn, sound: bytes) -> bytes:
    """A sound file with some edits, or noise."""
    if draw(st.integers(0, 30)) == 0:
        return draw(st.binary(max_size=200))
    for edit in draw(st.lists(_edit, min_size=1, max_size=4)):
        sound = _edited(sound, edit)
    return sound


def _paths(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*path, key))


@st.composite
def strange(draw: st.DrawFn, sound: Any) -> Any:
    """A sound JSON document with some values replaced, left out, doubled or renamed."""
    document = copy.deepcopy(sound)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from([*_paths(document)] or [("nothing",)]))
        inside = document
        for key in path:
            inside = inside[key]
        how = draw(st.sampled_from(["replace", "replace", "drop", "add"]))
        if last == "nothing":
            return document
        if how == "replace":
            inside[last] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        elif how == "drop":
            del inside[last]
        elif isinstance(inside, dict):
            inside[draw(st.sampled_from(NAMES))] = copy.deepcopy(inside[last])
        else:
            inside.append(copy.deepcopy(inside[last]))
    return document


def written(document: Any, indent: int | None = None) -> bytes:
    """A JSON document as bytes; half characters become bytes that are not UTF-8, or escapes."""
    return json.dumps(document, indent=indent).encode()


def sentence(call: Callable[..., object], *arguments: Any) -> str | None:
    """The sentence a reader refuses with, or None where it reads; another error passes through and fails the test."""
    try:
        call(*arguments)
    except SmoothcertError as error:
        told = str(error)
        assert told.isprintable(), told[:300]
        assert 10 < len(told) < 1500, told[:300]
        assert told.endswith((".", "`")), told[-80:]
        return told
    return None


def rechained(run: Path, change: Callable[[list[Any]], object] = lambda records: None) -> None:
    """Change the records of a run's log and forge its hashes anew; what cannot be read or hashed stays as it is."""
    lines = (run / "events.jsonl").read_text(encoding="utf-8").splitlines()
    try:
        records = [json.loads(line) for line in lines]
        change(records)
        with contextlib.suppress(SmoothcertError):
            records[0]["spec_sha256"] = RunDirectory(run).read_spec().sha256()
        with contextlib.suppress(SmoothcertError):
            facts = seal_facts(RunDirectory(run).read_ledger())
            for record in records:
                if record["event"] == "finish" and isinstance(record.get("ledger_sha256"), str):
                    record.update(facts)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        return
    previous, chained = "0" * 64, []
    for record in records:
        chained.append(json.dumps({**record, "previous": previous}, sort_keys=True))
        previous = hashlib.sha256(chained[-1].encode()).hexdigest()
    (run / "events.jsonl").write_text("".join(f"{line}\n" for line in chained), encoding="utf-8")
