"""Columns: sums and orders as plain Python has them, values that repeat."""

from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from factories import make_line
from smoothcert.evidence.line_store import gathered

times = st.sampled_from(["2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z", "", "never", "\ud800", "é"])
lines = st.lists(
    st.builds(
        lambda i, at, seconds, group: replace(make_line(i, seconds=seconds, group=group), at=at),
        st.integers(0, 20),
        times,
        st.floats(0, 1e6),
        st.sampled_from([None, "p", "q"]),
    ),
    max_size=12,
)


@given(lines)
def test_order_by_time_is_that_of_sorted(found):
    order = gathered(found).time_order().tolist()
    assert [(found[i].at, found[i].index) for i in order] == sorted((line.at, line.index) for line in found)


@given(lines)
def test_seconds_are_added_up_one_after_the_other(found):
    total = 0.0
    for line in found:
        total += line.seconds
    assert gathered(found).total_seconds() == total


@given(lines, st.integers(0, 12))
def test_values_that_repeat_are_counted_in_their_order(found, first):
    groups = gathered(found).group[first:] if first else gathered(found).group
    wanted = Counter(line.group for line in found[first:])
    assert list(groups.counts().items()) == list(wanted.items())
    assert sorted(map(str, groups.distinct())) == sorted(map(str, wanted))


def test_votes_beyond_64_bits_do_not_stop_the_reading():
    many = make_line(selection=dict.fromkeys(range(5), 2**62), looks=[{0: 1}])
    assert gathered([many]).samples.tolist() == [2**63 - 1]


def test_some_lines_by_slice_and_by_place():
    columns = gathered([make_line(i, i % 3, group=f"p{i}") for i in range(6)])
    assert columns.of(slice(1, 4)).index.tolist() == [1, 2, 3]
    chosen = columns.of(np.array([5, 0]))
    assert (chosen.index.tolist(), list(chosen.group)) == ([5, 0], ["p5", "p0"])
