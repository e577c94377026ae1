"""Version 2 of a ledger line: the votes that each look adds. It says what version 1 says, and is read as strictly."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import make_line, make_spec
from refusals import refuses
from smoothcert.formats.line import parse_line
from smoothcert.verify.structure import line_faults

BATCHES = [{0: 98, 3: 2}, {0: 10}, {0: 9, 2: 1, 3: 1}]
SPEC = make_spec(looks=(100, 110, 121), bound="betting")


def line_of(batches, compact=True):
    looks, so_far = [], {}
    for batch in batches:
        so_far = {c: so_far.get(c, 0) + batch.get(c, 0) for c in {*so_far, *batch}}
        looks.append(so_far)
    return make_line(0, 0, None, looks, compact=compact)


LINE = line_of(BATCHES)
RECORD = json.loads(LINE.to_json())


def test_the_line_has_the_votes_of_each_batch_and_no_sample_numbers():
    assert RECORD["added"] == [{"0": 98, "3": 2}, {"0": 10}, {"0": 9, "2": 1, "3": 1}]
    assert "looks" not in RECORD
    assert parse_line(LINE.to_json()) == LINE
    assert parse_line(LINE.to_json()).to_json() == LINE.to_json()
    assert [n for n, _ in LINE.looks] == [100, 110, 121]
    assert not list(line_faults(SPEC, LINE))


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.integers(0, 40), st.integers(1, 9), min_size=1), max_size=6))
def test_both_versions_say_the_same(batches):
    long, short = (line_of(batches, compact) for compact in (False, True))
    assert parse_line(short.to_json()).looks == parse_line(long.to_json()).looks == long.looks
    sealed = json.loads(short.to_json(seal=True))
    assert parse_line(json.dumps({**sealed, "seconds": 0, "worker": "w", "at": LINE.at})).looks == long.looks


@pytest.mark.parametrize(
    "added",
    [
        [{"0": 98, "3": 2}, {"0": -10}],
        [{"0": 98, "3": 0}],
        [{"0": 98, "3": 2}, {}],
        [[100, {"0": 98, "3": 2}]],
        [{"00": 1}],
        [{"0": 1.0}],
        [{"0": True}],
        {"0": [98, 10]},
        None,
        [{"0": 2**62}, {"0": 2**62}],
    ],
    ids=str,
)
def test_votes_that_are_none_are_refused(added):
    with refuses("E-RUN-054"):
        parse_line(json.dumps({**RECORD, "added": added}))


def test_a_line_of_both_versions_or_of_none_is_refused():
    with refuses("E-RUN-054", match="unknown key 'looks'"):
        parse_line(json.dumps({**RECORD, "looks": []}))
    with refuses("E-RUN-053"):
        parse_line(json.dumps({name: value for name, value in RECORD.items() if name != "added"}))


def test_numbers_that_are_not_those_of_the_looks_and_the_other_version_are_faults():
    for batches in ([BATCHES[1], *BATCHES[:1]], [{0: 99, 3: 2}], [*BATCHES, {0: 1}], [BATCHES[0], BATCHES[2]]):
        assert any("are not those of the spec" in fault for fault in line_faults(SPEC, line_of(batches)))
    assert any("expected a line of version 2" in fault for fault in line_faults(SPEC, line_of(BATCHES, compact=False)))
    other = make_spec(looks=(100, 110, 121), target="label")
    assert any("expected a line of version 1" in fault for fault in line_faults(other, LINE))


def test_many_looks_take_few_bytes():
    looks = [dict(enumerate((97 * i, i, i, i))) for i in range(1, 74)]
    short, long = (make_line(0, 0, None, looks, compact=compact).to_json() for compact in (True, False))
    assert len(short) < 0.75 * len(long)
