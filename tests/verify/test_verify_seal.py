"""After a seal every change of the evidence is a fault for ever: by whichever file, event or session it is made."""

import gzip
import hashlib
import json
import shutil

import pytest

from factories import PASSED, deal_shards, simulate_run
from smoothcert.errors import EvidenceError
from smoothcert.evidence import RunDirectory, merge, open_run
from smoothcert.evidence.events import (
    CLEAN,
    ENERGY,
    FINISHED,
    LEVEL,
    REPORTED,
    RESUMED,
    SHARD_FINISHED,
    WORKER,
    append_event,
)
from smoothcert.evidence.seal import fingerprint, seal_facts, seal_remark, seal_run
from smoothcert.verify import verify
from tampering import edit_lines, rechain


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    return simulate_run(tmp_path_factory.mktemp("sealed") / "run", images=4)


@pytest.fixture
def run(sealed, tmp_path):
    return shutil.copytree(sealed, tmp_path / "run")


def resealed(run):
    """A second finish event vouches for the ledger as it is now."""
    directory = RunDirectory(run)
    append_event(directory.events, FINISHED, **seal_facts(directory.read_ledger()))


def ledger_file(name, change):
    """Write one more ledger file; `change` makes its records from those of the run."""

    def mutate(run):
        records = [json.loads(line) for line in (run / "ledger" / "local-0.jsonl").read_text().splitlines()]
        (run / "ledger" / name).write_text("".join(json.dumps(record) + "\n" for record in change(records)))

    return mutate


def contradicting(records):
    """Every result otherwise: all votes for another class, by a worker whose line does not count."""
    for record in records:
        other = str((record["label"] + 1) % 6)
        looks = [[n, {other: n}] for n, _ in record["looks"]]
        yield {**record, "worker": "zzz", "looks": looks}


def text(change):
    """A mutation of the text of the ledger file."""

    def mutate(run):
        path = run / "ledger" / "local-0.jsonl"
        path.write_text("".join(change(path.read_text().splitlines(keepends=True))))

    return mutate


def event(name, **facts):
    return lambda run: append_event(run / "events.jsonl", name, **facts)


def resumed(run):
    """What version 0.1.0 did of a deleted line: it was sampled again, and the ledger sealed anew."""
    line = (run / "ledger" / "local-0.jsonl").read_text().splitlines(keepends=True)[2]
    text(lambda lines: [*lines[:2], *lines[3:]])(run)
    event(RESUMED, lines=7)(run)
    event(LEVEL, sigma=0.25, **PASSED)(run)
    text(lambda lines: [*lines, line.replace('"at":"20', '"at":"21')])(run)
    resealed(run)


def moved(run):
    """A whole line goes to a file of its own."""
    path = run / "ledger" / "local-0.jsonl"
    *lines, last = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines))
    (run / "ledger" / "local-1.jsonl").write_text(last)


def twice(run):
    """The file and its packed copy lie side by side."""
    path = run / "ledger" / "local-0.jsonl"
    path.with_name("local-0.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))


def renamed(run):
    (run / "ledger" / "local-0.jsonl").rename(run / "ledger" / "local-1.jsonl")


MUTATIONS = {
    "a deleted line sampled again": resumed,
    "a second seal over changed votes": lambda run: (
        edit_lines(run, lambda lines: lines[0].update(group="p1")),
        resealed(run),
    ),
    "a second seal over the same votes": resealed,
    "a file that contradicts every result": ledger_file("zzz.jsonl", contradicting),
    "a file that repeats every result": ledger_file("zzz.jsonl", lambda records: records),
    "an empty file": lambda run: (run / "ledger" / "zzz.jsonl").touch(),
    "a packed empty file": lambda run: (run / "ledger" / "zzz.jsonl.gz").write_bytes(gzip.compress(b"")),
    "a hidden file": lambda run: (run / "ledger" / ".zzz.jsonl").touch(),
    "a file of another kind": lambda run: (run / "ledger" / "notes.txt").touch(),
    "a folder": lambda run: (run / "ledger" / "more").mkdir(),
    "a folder named as a ledger file": lambda run: (run / "ledger" / "more.jsonl").mkdir(),
    "a line moved to a file of its own": moved,
    "another name": renamed,
    "a packed copy beside the file": twice,
    "a line twice": text(lambda lines: [*lines, lines[0]]),
    "a line twice that contradicts": text(lambda lines: [*lines, lines[0].replace('"label":', '"group":"p","label":')]),
    "another order": text(lambda lines: [lines[1], lines[0], *lines[2:]]),
    "another worker": text(lambda lines: [line.replace("local-0", "local-1") for line in lines]),
    "half a line more": text(lambda lines: [*lines, lines[0][:40]]),
    "a resume": event(RESUMED, lines=8),
    "a noise level": event(LEVEL, sigma=0.25, **PASSED),
    "accuracy without noise": event(CLEAN, sigma=0.25, images=4, correct={"1": [4] * 6}),
    "energy": event(ENERGY, sigma=0.25, copies=1, joules=1.0, source="RAPL", seconds=1.0),
    "a worker": event(WORKER, worker="ray-1", state="joined"),
    "an end as of a shard": event(SHARD_FINISHED, shard="0/2", lines=8, ledger_sha256="0" * 64),
    "an event of no kind": event("something else"),
    "a seal that supersedes nothing": event(
        FINISHED, lines=8, ledger_sha256="0" * 64, supersedes="0" * 64, reason="better votes"
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_change_after_the_seal_is_a_fault_and_no_resume_mends_it(run, name):
    from smoothcert.engine.run import resume

    MUTATIONS[name](run)
    assert verify(run).faults
    log = (run / "events.jsonl").read_bytes()
    with pytest.raises(EvidenceError):
        resume(RunDirectory(run), {})
    with pytest.raises(EvidenceError):
        seal_run(RunDirectory(run), open_run(run).spec, open_run(run).ledger)
    assert (run / "events.jsonl").read_bytes() == log
    assert verify(run).faults


@pytest.mark.parametrize("name", MUTATIONS)
def test_an_altered_shard_is_not_merged(sealed, tmp_path, name):
    """The end of a shard is its seal."""
    parts = deal_shards(sealed, tmp_path, 2)
    mutate = MUTATIONS[name]
    if name.startswith("a deleted line"):
        mutate = text(lambda lines: [*lines[1:], lines[0]])
    mutate(parts[1])
    with pytest.raises(EvidenceError):
        merge(parts, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_packing_changes_nothing(run):
    path = run / "ledger" / "local-0.jsonl"
    before = fingerprint(RunDirectory(run))
    path.with_name("local-0.jsonl.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()
    assert verify(run).faults == ()
    assert verify(run).fingerprint == before
    packed = path.with_name("local-0.jsonl.gz")
    packed.write_bytes(gzip.compress(gzip.decompress(packed.read_bytes()), 9))
    assert verify(run).faults == ()


def test_documents_may_follow_the_seal(run):
    event(REPORTED, files=3, sha256sums="0" * 64)(run)
    assert verify(run).faults == ()


def test_an_intact_sealed_run_has_nothing_to_resume(run):
    from smoothcert.engine.run import resume

    before = (run / "events.jsonl").read_bytes()
    assert resume(RunDirectory(run), {}) is False
    assert (run / "events.jsonl").read_bytes() == before


def test_a_seal_that_says_what_it_supersedes_and_why_is_named_everywhere_and_does_not_count(run):
    first = fingerprint(RunDirectory(run))
    facts = {"lines": 0, "ledger_sha256": "0" * 64, "reason": "labels\nwere wrong"}
    append_event(run / "events.jsonl", FINISHED, supersedes=first, **facts)
    report = verify(run)
    assert report.faults == ()
    assert any("supersede" in note and "labels" in note for note in report.notes)
    assert seal_remark(RunDirectory(run)) in report.notes
    assert seal_remark(RunDirectory(run)).isprintable()
    assert report.fingerprint == first
    edit_lines(run, lambda lines: lines[0].update(group="p1"))
    assert verify(run).faults


OLD = ("files", "unfinished")


def as_version_0_1_0(run):
    """Seal as the first version did: the lines that count, and nothing of files; sessions name their worker."""
    log = run / "events.jsonl"
    records = [json.loads(line) for line in log.read_text().splitlines()]
    previous, texts = "0" * 64, []
    for record in records:
        kept = {name: value for name, value in record.items() if name not in OLD}
        if record["event"] == "start":
            kept["worker"] = "local-0"
        texts.append(json.dumps({**kept, "previous": previous}, sort_keys=True))
        previous = hashlib.sha256(texts[-1].encode()).hexdigest()
    log.write_text("".join(f"{text}\n" for text in texts))


BY_WHAT_COUNTS_ALONE = {"another order", "half a line more", "another worker", "another name"}
"""What the seal of version 0.1.0, a hash of the lines that count without worker and order, cannot show."""


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in BY_WHAT_COUNTS_ALONE])
def test_the_seal_of_version_0_1_0_is_guarded_too(run, name):
    as_version_0_1_0(run)
    assert verify(run).faults == ()
    MUTATIONS[name](run)
    assert verify(run).faults


def test_lines_that_two_named_workers_wrote_are_not_held_against_an_old_seal(run):
    as_version_0_1_0(run)
    log = (run / "events.jsonl").read_text().splitlines(keepends=True)
    (run / "events.jsonl").write_text("".join(log[:-1]))
    append_event(run / "events.jsonl", RESUMED, lines=4, worker="ray")
    append_event(run / "events.jsonl", WORKER, worker="zzz", state="joined")
    ledger = RunDirectory(run).read_ledger()
    append_event(run / "events.jsonl", FINISHED, lines=8, ledger_sha256=ledger.sha256())
    ledger_file("ray.jsonl", contradicting)(run)
    report = verify(run)
    assert report.faults == ()
    assert any("duplicate key" in note for note in report.notes)


def with_tests(change):
    """Forge the tests of the noise levels, and all hashes after them."""

    def mutate(run):
        log = run / "events.jsonl"
        records = [json.loads(line) for line in log.read_text().splitlines()]
        for record in records:
            if record["event"] == "noise level":
                change(record)
        log.write_text("".join(json.dumps(record) + "\n" for record in records))
        rechain(run)

    return mutate


@pytest.mark.parametrize(
    "mutate",
    [
        with_tests(lambda record: record.pop("self_test")),
        with_tests(lambda record: record.pop("noise_test")),
        with_tests(lambda record: record["noise_test"].update(passed=False)),
        with_tests(lambda record: record.update(sigma=0.75)),
    ],
)
def test_a_noise_level_without_its_tests_is_named(run, mutate):
    mutate(run)
    assert verify(run).faults


@pytest.mark.parametrize("at", ["1999-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
def test_lines_outside_lock_and_seal_are_named_although_sealed(run, at):
    edit_lines(run, lambda lines: lines[3].update(at=at))
    rechain(run)
    (fault,) = verify(run).faults
    assert "was decided" in fault


def test_sampling_after_a_failed_test_is_named(tmp_path):
    run = simulate_run(tmp_path / "run", images=4, drop=1)
    append_event(run / "events.jsonl", LEVEL, sigma=0.25, **{**PASSED, "noise_test": {"passed": False}})
    assert verify(run).faults == ()
    append_event(run / "events.jsonl", RESUMED, lines=7)
    assert verify(run).faults == ()
    append_event(run / "events.jsonl", LEVEL, sigma=0.25, **{**PASSED, "noise_test": {"passed": False}})
    append_event(run / "events.jsonl", ENERGY, sigma=0.25, copies=1, joules=None, source="unknown", seconds=1.0)
    assert any("after a failed noise test" in fault for fault in verify(run).faults)
