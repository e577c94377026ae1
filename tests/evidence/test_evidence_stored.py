"""Lines that stay on the disk are those that would be in memory, whatever files, blocks and workers."""

import gc
import gzip
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smoothcert.evidence.line_store as stored
from factories import make_line
from refusals import refuses
from smoothcert.evidence.ledger import Ledger, read_ledger

few = st.builds(
    make_line,
    index=st.integers(0, 9),
    label=st.integers(0, 3),
    selection=st.none() | st.just({0: 3, 1: 1}),
    looks=st.lists(st.just({0: 7, 2: 1}), max_size=3),
    sigma=st.sampled_from([0.25, 0.5, 1.0]),
    group=st.sampled_from([None, "p1", "p2"]),
    worker=st.sampled_from(["a", "b", "c"]),
    seconds=st.integers(0, 9).map(lambda n: n / 10),
)


def written(folder, files):
    """A ledger folder: a list of lines a file, every second one packed."""
    folder.mkdir(exist_ok=True)
    for number, lines in enumerate(files):
        data = b"".join(line.to_json().encode() + b"\n" for line in lines)
        if number % 2:
            (folder / f"w{number}.jsonl.gz").write_bytes(gzip.compress(data))
        else:
            (folder / f"w{number}.jsonl").write_bytes(data)
    return folder


def in_memory(files):
    """What the rule for repeated keys says, with every line in memory: (lines that count, keys that differ)."""
    order = [f"w{n}.jsonl{'.gz' * (n % 2)}" for n in range(len(files))]
    found, differing = {}, set()
    for number in sorted(range(len(files)), key=order.__getitem__):
        for line in files[number]:
            other = found.setdefault(line.key, line)
            if other.to_json(seal=True) != line.to_json(seal=True):
                differing.add(line.key)
            if line.worker < other.worker:
                found[line.key] = line
    return tuple(found[key] for key in sorted(found)), tuple(sorted(differing))


@settings(max_examples=60)
@given(st.lists(st.lists(few, max_size=8), max_size=4), st.integers(1, 5))
def test_the_lines_are_those_that_would_be_in_memory(tmp_path_factory, files, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "BLOCK", block)
        ledger = read_ledger(written(tmp_path_factory.mktemp("run") / "ledger", files))
        lines, differing = in_memory(files)
        assert ledger == Ledger(lines, differing)
        assert list(ledger.lines) == list(ledger.lines) == list(lines)
        assert ledger.keys() == {line.key for line in lines}
        assert ledger.sha256() == Ledger(lines).sha256()
        for sigma in (0.25, 0.5, 1.0, 2.0):
            assert ledger.at(sigma) == Ledger(lines).at(sigma)
        for part in (slice(1, 4), slice(None, None, 2), slice(-3, None), slice(5, 2)):
            assert ledger.lines[part] == lines[part]
        assert [ledger.lines[i] for i in range(-len(lines), len(lines))] == [*lines, *lines]
        found = [line for _, each in stored.in_blocks(ledger.lines) for line in each]
        assert found == list(lines)


@settings(max_examples=60)
@given(st.lists(few, max_size=12, unique_by=lambda line: line.key))
def test_columns_say_what_the_lines_say(tmp_path_factory, lines):
    ledger = read_ledger(written(tmp_path_factory.mktemp("run") / "ledger", [lines]))
    lines = sorted(lines, key=lambda line: line.key)
    for columns in (ledger.columns, stored.columns_of(tuple(lines))):
        for name in ("sigma", "index", "label", "samples", "seconds"):
            assert getattr(columns, name).tolist() == [getattr(line, name) for line in lines]
        assert columns.looks.tolist() == [len(line.looks) for line in lines]
        for name in ("at", "group", "recipe"):
            assert list(getattr(columns, name)) == [getattr(line, name) for line in lines]
        assert list(columns.subgroups) == [() for _ in lines]
        assert len(columns) == len(lines)


def test_an_index_beyond_the_end_is_none(tmp_path):
    lines = read_ledger(written(tmp_path / "ledger", [[make_line(0), make_line(1)]])).lines
    for place in (2, -3):
        with pytest.raises(IndexError):
            lines[place]
    assert lines != (make_line(0),)
    assert lines != "two"


def test_what_comes_later_does_not_disturb_what_was_read(tmp_path):
    folder = written(tmp_path / "ledger", [[make_line(3), make_line(1)]])
    before = read_ledger(folder)
    with (folder / "w0.jsonl").open("a") as file:
        file.write(make_line(2).to_json() + "\n" + make_line(4).to_json()[:20])
    assert [line.index for line in before.lines] == [1, 3]
    after = read_ledger(folder)
    assert ([line.index for line in after.lines], after.torn) == ([1, 2, 3], 1)


@pytest.mark.parametrize(
    "other",
    [
        b"",
        b"\n" * 400,
        make_line(5).to_json().encode() + b"\n",
        make_line(1, selection={0: 9}).to_json().encode() + b"\n",
    ],
)
def test_a_file_that_is_changed_while_it_is_read_is_named(tmp_path, other):
    folder = written(tmp_path / "ledger", [[make_line(1)]])
    ledger = read_ledger(folder)
    (folder / "w0.jsonl").write_bytes(other)
    with refuses("E-RUN-043", match="w0\\.jsonl was changed while it was read"):
        list(ledger.lines)


def test_a_file_that_is_gone_is_named(tmp_path):
    folder = written(tmp_path / "ledger", [[make_line(1)]])
    ledger = read_ledger(folder)
    (folder / "w0.jsonl").unlink()
    with refuses("E-FILE-001", match="Cannot read .*w0\\.jsonl: No such file"):
        list(ledger.lines)


def test_the_copy_of_packed_files_ends_with_the_ledger(tmp_path):
    ledger = read_ledger(written(tmp_path / "ledger", [[make_line(1)], [make_line(2)], [], [make_line(4)]]))
    part = ledger.lines[1:]
    copy = part._files._copy
    del ledger
    assert [line.index for line in part] == [2, 4]
    del part
    gc.collect()
    assert copy.closed


def test_keys_are_a_set(tmp_path):
    keys = read_ledger(written(tmp_path / "ledger", [[make_line(3), make_line(7), make_line(3, sigma=0.5)]])).keys()
    assert keys == {(0.25, 3), (0.25, 7), (0.5, 3)}
    assert (0.25, 3) in keys
    assert not {(0.25, 4), (0.5, 7), (1.0, 3), "no key"} & set(keys)
    assert (1.0, 3) not in keys
    assert (0.5, 7) not in keys
    assert "no key" not in keys
    assert len(keys) == 3
    assert {(0.25, 3), (9.0, 1)} - keys == {(9.0, 1)}
    assert keys & {(0.5, 3), (9.0, 1)} == {(0.5, 3)}
    assert len(read_ledger(tmp_path / "none").keys()) == 0


@pytest.mark.slow
def test_memory_grows_by_less_than_150_bytes_a_line(tmp_path, monkeypatch):
    """Traced peaks of reading, hashing and going through the lines; in memory a line takes kilobytes."""
    monkeypatch.setattr(stored, "BLOCK", 16)
    looks = [{c: 100 * n + c for c in range(6)} for n in range(1, 9)]
    peaks = []
    for number, count in enumerate((3000, 9000)):
        lines = (
            replace(
                make_line(i, i % 6, {0: 90, 1: 10}, looks),
                at=f"2026-01-02T{i // 180000 % 24:02}:{i // 3000 % 60:02}:{i // 50 % 60:02}Z",
            )
            for i in range(count)
        )
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "w.jsonl").write_text("".join(line.to_json() + "\n" for line in lines))
        tracemalloc.start()
        ledger = read_ledger(folder)
        assert sum(line.samples for line in ledger.lines) == ledger.columns.samples.sum()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 6000 < 150
