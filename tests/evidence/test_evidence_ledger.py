import gzip
import json
import re
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import error_of, make_line
from refusals import refuses
from smoothcert.errors import EvidenceError
from smoothcert.evidence.ledger import Ledger, LedgerWriter, read_ledger
from smoothcert.formats.line import Line, parse_line

votes = st.dictionaries(st.integers(0, 2**40), st.integers(0, 2**62), max_size=4)
words = st.text(max_size=12)
times = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)).map(lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ"))
lines = st.builds(
    Line,
    sigma=st.floats(0.01, 4),
    index=st.integers(0, 2**40),
    image=words,
    label=st.integers(0, 999),
    group=st.none() | words,
    selection=st.none() | votes,
    looks=st.lists(st.tuples(st.integers(0, 2**62), votes), max_size=3).map(tuple),
    seconds=st.integers(0, 10**9).map(lambda n: n / 10_000),
    worker=words,
    at=times,
    recipe=st.none() | words,
    subgroups=st.dictionaries(words, words, max_size=3),
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(lines)
def test_a_line_survives_the_file(line):
    text = line.to_json()
    assert "\n" not in text
    assert parse_line(text) == line


@given(lines, st.floats(0, 1e6), words, words)
def test_the_sealed_text_ignores_time_and_worker_and_nothing_else(line, seconds, worker, at):
    sealed = line.to_json(seal=True)
    assert replace(line, seconds=seconds, worker=worker, at=at).to_json(seal=True) == sealed
    kept = set(json.loads(line.to_json())) - {"seconds", "worker", "at"}
    assert set(json.loads(sealed)) == kept
    assert replace(line, label=line.label + 1).to_json(seal=True) != sealed
    assert replace(line, group=(line.group or "") + "x").to_json(seal=True) != sealed


@given(st.lists(lines, min_size=1, max_size=6), st.randoms())
def test_the_hash_ignores_the_order_of_lines(tmp_path_factory, found, random):
    folder = tmp_path_factory.mktemp("ledger")
    hashes = set()
    for _ in range(2):
        random.shuffle(found)
        unique = {line.key: line for line in sorted(found, key=Line.to_json)}
        shuffled = sorted(unique.values(), key=lambda _: random.random())
        (folder / "a.jsonl").write_text("".join(line.to_json() + "\n" for line in shuffled))
        ledger = read_ledger(folder)
        assert [line.key for line in ledger.lines] == sorted(unique)
        hashes.add(ledger.sha256())
    assert len(hashes) == 1


def test_samples_are_selection_and_the_last_look():
    assert make_line(selection={0: 60, 1: 40}, looks=[{0: 100}, {0: 150}]).samples == 250
    assert make_line(looks=[{0: 100}]).samples == 100
    assert make_line(selection={1: 100}).samples == 100
    assert make_line().samples == 0


@settings(max_examples=300)
@given(st.text() | any_json.map(json.dumps) | st.tuples(lines, st.sampled_from(list(Line.__annotations__)), any_json))
def test_hostile_lines_are_refused_or_read(text):
    if isinstance(text, tuple):
        line, name, value = text
        text = json.dumps({**json.loads(line.to_json()), name: value})
    sentence = error_of(EvidenceError, parse_line, text)
    assert sentence is None or sentence.startswith("not a ledger line (")


def test_deep_nesting_is_refused():
    with refuses("E-RUN-054"):
        parse_line("[" * 200_000)


@settings(max_examples=150)
@given(st.binary(max_size=200), st.booleans())
def test_hostile_files_are_refused_or_read(tmp_path_factory, data, after_a_line):
    folder = tmp_path_factory.mktemp("ledger")
    start = make_line().to_json().encode() + b"\n" if after_a_line else b""
    (folder / "w.jsonl").write_bytes(start + data)
    sentence = error_of(EvidenceError, read_ledger, folder)
    assert sentence is None or re.match(rf"Line \d+ of {folder}/w\.jsonl is damaged: ", sentence)


def test_a_ledger_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "w.jsonl").mkdir()
    with refuses("E-FILE-002"):
        read_ledger(tmp_path)


def test_a_damaged_middle_line_names_file_and_line(tmp_path):
    whole = [make_line(i, looks=[{0: 100}]).to_json() for i in range(3)]
    whole[1] = whole[1][:-20]
    (tmp_path / "w.jsonl").write_text("\n".join(whole) + "\n")
    with refuses("E-RUN-054", match=f"^Line 2 of {tmp_path}/w\\.jsonl is damaged: .*Restore the file"):
        read_ledger(tmp_path)


@settings(max_examples=60)
@given(lines, st.data())
def test_a_torn_last_line_is_ignored_and_cut_before_the_next(tmp_path_factory, line, data):
    path = tmp_path_factory.mktemp("ledger") / "w.jsonl"
    first, second = make_line(0), make_line(1)
    with LedgerWriter(path) as writer:
        writer.append([first])
    whole = path.read_bytes()
    torn = line.to_json().encode()
    path.write_bytes(whole + torn[: data.draw(st.integers(1, len(torn)))])
    ledger = read_ledger(path.parent)
    assert (ledger.lines, ledger.torn) == ((first,), 1)
    with LedgerWriter(path) as writer:
        writer.append([second])
    assert path.read_bytes() == whole + second.to_json().encode() + b"\n"
    assert read_ledger(path.parent) == Ledger((first, second))


def test_appending_nothing_and_twice(tmp_path):
    path = tmp_path / "w.jsonl"
    with LedgerWriter(path) as writer:
        writer.append([])
        assert path.read_bytes() == b""
        writer.append([make_line(3)])
        assert read_ledger(tmp_path).keys() == {(0.25, 3)}
    with LedgerWriter(path) as writer:
        writer.append([make_line(1)])
    assert [line.index for line in read_ledger(tmp_path).lines] == [1, 3]


@pytest.mark.parametrize("files", [("a.jsonl", "b.jsonl"), ("b.jsonl", "a.jsonl")])
def test_of_two_workers_the_name_that_sorts_first_counts_whatever_the_votes(tmp_path, files):
    first = make_line(worker="alice", looks=[{0: 60, 1: 40}])
    second = make_line(worker="bob", looks=[{0: 100}])
    (tmp_path / files[0]).write_text(second.to_json() + "\n")
    (tmp_path / files[1]).write_text(first.to_json() + "\n" + make_line(1, worker="bob").to_json() + "\n")
    ledger = read_ledger(tmp_path)
    assert [line.worker for line in ledger.lines] == ["alice", "bob"]
    assert ledger.lines[0] == first
    assert ledger.differing == (first.key,)


def test_two_workers_who_agree_do_not_differ(tmp_path):
    for worker in ("alice", "bob"):
        line = make_line(worker=worker, seconds=len(worker), looks=[{0: 100}])
        (tmp_path / f"{worker}.jsonl").write_text(line.to_json() + "\n")
    ledger = read_ledger(tmp_path)
    assert (len(ledger.lines), ledger.differing) == (1, ())


@settings(max_examples=30)
@given(st.lists(lines, max_size=6, unique_by=lambda line: line.key), st.integers(0, 6))
def test_what_gzip_has_packed_counts_as_before(tmp_path_factory, found, packed):
    plain, mixed = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("mixed")
    with LedgerWriter(plain / "w.jsonl") as writer:
        writer.append(found)
    texts = (plain / "w.jsonl").read_bytes().splitlines(keepends=True)
    (mixed / "w.jsonl.gz").write_bytes(gzip.compress(b"".join(texts[:packed])))
    (mixed / "w.jsonl").write_bytes(b"".join(texts[packed:]))
    assert read_ledger(mixed) == read_ledger(plain)


@pytest.mark.parametrize("spoil", [lambda d: d[:-9], lambda d: d[: len(d) // 2], lambda d: b"x" + d])
def test_a_packed_ledger_that_is_damaged_is_refused(tmp_path, spoil):
    with LedgerWriter(tmp_path / "w.jsonl") as writer:
        writer.append([make_line(index=index) for index in range(50)])
    data = gzip.compress((tmp_path / "w.jsonl").read_bytes())
    (tmp_path / "w.jsonl").unlink()
    (tmp_path / "w.jsonl.gz").write_bytes(spoil(data))
    with refuses("E-RUN-038"):
        read_ledger(tmp_path)


def test_a_folder_that_is_missing_or_empty_has_no_lines(tmp_path):
    assert read_ledger(tmp_path) == read_ledger(tmp_path / "none") == Ledger(())


def test_lines_of_one_noise_level():
    ledger = Ledger((make_line(0, sigma=0.25), make_line(0, sigma=0.5), make_line(1, sigma=0.5)))
    assert [line.key for line in ledger.at(0.5)] == [(0.5, 0), (0.5, 1)]
    assert ledger.at(1.0) == ()
