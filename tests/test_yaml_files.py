"""Hand-written files: plain YAML comes through, everything else is refused at once and by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refusals import refuses
from smoothcert.errors import InputError
from smoothcert.yaml_files import DEEPEST, parse_yaml, read_text, write_yaml

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(PLAIN)
def test_what_is_plain_comes_through(value):
    assert parse_yaml(write_yaml(value), "f") == value


def test_words_and_numbers_are_those_of_yaml_1_2():
    assert parse_yaml("a: off\nb: 1e-3\nc: 012\nd: true", "f") == {"a": "off", "b": 0.001, "c": 12, "d": True}
    assert parse_yaml("{a: 'off', b: '1e3'}", "f") == {"a": "off", "b": "1e3"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: &x [1]\nb: *x\n", r"f: YAML aliases"),
        ("a: {b: 1, c: 2, b: 3}", "f: duplicate key `b`"),
        ("- 1\n- a: {b: 1, b: 1}", "f: duplicate key `b`"),
        ("".join(f"k{i}: 1\n" for i in range(9_000)) + "k7: 1", "f: duplicate key `k7`"),
        ("a: [", r"f: expected YAML, got an error in line 1: "),
        ("a: !!python/name:os.system", r"f: expected YAML, got an error in line 1: "),
        ("a: {<<: {b: 1}}", "f: YAML merge keys"),
        ("a: 1\n!!merge x: {b: 1}", "f: YAML merge keys"),
        ("a: !!bool x", r"f: expected YAML, got text that cannot be read as YAML\."),
        ("a: 2001-02-30", r"f: expected YAML, got text that cannot be read as YAML\."),
    ],
)
def test_what_is_not_plain_is_refused(text, sentence):
    with pytest.raises(InputError, match=sentence):
        parse_yaml(text, "f")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}"), ("- ", "")])
def test_nesting_ends_at_a_depth_far_below_what_hurts(opening, closing):
    fits = opening * DEEPEST + "1" + closing * DEEPEST
    found = parse_yaml(fits, "f")
    for _ in range(DEEPEST):
        (found,) = found.values() if isinstance(found, dict) else found
    assert found == 1
    for more in (1, 50_000):
        with refuses("E-INPUT-051", match="nested at most 32 deep"):
            parse_yaml(opening * (DEEPEST + more), "f")


def test_text_is_read_whole_or_refused(tmp_path):
    path = tmp_path / "f.yaml"
    path.write_bytes("\ufeffgrün".encode())
    assert read_text(path, 8) == "grün"
    with refuses("E-INPUT-044", match="expected at most 7 bytes"):
        read_text(path, 7)
    path.write_bytes(b"\xff")
    with refuses("E-INPUT-045", match="expected UTF-8 text"):
        read_text(path, 8)
    with refuses("E-INPUT-043"):
        read_text(tmp_path / "none", 8)
