"""`status` of a running, an interrupted, a finished and a damaged run."""

import re

import pytest

from smoothcert.evidence import RunDirectory


def test_finished(say, real_run):
    said = say("status", real_run)
    assert said.code == 0
    assert f"{real_run}: finished and sealed" in said.out
    assert "alpha 0.001, bound rankcp, k 1, 2, n_max 200, stopping looks, noise grid" in said.out
    assert f"Next: smoothcert table {real_run}" in said.out


def test_interrupted(say, unfinished):
    said = say("status", unfinished)
    assert said.code == 0
    assert f"{unfinished}: interrupted, 2 of 24 results missing, NOT SEALED" in said.out
    assert re.search(r"sigma 0.25  #{10}  12/12 images decided, [\d,]+ samples per image$", said.out, re.M)
    assert re.search(r"sigma 0.5   #{8}\.\.  10/12 images decided.* about 0 s of sampling left$", said.out, re.M)
    assert f"Next: smoothcert resume {unfinished}" in said.out


def test_interrupted_between_the_last_image_and_the_seal(say, real_run):
    events = real_run / "events.jsonl"
    events.write_text("".join(events.read_text().splitlines(keepends=True)[:-1]))
    said = say("status", real_run)
    assert "interrupted, all images decided, NOT SEALED" in said.out
    assert f"Next: smoothcert resume {real_run}" in said.out


def test_running(say, unfinished):
    with RunDirectory(unfinished).locked():
        said = say("status", unfinished)
    assert said.code == 0
    assert f"{unfinished}: running" in said.out
    assert "nothing is lost" in said.out
    assert "interrupted" in say("status", unfinished).out


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("ledger/local-0.jsonl", '"label":1', '"label":2', "not those that were sealed"),
        ("ledger/local-0.jsonl", '{"sigma"', "?", "Line 1 of "),
        ("events.jsonl", '"event": "start"', '"event": "began"', "does not follow the line before it"),
        ("spec.json", '"alpha": 0.001', '"alpha": 0.01', "not the spec that was locked"),
        ("spec.json", '"format": 1', '"format": 9', "format"),
    ],
)
def test_damaged(say, real_run, name, old, new, reason):
    file = real_run / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    said = say("status", real_run)
    assert said.code == 1
    assert f"{real_run}: damaged" in said.out
    assert reason in said.out
    assert f"Next: smoothcert verify {real_run}" in said.out


def test_no_run_is_refused(say, tmp_path):
    said = say("status", tmp_path)
    assert said.code == 2
    assert "found none" in said.err
