import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import error_of
from refusals import refuses
from smoothcert.errors import EvidenceError
from smoothcert.evidence.events import append_event, broken_link, read_events


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "events.jsonl"
    append_event(path, "spec locked", spec_sha256="0" * 64, smoothcert="0.1.0")
    append_event(path, "start", lines=0)
    append_event(path, "noise level", sigma=0.25)
    append_event(path, "finish", lines=1, ledger_sha256="1" * 64)
    return path


def test_each_event_names_the_hash_of_the_line_before(log):
    lines = log.read_bytes().splitlines()
    expected = ["0" * 64, *(hashlib.sha256(line).hexdigest() for line in lines[:-1])]
    assert [event.previous for event in read_events(log)] == expected
    assert [event.facts for event in read_events(log)][1] == {"lines": 0}
    assert broken_link(log) is None


@pytest.mark.parametrize(
    ("order", "broken"), [((0, 2, 1, 3), 2), ((1, 0, 2, 3), 1), ((0, 1, 3), 3), ((0, 1, 1, 2, 3), 3), ((0, 1, 2), None)]
)
def test_reordered_removed_and_repeated_lines_break_the_chain(log, order, broken):
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[i] for i in order))
    assert broken_link(log) == broken


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_changed_event_breaks_the_link_after_it(log, place):
    lines = log.read_text().splitlines()
    record = json.loads(lines[place])
    lines[place] = json.dumps({**record, "at": "2001-01-01T00:00:00Z"}, sort_keys=True)
    log.write_text("\n".join(lines) + "\n")
    assert broken_link(log) == place + 2


def test_a_torn_last_line_is_ignored_and_cut_before_the_next(log):
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"event": "resu')
    assert len(read_events(log)) == 4
    append_event(log, "resume", lines=1)
    assert log.read_bytes().startswith(whole + b"{")
    assert [event.event for event in read_events(log)][-2:] == ["finish", "resume"]
    assert broken_link(log) is None


def test_a_missing_log_is_named(tmp_path):
    with refuses("E-RUN-035"):
        read_events(tmp_path / "events.jsonl")


hostile = [b"1", b"[1]", b'"x"', b"null", b"{}", b"[" * 200_000, b"\xff\xfe", b'{"event":1,"at":2}']


@pytest.mark.parametrize("line", hostile, ids=range(len(hostile)))
def test_what_is_not_an_event_is_named_by_line(log, line):
    log.write_bytes(log.read_bytes() + line + b"\n")
    with refuses("E-RUN-036", match=f"^Line 5 of {log} is not an event: "):
        read_events(log)


@settings(max_examples=200)
@given(st.binary(max_size=60).map(lambda data: data + b"\n"))
def test_hostile_bytes_are_refused_or_read(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "hostile-events.jsonl"
    path.write_bytes(data)
    sentence = error_of(EvidenceError, read_events, path)
    assert sentence is None or "is not an event" in sentence
