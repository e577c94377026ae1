"""Shards: the same spec in each, every image in one, and together the run that one machine would have made."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from networks import small_request, write_grey_images, write_random_images
from refusals import refuses
from smoothcert.config import Share, parse_share
from smoothcert.engine import session
from smoothcert.engine.resources import Placement
from smoothcert.engine.run import certify, resume
from smoothcert.evidence import RunDirectory, merge, open_run
from smoothcert.verify import verify

from .test_engine_resume import StoppedError, stop_after

PARTS = 4


def names(run):
    return [event.event for event in run.directory.own_events()]


@pytest.fixture(scope="module")
def asked(resnet, tmp_path_factory):
    return small_request(
        resnet[0], write_random_images(tmp_path_factory.mktemp("shards") / "i.npz", 11), sigma="0.25,0.50", n_max=100
    )


@pytest.fixture(scope="module")
def parts(asked, tmp_path_factory):
    """Four shards of eleven images, and the run that holds them all."""
    folder = tmp_path_factory.mktemp("parts")
    for i in range(PARTS):
        certify(asked, folder / f"shard-{i}", placement=Placement(shard=f"{i}/{PARTS}"))
    certify(asked, folder / "whole")
    return folder


def test_all_shards_lock_the_same_spec_as_the_whole_run(parts):
    specs = {(parts / name / "spec.json").read_bytes() for name in os.listdir(parts)}
    assert len(specs) == 1
    assert "shard" not in json.loads(specs.pop())["request"]


def test_every_image_is_in_one_shard_and_has_the_line_of_the_whole_run(parts):
    whole = open_run(parts / "whole").ledger.lines
    found = [line for i in range(PARTS) for line in open_run(parts / f"shard-{i}").ledger.lines]
    assert sorted(line.key for line in found) == [line.key for line in whole]
    assert {line.to_json(seal=True) for line in found} == {line.to_json(seal=True) for line in whole}
    assert {line.index for line in open_run(parts / "shard-3").ledger.lines} == {3, 7}


def test_merged_they_are_the_run_that_one_process_makes(parts, tmp_path):
    merged, whole = (
        open_run(merge([parts / f"shard-{i}" for i in range(PARTS)], tmp_path / "run").path),
        open_run(parts / "whole"),
    )
    assert merged.sealed
    assert merged.ledger.sha256() == whole.ledger.sha256()
    assert (merged.directory.results / "results.json").read_bytes() == (
        whole.directory.results / "results.json"
    ).read_bytes()
    assert merged.directory.share is None  # its shards lie in it, but it is none itself
    assert not list(verify(merged.directory.path).faults)
    assert resume(merged.directory, {}) is False


def test_a_merged_run_without_its_first_shard_goes_on(parts, tmp_path):
    """What only the first shard measures is measured then."""
    run = merge([parts / f"shard-{i}" for i in range(1, PARTS)], tmp_path / "run")
    assert "without noise" not in [event.event for event in run.read_events()]
    assert resume(run, {}) is True
    assert open_run(run.path).ledger.sha256() == open_run(parts / "whole").ledger.sha256()
    assert open_run(run.path).sealed
    assert open_run(run.path).clean(0.25) == open_run(parts / "whole").clean(0.25)


def test_a_shard_ends_unsealed_with_the_hash_of_its_lines(parts):
    for i in range(PARTS):
        run = open_run(parts / f"shard-{i}")
        assert not run.sealed
        assert run.directory.share == Share(i, PARTS)
        last = run.directory.own_events()[-1]
        assert (last.event, last.facts["shard"]) == ("shard finished", f"{i}/{PARTS}")
        assert last.facts["lines"] == len(run.ledger.lines)
        assert last.facts["ledger_sha256"] == run.ledger.sha256()
        assert not (run.directory.results / "results.json").exists()


def test_what_is_about_all_images_is_measured_by_the_first_shard_alone(parts):
    measured = {"repeated images", "without noise", "changed images", "rates"}
    assert measured <= set(names(open_run(parts / "shard-0")))
    assert all(not measured & set(names(open_run(parts / f"shard-{i}"))) for i in range(1, PARTS))


def test_an_interrupted_shard_goes_on_with_its_own_images(asked, tmp_path, parts):
    with pytest.raises(StoppedError):
        certify(asked, tmp_path / "run", stop_after(1), placement=Placement(shard="1/4"))
    run = RunDirectory(tmp_path / "run")
    assert resume(run, {}) is True
    assert open_run(run.path).ledger.sha256() == open_run(parts / "shard-1").ledger.sha256()
    assert names(open_run(run.path))[-1] == "shard finished"
    assert resume(run, {}) is False


def test_a_shard_that_was_killed_before_its_first_event_is_still_that_shard(asked, tmp_path, monkeypatch, parts):
    class KilledError(Exception):
        pass

    def killed(*_):
        raise KilledError

    monkeypatch.setattr(session.Session, "sample", killed)
    with pytest.raises(KilledError):
        certify(asked, tmp_path / "run", placement=Placement(shard="2/4"))
    monkeypatch.undo()
    run = RunDirectory(tmp_path / "run")
    assert names(open_run(run.path)) == ["spec locked"]
    assert run.share == Share(2, 4)
    resume(run, {})
    assert open_run(run.path).ledger.sha256() == open_run(parts / "shard-2").ledger.sha256()


def test_more_shards_than_images(grey, tmp_path):
    data = write_grey_images(tmp_path / "few.npz", each=1)
    run = open_run(certify(small_request("nets:robust", data), tmp_path / "run", placement=Placement(shard="4/5")).path)
    assert run.ledger.lines == ()
    assert names(run)[-1] == "shard finished"


def test_a_seed_is_needed(asked, tmp_path):
    with refuses("E-SPEC-006", match="--shard needs --seed.*secrets\\.randbits\\(64\\)"):
        certify(asked.model_copy(update={"seed": None}), tmp_path / "run", placement=Placement(shard="0/2"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["", "1", "4/4", "-1/4", "0/0", "1/2/3", "a/b", "0/4 ", "0/1000001", "٠/٤", "0.0/4"])
def test_what_is_no_shard(text, asked, tmp_path):
    with refuses("E-SPEC-001"):
        certify(asked, tmp_path / "run", placement=Placement(shard=text))


@given(st.lists(st.integers(0, 10**9), unique=True, max_size=60), st.integers(1, 70))
def test_shares_are_disjoint_whole_and_even(indices, of):
    parts = [Share(i, of).part(indices) for i in range(of)]
    assert sorted(index for part in parts for index in part) == sorted(indices)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all(parse_share(str(Share(i, of))) == Share(i, of) for i in range(of))
