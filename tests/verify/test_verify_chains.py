"""A merged run passes wherever it is copied; whatever is changed in a shard, its log or the merge event is named."""

import gzip
import hashlib
import json
import re
import shutil

import pytest

from factories import PASSED, deal_shards, simulate_run, unfinish
from smoothcert.evidence import RunDirectory, merge, open_run
from smoothcert.evidence.events import LEVEL, LOCKED, RESUMED, append_event
from smoothcert.verify import damage, verify
from tampering import snapshot


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return deal_shards(simulate_run(folder / "whole", images=9), folder, 3)


@pytest.fixture(scope="module")
def whole(parts, tmp_path_factory):
    return merge(parts, tmp_path_factory.mktemp("merged") / "run").path


@pytest.fixture(scope="module")
def partially(parts, tmp_path_factory):
    """Two shards of three, one of them interrupted: nothing is sealed."""
    folder = tmp_path_factory.mktemp("partial")
    samples = [shutil.copytree(path, folder / path.name) for path in parts[:2]]
    unfinish(samples[1])
    return merge(samples, folder / "run").path


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "elsewhere")


@pytest.fixture
def partial(partially, tmp_path):
    return shutil.copytree(partially, tmp_path / "partial")


def test_a_merged_run_verifies_where_it_is_copied_to(run):
    before = snapshot(run)
    report = verify(run)
    assert report.faults == ()
    assert (report.lines, report.missing, report.sealed) == (18, 0, True)
    assert snapshot(run) == before


def test_a_partial_one_too(partial):
    report = verify(partial)
    assert report.faults == ()
    assert (report.lines, report.missing, report.sealed) == (11, 7, False)


@pytest.mark.parametrize("share", ["0", "all"])
def test_packed_ledgers_verify(run, share):
    for path in sorted((run / "ledger").glob("shard-0*" if share == "0" else "*")):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert verify(run).faults == ()


def test_a_shard_on_its_own_verifies_as_a_part(parts):
    report = verify(parts[0])
    assert report.faults == ()
    assert (report.lines, report.missing, report.sealed) == (6, 12, False)


def test_a_finished_shard_vouches_for_its_lines(parts, tmp_path):
    shard = shutil.copytree(parts[0], tmp_path / "shard")
    ledger = shard / "ledger" / "local-0.jsonl"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:-1]))
    assert verify(shard).faults == ("ledger: 5 lines, but 6 were sealed; lines were added or deleted",)
    assert list(damage(open_run(shard))) == list(verify(shard).faults)


def edited(name, change):
    """Change the lines of a file, as text."""

    def mutate(run):
        path = run / name
        before = path.read_text()
        path.write_text("".join(change(before.splitlines(keepends=True))))
        assert path.read_text() != before

    return mutate


def rechained(path):
    """Forge a log anew, so that each line follows the one before it."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    previous, lines = "0" * 64, []
    for record in records:
        lines.append(json.dumps({**record, "previous": previous}, sort_keys=True) + "\n")
        previous = hashlib.sha256(lines[-1].encode()[:-1]).hexdigest()
    path.write_text("".join(lines))


def forged(name, change):
    """Change the records of a log, and chain it anew."""

    def mutate(run):
        path = run / name
        records = [json.loads(line) for line in path.read_text().splitlines()]
        change(records)
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        rechained(path)

    return mutate


def moved(run):
    """A line moves from one shard's file to another's: the ledger as a whole stays what it was."""
    one, other = (run / "ledger" / f"shard-{i}-of-3-local-0.jsonl" for i in (0, 1))
    lines = one.read_text().splitlines(keepends=True)
    one.write_text("".join(lines[:-1]))
    other.write_text(other.read_text() + lines[-1])


def exchanged(run):
    one, other = (run / "shards" / f"shard-{i}-of-3" / "events.jsonl" for i in (0, 1))
    one.write_bytes(one.read_bytes() + b"")
    text = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(text)


def overruled(run):
    """A second line for an image, by a worker whose name sorts first: it would count."""
    path = run / "ledger" / "shard-0-of-3-local-0.jsonl"
    record = json.loads(path.read_text().splitlines()[0])
    record.update(worker="a", label=record["label"], image="sha256:1")
    path.write_text(path.read_text() + json.dumps(record) + "\n")


def stray(run):
    path = run / "ledger" / "shard-0-of-3-local-0.jsonl"
    path.rename(path.with_name("local-0.jsonl"))


def other_recipe(lines):
    return [lines[0].replace('"at":', '"recipe":"0123456789ab","at":'), *lines[1:]]


def log(name):
    return f"shards/shard-{name}-of-3/events.jsonl"


def lines_of(name):
    return f"ledger/shard-{name}-of-3-local-0.jsonl"


NOT_MERGED = r"its {} lines are not the 6 lines that were merged; a line was changed, added, deleted or moved"


def other_head(lines):
    return [lines[0], re.sub(r'head": "\w{8}', 'head": "00000000', lines[1], count=1), *lines[2:]]


MUTATIONS = {
    "a changed event of a shard": (
        edited(log(1), lambda lines: [lines[0], lines[1].replace('"lines": 0', '"lines": 1'), *lines[2:]]),
        r"shards/shard-1-of-3/events\.jsonl: line 3 does not follow the line before it",
    ),
    "a changed event of a shard, chained anew": (
        forged(log(1), lambda records: records[1].update(lines=1)),
        r"shards/shard-1-of-3/events\.jsonl: its last event is not the one in the merge event",
    ),
    "the end of a shard's log taken away": (
        edited(log(2), lambda lines: lines[:-1]),
        r"shards/shard-2-of-3/events\.jsonl: its last event is not the one",
    ),
    "an event more in a shard's log": (
        lambda run: append_event(run / log(2), "resume", lines=6),
        r"shards/shard-2-of-3/events\.jsonl: its last event is not the one",
    ),
    "the logs of two shards exchanged": (
        exchanged,
        r"shard-0-of-3 is shard 0/3 in the merge event",
    ),
    "a shard's lock of another spec": (
        forged(log(0), lambda records: records[0].update(spec_sha256="0" * 64)),
        r"shards/shard-0-of-3/events\.jsonl: spec\.json is not the spec that was locked",
    ),
    "a shard's lock removed": (
        forged(log(0), lambda records: records.pop(0)),
        r"shards/shard-0-of-3/events\.jsonl: the first event is not the lock of the spec",
    ),
    "a shard's lock later than its first line": (
        forged(log(0), lambda records: records[0].update(at="2999-01-01T00:00:00Z")),
        r"shard-0-of-3: ledger: sigma 0\.25, image 0 was decided before the spec was locked \(2999",
    ),
    "a shard's log removed": (lambda run: (run / log(0)).unlink(), r"Expected the event log .*shard-0-of-3/events"),
    "a shard's folder removed": (
        lambda run: shutil.rmtree(run / "shards" / "shard-2-of-3"),
        r"Expected the event log .*shard-2-of-3/events",
    ),
    "a folder more": (lambda run: (run / "shards" / "shard-9").mkdir(), r"shards/shard-9 is not in the merge event"),
    "a changed group in a shard": (
        edited(lines_of(1), lambda lines: [lines[0].replace('"group":null', '"group":"p"'), *lines[1:]]),
        rf"shard-1-of-3: ledger: {NOT_MERGED.format(6)}",
    ),
    "a deleted line of a shard": (
        edited(lines_of(1), lambda lines: lines[:-1]),
        rf"shard-1-of-3: ledger: {NOT_MERGED.format(5)}",
    ),
    "a line moved to another shard": (moved, rf"shard-0-of-3: ledger: {NOT_MERGED.format(5)}"),
    "a second line that would count": (overruled, rf"shard-0-of-3: ledger: {NOT_MERGED.format(6)}"),
    "a line of a recipe that nobody accepted": (
        edited(lines_of(0), other_recipe),
        r"image 0 has the numeric recipe '0123456789ab'",
    ),
    "a file of no shard": (
        stray,
        r"ledger/local-0\.jsonl is not a file of a shard",
    ),
    "the merge event removed": (
        forged("events.jsonl", lambda records: records.pop(1)),
        r"shards/shard-0-of-3 is not in the merge event",
    ),
    "a second merge event": (
        forged("events.jsonl", lambda records: records.append(records[1])),
        r"events\.jsonl: expected one merge event",
    ),
    "a merge event with another hash": (
        edited(
            "events.jsonl",
            lambda lines: [lines[0], re.sub(r'head": "\w{8}', 'head": "00000000', lines[1], count=1), *lines[2:]],
        ),
        r"events\.jsonl: line 3 does not follow the line before it",
    ),
    "a merge event with another hash, chained anew": (
        forged("events.jsonl", lambda records: records[1]["shards"][0].update(ledger_sha256="0" * 64)),
        rf"shard-0-of-3: ledger: {NOT_MERGED.format(6)}",
    ),
    "a merge event without one shard": (
        forged("events.jsonl", lambda records: records[1]["shards"].pop()),
        r"shards/shard-2-of-3 is not in the merge event",
    ),
    "a merge event that is none": (
        forged("events.jsonl", lambda records: records[1].update(shards=3)),
        r"Line 2 of .*events\.jsonl is not an event",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_change_is_named(run, name):
    mutate, message = MUTATIONS[name]
    mutate(run)
    report = verify(run)
    assert any(re.search(message, fault) for fault in report.faults), report.faults


def test_shards_whose_own_end_says_otherwise(run):
    """The merge event was made to fit the files, and the logs: what the shard itself sealed does not."""
    forged(log(0), lambda records: records[-1].update(ledger_sha256="0" * 64))(run)
    head = hashlib.sha256((run / log(0)).read_bytes().splitlines()[-1]).hexdigest()
    forged("events.jsonl", lambda records: records[1]["shards"][0].update(head=head))(run)
    (fault,) = verify(run).faults
    assert fault.startswith("shard-0-of-3: ledger: the lines are not those that were sealed")


@pytest.mark.parametrize(
    ("mutate", "message"),
    [
        (edited(lines_of(1), lambda lines: lines[:-1]), "its 4 lines are not the 5 lines that were merged"),
        (
            edited("events.jsonl", lambda lines: [lines[0], lines[1].replace('"0/3"', '"2/3"')]),
            "shard-0-of-3 is shard 2/3 in the merge event",
        ),
        (edited("events.jsonl", lambda lines: [lines[0], lines[1].replace("shard-0", "shard-2")]), "Expected the ev"),
    ],
)
def test_a_partial_run_has_no_seal_and_is_guarded_all_the_same(partial, mutate, message):
    mutate(partial)
    assert any(message in fault for fault in verify(partial).faults)


def test_what_a_resumed_run_sampled_itself_must_have_been_accepted(partial, run):
    """Lines of its own are taken only after an event says that the run was resumed, with their recipe."""
    line = (run / lines_of(2)).read_text().splitlines(keepends=True)[0]
    merged = RunDirectory(partial)
    recipe = merged.read_spec().recipe.model_copy(update={"torch": "1.0"})
    own = merged.ledger / "local-0.jsonl"
    own.write_text(line.replace('"at":', f'"recipe":"{recipe.name}","at":').replace("2026-", "2998-"))
    assert any("is not a file of a shard" in fault for fault in verify(partial).faults)
    append_event(merged.events, RESUMED, lines=11, recipe=None)
    assert any("which no event of the log names" in fault for fault in verify(partial).faults)
    append_event(merged.events, RESUMED, lines=11, recipe={"torch": 1})
    assert any("which no event of the log names" in fault for fault in verify(partial).faults)
    append_event(merged.events, RESUMED, lines=11, recipe=recipe.model_dump())
    assert any("no passed noise test" in fault for fault in verify(partial).faults)
    append_event(merged.events, LEVEL, sigma=0.25, **PASSED)
    assert verify(partial).faults == ()


def test_damage_shows_at_a_glance(run):
    edited(log(1), lambda lines: [lines[0], lines[1].replace('"lines": 0', '"lines": 1'), *lines[2:]])(run)
    assert "shard-1-of-3" in next(damage(open_run(run)))
    assert RunDirectory(run).read_events()[0].event == LOCKED
