"""Reading what anybody may have written: one sentence for each refusal, no waiting, no more than was asked for."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smoothcert.errors import EvidenceError, SpecError
from smoothcert.formats.strict import DEEPEST, parse, read_bytes

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(value=values, ascii_only=st.booleans())
def test_sound_json_is_read_as_it_was_written(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert parse(text, "f") == parse(text.encode(), "f") == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '[{"b": {"a": 1, "\\u0061": 2}}]',
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        "-1e999",
        "9" * 21,
        "9" * 5000,
        str(2**64),
        str(-(2**63) - 1),
        '"\\ud800"',
        '{"\\udc00": 1}',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
        "[" * 100_000,
        '{"a":' * 100_000,
        "",
        "{",
        "[1,]",
        "{'a': 1}",
        "[1] 2",
        "01",
        "+1",
    ],
)
def test_ambiguous_or_boundless_json_is_refused(text):
    with pytest.raises(SpecError, match=r"^f: .*\.$"):
        parse(text, "f", SpecError)


def test_nesting_up_to_the_bound_is_read():
    assert parse("[" * DEEPEST + "]" * DEEPEST, "f")


def test_a_file_is_read_up_to_the_bound(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    assert read_bytes(tmp_path / "f", 5) == b"12345"
    with pytest.raises(SpecError):
        read_bytes(tmp_path / "f", 4, SpecError)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "none", Path("a\0b")):
        with pytest.raises(EvidenceError):
            read_bytes(path, 10)
