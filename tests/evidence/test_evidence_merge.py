"""Shards become one run that equals the undivided one, or are refused in a sentence and nothing is written."""

import fcntl
import gzip
import hashlib
import json
import random
import re
import shutil

import pytest

from factories import deal_shards, make_shard, simulate_run, unfinish
from refusals import refuses
from smoothcert.config import Production
from smoothcert.errors import EvidenceError, SpecError
from smoothcert.evidence import RunDirectory, merge, open_run
from smoothcert.evidence.cost import basis_of, costs
from smoothcert.evidence.events import (
    CLEAN,
    ENERGY,
    FINISHED,
    LEVEL,
    LOCKED,
    MERGED,
    REPORTED,
    RESUMED,
    SHARD_FINISHED,
    STARTED,
    append_event,
    broken_link,
)
from tampering import bytes_of, edit_json, edit_lines, rechain


@pytest.fixture(scope="module")
def _whole(tmp_path_factory):
    return simulate_run(tmp_path_factory.mktemp("whole") / "run", images=9, k="1,3")


@pytest.fixture
def whole(_whole, tmp_path):
    return shutil.copytree(_whole, tmp_path / "whole")


@pytest.fixture
def parts(whole, tmp_path):
    return deal_shards(whole, tmp_path, 3)


def test_merged_shards_equal_the_undivided_run(whole, parts, tmp_path):
    before = [bytes_of(path) for path in parts]
    merged = merge(parts, tmp_path / "merged")
    one, other = open_run(whole), open_run(merged.path)
    assert other.sealed
    assert other.missing == 0
    assert other.ledger.sha256() == one.ledger.sha256() == merged.seal().facts["ledger_sha256"]
    assert (merged.results / "results.json").read_bytes() == (whole / "results" / "results.json").read_bytes()
    assert merged.spec.read_bytes() == (whole / "spec.json").read_bytes()
    assert [bytes_of(path) for path in parts] == before


@pytest.mark.parametrize("n", [2, 5, 12])
def test_the_order_of_the_runs_changes_nothing_but_time(whole, tmp_path, n):
    """With twelve shards of nine images some are empty, and their numbers have two digits."""
    parts = deal_shards(whole, tmp_path, n)
    merged = merge(parts, tmp_path / "one")
    random.Random(0).shuffle(parts)
    again = merge(parts, tmp_path / "other")
    assert merged.shards == again.shards
    assert [shard.shard for shard in merged.shards] == [f"{i}/{n}" for i in range(n)]
    ours, theirs = bytes_of(merged.path), bytes_of(again.path)
    del ours["events.jsonl"], theirs["events.jsonl"]
    assert ours == theirs


def test_the_merge_event_names_each_shard_by_hashes_anyone_can_take(parts, tmp_path):
    merged = merge(parts, tmp_path / "merged")
    names = ["shard-0-of-3", "shard-1-of-3", "shard-2-of-3"]
    assert [event.event for event in merged.own_events()] == [LOCKED, MERGED, FINISHED]
    assert broken_link(merged.events) is None
    for shard, path, name in zip(merged.shards, parts, names, strict=True):
        log = (path / "events.jsonl").read_bytes()
        assert shard.name == name
        assert shard.head == hashlib.sha256(log.splitlines()[-1]).hexdigest()
        assert (shard.lines, shard.ledger_sha256) == (6, open_run(path).ledger.sha256())
        assert merged.of_shard(name).events.read_bytes() == log
        assert (merged.path / "shards" / name / "environment.json").read_bytes() == (
            path / "environment.json"
        ).read_bytes()
        assert (merged.ledger / f"{name}-local-0.jsonl").read_bytes() == (
            path / "ledger" / "local-0.jsonl"
        ).read_bytes()


def test_documents_read_one_log(parts, tmp_path):
    """The first lock stands for all; what each shard did follows in order; what ends the whole run stands last."""
    first = RunDirectory(parts[0])
    append_event(first.events, REPORTED, files=3, sha256sums="0" * 64)
    events = merge(parts, tmp_path / "merged").read_events()
    names = [event.event for event in events]
    assert names[0] == LOCKED
    assert names.count(LOCKED) == 1
    assert names[-2:] == [MERGED, FINISHED]
    assert names.count(FINISHED) == 1
    assert REPORTED not in names
    assert [event.facts["shard"] for event in events if event.event == STARTED] == ["0/3", "1/3", "2/3"]
    assert [names.count(name) for name in (CLEAN, LEVEL, ENERGY, SHARD_FINISHED)] == [6, 6, 6, 3]


def test_the_lock_that_documents_quote_is_the_earliest(parts, tmp_path):
    log = parts[1] / "events.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()]
    records[0]["at"] = "2020-01-02T03:04:05Z"
    log.write_text("")
    previous = "0" * 64
    for record in records:
        line = json.dumps({**record, "previous": previous}, sort_keys=True).encode()
        log.write_bytes(log.read_bytes() + line + b"\n")
        previous = hashlib.sha256(line).hexdigest()
    assert merge(parts, tmp_path / "merged").read_events()[0].at == "2020-01-02T03:04:05Z"


def test_time_and_energy_add_up_and_accuracy_without_noise_is_counted_once(whole, parts, tmp_path):
    one, merged = open_run(whole), open_run(merge(parts, tmp_path / "merged").path)
    assert costs(merged) == costs(one)
    passes = costs(one)[-1].passes
    basis = basis_of(merged, Production())
    assert (basis.joules_run, basis.metered, basis.joules) == (passes, passes, 1.0)
    assert merged.clean(0.25).images == 9
    assert merged.clean(0.25).correct == dict.fromkeys(one.spec.request.k, one.spec.data.class_counts)


def test_machines_are_told_together(whole, tmp_path):
    run = open_run(whole)
    lines = run.ledger.lines
    parts = [
        make_shard(tmp_path / f"m{i}", run, f"{i}/2", lines[i::2], machine=4 + i, code_sha256=letter * 64)
        for i, letter in enumerate("ef")
    ]
    merged = merge(parts, tmp_path / "merged")
    assert json.loads(merged.environment.read_text()) == {
        "threads": "4 / 5",
        "packages": {"smoothcert": "0.1.0", "torch": "2.13.0"},
        "code_sha256": "2 in the shards, see shards/",
    }


def test_without_a_shard_the_run_is_partial_and_not_sealed(parts, tmp_path):
    merged = merge(parts[:2], tmp_path / "merged")
    run = open_run(merged.path)
    assert (run.sealed, run.missing) == (False, 6)
    assert [event.event for event in merged.own_events()] == [LOCKED, MERGED]
    assert list(merged.results.iterdir()) == []
    assert all(entry.population is None for entry in run.results())


@pytest.mark.parametrize("keep", [1, 40, -1])
def test_an_interrupted_shard_is_taken_without_its_torn_line(parts, tmp_path, keep):
    run = unfinish(parts[1])
    ledger, events = (run.ledger / "local-0.jsonl"), run.events
    whole, log = ledger.read_bytes(), events.read_bytes()
    torn = whole.splitlines(keepends=True)[0]
    ledger.write_bytes(whole + torn[:keep])
    events.write_bytes(log + b'{"event": "res')
    merged = merge(parts, tmp_path / "merged")
    assert (merged.ledger / "shard-1-of-3-local-0.jsonl").read_bytes() == whole
    assert merged.of_shard("shard-1-of-3").events.read_bytes() == log
    assert open_run(merged.path).missing == 1
    assert open_run(merged.path).ledger.torn == 0


def test_a_file_without_a_whole_line_is_cut_to_nothing(parts, tmp_path):
    run = unfinish(parts[2], drop=6)
    (run.ledger / "local-0.jsonl").write_bytes(b"x" * 200_000)
    merged = merge(parts, tmp_path / "merged")
    assert (merged.ledger / "shard-2-of-3-local-0.jsonl").read_bytes() == b""


def test_a_long_torn_line_is_cut_where_the_last_whole_one_ends(parts, tmp_path):
    run = unfinish(parts[2])
    whole = (run.ledger / "local-0.jsonl").read_bytes()
    (run.ledger / "local-0.jsonl").write_bytes(whole + b"x" * 200_000)
    merged = merge(parts, tmp_path / "merged")
    assert (merged.ledger / "shard-2-of-3-local-0.jsonl").read_bytes() == whole


def test_packed_ledgers_stay_packed(whole, parts, tmp_path):
    plain = parts[0] / "ledger" / "local-0.jsonl"
    packed = plain.with_name("local-0.jsonl.gz")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    merged = merge(parts, tmp_path / "merged")
    assert (merged.ledger / "shard-0-of-3-local-0.jsonl.gz").read_bytes() == packed.read_bytes()
    assert open_run(merged.path).ledger.sha256() == open_run(whole).ledger.sha256()


def test_a_shard_that_another_machine_resumed_is_one_shard(whole, tmp_path):
    """Its lines lie in two files, and some name the recipe that its log says was accepted."""
    parts = deal_shards(whole, tmp_path, 3)
    run = RunDirectory(parts[2])
    recipe = run.read_spec().recipe.model_copy(update={"torch": "1.0"})
    records = [json.loads(line) for line in (run.ledger / "local-0.jsonl").read_text().splitlines()]
    for record in records[4:]:
        record.update(recipe=recipe.name, worker="ray-1")
    for name, some in (("local-0", records[:4]), ("ray-1", records[4:])):
        (run.ledger / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in some))
    unfinish(parts[2], drop=0)
    ledger = run.read_ledger()
    with refuses("E-RUN-025", match=f"has the numeric recipe '{recipe.name}'"):
        merge(parts, tmp_path / "merged")
    append_event(run.events, RESUMED, lines=4, recipe=recipe.model_dump())
    append_event(run.events, SHARD_FINISHED, shard="2/3", lines=6, ledger_sha256=ledger.sha256())
    merged = merge(parts, tmp_path / "merged")
    assert sorted(path.name for path in merged.ledger.glob("shard-2-of-3-*")) == [
        "shard-2-of-3-local-0.jsonl",
        "shard-2-of-3-ray-1.jsonl",
    ]
    assert merged.seal() is not None


def test_a_run_that_is_no_shard_and_a_shard_begun_twice_have_names_of_their_own(whole, parts, tmp_path):
    run = open_run(whole)
    again = make_shard(tmp_path / "again", run, "1/3", [], finished=False)
    other = make_shard(tmp_path / "other", run, None, [], finished=False)
    merged = merge([*parts, again, other], tmp_path / "merged")
    assert [shard.name for shard in merged.shards] == [
        *("run-0", "shard-0-of-3", "shard-1-of-3", "shard-1-of-3.1", "shard-2-of-3"),
    ]
    assert [shard.shard for shard in merged.shards] == [None, "0/3", "1/3", "1/3", "2/3"]


def seed(run):
    edit_json(run / "spec.json", lambda spec: spec.update(seed=8))
    rechain(run)


def torch(run):
    edit_json(run / "spec.json", lambda spec: spec["recipe"].update(torch="2.12.0"))
    rechain(run)


def radii(run):
    edit_json(run / "spec.json", lambda spec: spec["request"].update(radius=[0.1]))
    rechain(run)


def layout(run):
    (run / "spec.json").write_text((run / "spec.json").read_text() + "\n")


def events(change):
    def mutate(run):
        path = run / "events.jsonl"
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))

    return mutate


def unlocked(run):
    events(lambda lines: lines[1:])(run)


def older(run):
    unfinish(run, drop=0)
    edit_lines(run, lambda lines: lines[2].update(at="2020-01-01T00:00:00Z"))


def stranger(run):
    unfinish(run, drop=0)
    edit_lines(run, lambda lines: lines.append({**lines[0], "index": 99}))


REFUSED = {
    "another seed": (seed, r"seed is 0 in the first, 8 in the second\. Shards need the same .* --seed"),
    "another recipe": (torch, r'recipe\.torch is "2\.11\.0" in the first, "2\.12\.0" in the second'),
    "other radii": (radii, r"request\.radius is \[0\.1, 0\.25\] in the first, \[0\.1\] in the second"),
    "a spec written otherwise": (layout, r"not shards of one run: spec.json is formatted differently"),
    "a spec changed after the lock": (
        events(lambda lines: [re.sub(r'(?<=spec_sha256": ")....', "0000", lines[0]), *lines[1:]]),
        r"part1 cannot be merged: events\.jsonl: line 2 does not follow",
    ),
    "a log without the lock": (unlocked, r"part1 cannot be merged: events\.jsonl: line 1 does not follow"),
    "a reordered log": (
        events(lambda lines: [lines[0], lines[2], lines[1], *lines[3:]]),
        r"part1 cannot be merged: events\.jsonl: line 2 does not follow the line before it",
    ),
    "an empty log": (events(lambda lines: []), r"the first event is not the lock of the spec"),
    "a damaged event": (events(lambda lines: [*lines, "[1]\n"]), r"Line \d+ of .*part1/events\.jsonl is not an event"),
    "no log": (lambda run: (run / "events.jsonl").unlink(), r"Expected the event log .*part1/events\.jsonl"),
    "a damaged ledger": (
        lambda run: (run / "ledger" / "local-0.jsonl").write_text("?\n"),
        r"Line 1 of .*part1/ledger/local-0\.jsonl is damaged",
    ),
    "a deleted line": (
        lambda run: edit_lines(run, lambda lines: lines.pop()),
        r"part1 cannot be merged: ledger: 5 lines, but 6 were sealed; lines were added or deleted\. Restore it",
    ),
    "a changed vote": (
        lambda run: edit_lines(run, lambda lines: lines[0]["looks"][0][1].update({"5": 1})),
        r"the lines are not those that were sealed",
    ),
    "a line older than the lock": (older, r"sigma [\d.]+, image \d was decided before the spec was locked \(2"),
    "an image of another run": (stranger, r"sigma 0\.25, image 99 is not an image of the spec"),
    "a damaged spec": (lambda run: (run / "spec.json").write_text("{"), r"Expected a spec\.json of format 1"),
    "no run": (shutil.rmtree, r"found none in .*part1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_belong_is_refused_and_nothing_is_written(parts, tmp_path, name):
    mutate, message = REFUSED[name]
    mutate(parts[1])
    before = bytes_of(tmp_path)
    with pytest.raises((EvidenceError, SpecError), match=message):
        merge(parts, tmp_path / "deep" / "merged")
    assert bytes_of(tmp_path) == before
    assert not (tmp_path / "deep").exists()


def test_a_spec_that_its_log_did_not_lock_is_refused(parts, tmp_path):
    for part in parts:
        edit_json(part / "spec.json", lambda spec: spec["request"].update(alpha=0.01))
    with refuses("E-RUN-025", match="part0 cannot be merged: spec\\.json is not the spec that was locked"):
        merge(parts, tmp_path / "merged")


def test_shards_with_an_image_in_common_are_refused_even_where_they_agree(whole, parts, tmp_path):
    run = open_run(whole)
    lines = [line for line in run.ledger.lines if line.index in (1, 4)]
    other = make_shard(tmp_path / "other", run, "3/4", lines)
    with refuses(
        "E-RUN-026", match="part1 and .*other both have a result for sigma 0.25, image 1 \\(results in common: 4\\)"
    ):
        merge([*parts, other], tmp_path / "deep" / "merged")
    assert not (tmp_path / "deep").exists()


def test_the_same_run_twice(parts, tmp_path):
    with refuses("E-RUN-021", match="Duplicate run .*part0; name each run once"):
        merge([parts[0], parts[1], tmp_path / "part1" / ".." / "part0"], tmp_path / "merged")
    (tmp_path / "link").symlink_to(parts[0])
    with refuses("E-RUN-021"):
        merge([parts[0], tmp_path / "link"], tmp_path / "merged")
    copy = shutil.copytree(parts[0], tmp_path / "copy")
    with refuses("E-RUN-024", match="copy is a copy of .*part0 \\(equal event logs\\)"):
        merge([*parts, copy], tmp_path / "merged")


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two(parts, tmp_path, count):
    with refuses("E-RUN-027", match=f"Expected two or more run directories to merge, got {count}"):
        merge(parts[:count], tmp_path / "merged")


def test_a_merged_run_is_not_merged_again(parts, tmp_path):
    merged = merge(parts[:2], tmp_path / "merged")
    with refuses("E-RUN-023"):
        merge([merged.path, parts[2]], tmp_path / "again")


def test_an_occupied_place(parts, tmp_path):
    before = bytes_of(tmp_path)
    for out in (parts[2], tmp_path):
        with pytest.raises(EvidenceError, match=r"already contains a run|is not an empty folder"):
            merge(parts[:2], out)
    assert bytes_of(tmp_path) == before


def test_a_shard_that_is_being_written(parts, tmp_path):
    with (
        RunDirectory(parts[1]).locked(),
        refuses("E-RUN-047", match="Another process is writing .*part1\\. Wait for it"),
    ):
        merge(parts, tmp_path / "merged")
    assert merge(parts, tmp_path / "merged").seal() is not None


def test_no_shard_can_be_written_while_it_is_copied(parts, tmp_path, monkeypatch):
    run = RunDirectory(parts[1])
    with run.locked():
        pass

    def seen(*_):
        with refuses("E-RUN-046"), run.locked():
            pass
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", seen)
    with refuses("E-RUN-020"):
        merge(parts, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with run.locked():
        pass


def test_a_disk_without_locks(parts, tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    (parts[0] / "lock").touch()
    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert merge(parts, tmp_path / "merged").seal() is not None


@pytest.mark.parametrize("name", ["../../part0", "shard-0-of-3/../../..", ".", "", 3, None])
def test_a_merge_event_names_folders_and_nothing_else(parts, tmp_path, name):
    merged = merge(parts[:2], tmp_path / "merged")
    log = merged.events.read_text().splitlines(keepends=True)
    record = json.loads(log[1])
    record["shards"][0]["name"] = name
    merged.events.write_text(log[0] + json.dumps(record) + "\n")
    with refuses("E-RUN-036", match="Line 2 of .*events\\.jsonl is not an event: 'merge': shards"):
        merged.read_events()
