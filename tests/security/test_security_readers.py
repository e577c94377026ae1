"""A run that somebody made to hurt its readers: every verb answers at once, in a sentence, and writes nowhere else."""

import contextlib
import gzip
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import simulate_run
from smoothcert.cli import main
from smoothcert.errors import SmoothcertError
from smoothcert.evidence import open_run
from tampering import edit_json, edit_lines

from .hostile import many, rechained, strange, written

Edit = Callable[[Path], object]
LEDGER = "ledger/local-0.jsonl"
READING = ("status", "table", "verify")
WRITING = ("report", "resume", "bundle")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sealed run."""
    return Path(simulate_run(tmp_path_factory.mktemp("sound") / "run", images=4))


@pytest.fixture(scope="module")
def torn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, interrupted."""
    return Path(simulate_run(tmp_path_factory.mktemp("torn") / "run", images=4, drop=2))


def ends(*arguments: object) -> int:
    """The exit status of a verb; an error that no sentence tells passes through and fails the test."""
    out = io.StringIO()
    with pytest.raises(SystemExit) as left, contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        main([str(each) for each in arguments])
    assert "Traceback" not in out.getvalue()
    return int(left.value.code or 0)


def copied(sound: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return Path(shutil.copytree(sound, folder))


def put(name: str, old: str, new: str) -> Edit:
    def edit(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return edit


def line(**changes: Any) -> Edit:
    return lambda run: edit_lines(run, lambda records: records[0].update(changes))


def spec(part: str, **changes: Any) -> Edit:
    return lambda run: edit_json(run / "spec.json", lambda record: (record[part] if part else record).update(changes))


def event(kind: str, **changes: Any) -> Edit:
    return lambda run: rechained(
        run, lambda records: [each.update(changes) for each in records if each["event"] == kind]
    )


def added(**record: Any) -> Edit:
    return lambda run: rechained(run, lambda records: records.insert(2, {**records[1], **record}))


def packed(run: Path) -> None:
    one = (run / LEDGER).read_bytes().splitlines(keepends=True)[0]
    (run / LEDGER).unlink()
    with gzip.open(run / f"{LEDGER}.gz", "wb", 9) as file:
        for _ in range(100):
            file.write(one * 400)


HOSTILE: dict[str, Edit] = {
    "a key of the spec twice": put("spec.json", '"alpha": 0.001', '"alpha": 0.4, "alpha": 0.001'),
    "a key of a line twice": put(LEDGER, '"label":', '"label":5,"label":'),
    "a key of an event twice": put("events.jsonl", '"lines": 0', '"lines": 7, "lines": 0'),
    "endless time": line(seconds=float("inf")),
    "no time": line(seconds=float("nan")),
    "time beyond floats": put(LEDGER, '"seconds":', '"seconds":1e999,"worker":"x","at":"","index":0,"recipe":'),
    "time below zero": line(seconds=-1.0),
    "a class with a leading zero": line(selection={"00": 100}),
    "a class in Arabic digits": line(selection={"٢": 100}),
    "a class with a sign": line(selection={"+1": 100}),
    "a class with a blank": line(selection={" 1": 100}),
    "a class with an underscore": line(selection={"1_0": 100}),
    "votes that are true": line(selection={"1": True}),
    "a recipe that is an object": line(recipe={}),
    "looks that are an object": line(looks={"131": {}}),
    "an unknown key in a line": line(output="mask"),
    "a line of no date": line(at="yesterday"),
    "a line of the 30th of February": line(at="2026-02-30T00:00:00Z"),
    "a label in quotes": line(label="1"),
    "sigma in quotes": line(sigma="0.25"),
    "no models": spec("", models=[]),
    "no recipe": spec("", recipe={}),
    "no looks": spec("", looks=[]),
    "300 million images": spec("data", images=300_000_000),
    "half an image": spec("data", images=4.5),
    "counts of other images": spec("data", class_counts=[10**6] * 6),
    "100,000 radii": spec("request", radius=[i / 10_000 for i in range(1, 100_001)]),
    "an image of no size": spec("data", shape=[0, 0, 0]),
    "k of all classes": spec("request", k=[6]),
    "an unknown key in the spec": spec("request", future=1),
    "an event of no date": event("start", at="zzzz"),
    "a finish without a hash": event("finish", ledger_sha256=3),
    "rates that are a number": added(event="rates", sigma=0.25, device="cpu", batch_size=1, rates=3, left_out={}),
    "clean votes of a text": added(event="without noise", sigma=0.25, images=4, correct={"1": "x"}),
    "changes of other radii": added(
        event="changed images", images=4, radius=[0.1], changes={"x": {"median": 0.1, "within": [1, 2]}}
    ),
    "energy in words": added(event="energy", sigma=0.25, copies=1, joules="many", source="x", seconds=1.0),
    "a merge of nothing": added(event="merge", shards=3),
    "a shard outside": added(
        event="merge",
        shards=[{"name": "../x", "shard": None, "lines": 0, "ledger_sha256": "0" * 64, "head": "0" * 64}],
    ),
    "a spec nested deep": lambda run: (run / "spec.json").write_text('{"a":' * 100_000),
    "events nested deep": lambda run: (run / "events.jsonl").write_text("[" * 100_000 + "\n"),
    "a ledger that unpacks a hundredfold": packed,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_every_verb_refuses_a_hostile_record(sound: Path, tmp_path: Path, name: str) -> None:
    run = copied(sound, tmp_path / "run")
    HOSTILE[name](run)
    assert ends("status", run) == 1
    assert ends("verify", run) == 1
    assert ends("report", run) == 2
    assert not any((run / "results").glob("report*"))
    with contextlib.suppress(SmoothcertError):
        open_run(run).results()


@pytest.mark.parametrize(
    "name", ["spec.json", "events.jsonl", LEDGER, "environment.json", "lock", "results/results.json"]
)
@pytest.mark.parametrize("how", ["pipe", "link"])
def test_pipes_and_links_are_refused_without_waiting(sound: Path, tmp_path: Path, name: str, how: str) -> None:
    run, outside = copied(sound, tmp_path / "run"), tmp_path / "outside"
    if (run / name).exists():
        (run / name).rename(outside)
    else:
        outside.touch()
    before = outside.read_bytes()
    if how == "pipe":
        os.mkfifo(run / name)
    else:
        (run / name).symlink_to(outside)
    for verb in (*READING, *WRITING):
        rest = ("--out", tmp_path / "bundle", "--sigma", "0.25") if verb == "bundle" else ()
        assert ends(verb, run, *rest) in (1, 2), verb
    assert outside.read_bytes() == before


@pytest.mark.parametrize("name", ["results", "ledger"])
def test_nothing_is_written_through_a_linked_folder(sound: Path, tmp_path: Path, name: str) -> None:
    run, outside = copied(sound, tmp_path / "run"), tmp_path / "outside"
    (run / name).rename(outside)
    (run / name).symlink_to(outside)
    before = sorted((path, path.read_bytes()) for path in outside.iterdir())
    for verb in (*READING, "report", "resume"):
        assert ends(verb, run) in (1, 2), verb
    assert sorted((path, path.read_bytes()) for path in outside.iterdir()) == before


def test_a_run_may_be_named_by_a_link(sound: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(sound)
    assert ends("status", tmp_path / "link") == 0


FILES = ("spec.json", "events.jsonl", LEDGER)


@pytest.mark.parametrize("name", FILES)
@many
@given(data=st.data())
def test_consistent_but_strange_records_are_read_or_refused(sound, torn, tmp_path, monkeypatch, name, data):
    """Hashes are forged anew, so that what is strange is read by every verb and not stopped by the chain."""
    run = copied(data.draw(st.sampled_from([sound, torn])), tmp_path / "run")
    lines = [(run / name).read_text()] if name == "spec.json" else (run / name).read_text().splitlines()
    i = data.draw(st.integers(0, len(lines) - 1))
    lines[i] = data.draw(strange(json.loads(lines[i])).map(written)).decode("utf-8", "replace")
    (run / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    rechained(run)
    monkeypatch.setattr("smoothcert.report.write._steps", lambda *given: iter(()))
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    for verb in (*READING, "report", "resume"):
        assert ends(verb, run) in (0, 1, 2)
    assert ends("bundle", run, "--sigma", "0.25", "--out", tmp_path / "out") in (0, 1, 2)
    assert ends("merge", run, sound, "--out", tmp_path / "out") == 2
    with contextlib.suppress(SmoothcertError):
        describe(run)


def describe(path: Path) -> None:
    """What documents ask of a run beyond its table."""
    run = open_run(path)
    for sigma in run.spec.request.sigma:
        run.clean(sigma)
    assert run.results()
    assert run.arithmetic
    assert isinstance((run.changes, run.rates, run.sealed), tuple)
