"""A run goes on only with what it began with, and goes on to the same ledger."""

import gzip
import shutil

import numpy as np
import pytest

from networks import loaded, small_request, write_denoiser, write_denoisers, write_grey_images, write_resnet
from refusals import refuses
from smoothcert.engine import run as resume_module
from smoothcert.engine import workload as work_module
from smoothcert.engine.resources import Placement
from smoothcert.engine.run import certify, resume
from smoothcert.engine.session import Hooks
from smoothcert.errors import EvidenceError
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.events import SESSION_ENDED, broken_link
from smoothcert.verify import verify


class StoppedError(Exception):
    """What a test raises in the middle of a run."""


def stop_after(lines: int) -> Hooks:
    def heard(seen) -> None:
        if seen.decided >= lines:
            raise StoppedError

    return Hooks(on_progress=heard)


@pytest.fixture
def half(resnet, tmp_path, request):
    """A run of ten images that was stopped after a few, with its own copies of classifier and images."""
    settings = getattr(request, "param", {})
    model, data = (shutil.copy(path, tmp_path) for path in resnet)
    with pytest.raises(StoppedError):
        certify(small_request(model, data, **settings), tmp_path / "run", stop_after(3))
    run = open_run(tmp_path / "run")
    assert 3 <= len(run.ledger.lines) < 10
    assert not run.sealed
    return run.directory


@pytest.mark.parametrize(
    ("half", "settings"), [({}, {}), ({"bound": "betting"}, {"bound": "betting"})], indirect=["half"], ids=str
)
def test_a_resumed_run_equals_one_that_was_never_stopped(half, settings, resnet, tmp_path):
    before = half.read_ledger()
    with pytest.raises(StoppedError):
        resume(half, {}, hooks=stop_after(len(before.lines) + 1))
    assert resume(half, {}) is True
    whole = open_run(certify(small_request(*resnet, **settings), tmp_path / "whole").path)
    run = open_run(half.path)
    assert run.sealed
    assert verify(half.path).passed
    assert run.ledger.sha256() == whole.ledger.sha256()
    assert all(line in run.ledger.lines for line in before.lines)
    assert broken_link(half.events) is None
    assert resume(half, {}) is False


def test_a_run_kept_under_version_control_goes_on(half, resnet, tmp_path):
    """Its ledger was packed, and its empty folders are gone."""
    whole = open_run(certify(small_request(*resnet), tmp_path / "whole").path)
    for path in list(half.ledger.glob("*.jsonl")):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    half.results.rmdir()
    before = half.read_ledger().lines
    assert resume(half, {}) is True
    run = open_run(half.path)
    assert run.sealed
    assert all(line in run.ledger.lines for line in before)
    assert run.ledger.sha256() == whole.ledger.sha256()


def test_a_run_kept_before_its_first_image_goes_on(resnet, tmp_path):
    run = certify(small_request(*resnet), tmp_path / "run").path
    for folder in (run / "ledger", run / "results"):
        shutil.rmtree(folder)
    log = run / "events.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))  # what is left says nothing of an end
    assert resume(RunDirectory(run), {}) is True
    assert open_run(run).sealed


def test_the_time_left_is_at_the_pace_of_this_session(half):
    before, heard = len(half.read_ledger().lines), []
    resume(half, {}, hooks=Hooks(on_progress=heard.append))
    assert {seen.lines == seen.decided - before for seen in heard} == {True}
    for seen in (seen for seen in heard if seen.lines):
        assert seen.seconds_left == pytest.approx(seen.seconds / seen.lines * (seen.total - seen.decided))
    assert heard[-1].seconds_left == 0


def test_files_may_move_but_not_change(half, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    model, data = (shutil.move(tmp_path / name, moved / name) for name in ("net.safetensors", "images.npz"))
    with refuses("E-RUN-190", "--model"):
        resume(half, {})
    with refuses("E-DATA-095"):
        resume(half, {"model": str(model)})
    assert resume(half, {"model": str(model), "data": str(data), "weights": None}) is True
    assert open_run(half.path).sealed


@pytest.mark.parametrize("changed", ["pixel", "label", "groups", "count", "class_names"])
def test_changed_images_are_refused(half, tmp_path, changed):
    with np.load(tmp_path / "images.npz") as file:
        arrays = dict(file)
    if changed == "pixel":
        arrays["images"][9, 0, 0, 0] ^= 1
    elif changed == "label":
        arrays["labels"][9] = 3
    elif changed == "groups":
        arrays["groups"] = np.arange(10).astype(str)
    elif changed == "count":
        arrays = {name: array[:9] for name, array in arrays.items()}
    else:
        arrays["class_names"] = np.array(["a", "b", "c", "d"])
    np.savez(tmp_path / "images.npz", **arrays)
    before = half.read_ledger().sha256()
    with refuses("E-RUN-008"):
        resume(half, {})
    assert half.read_ledger().sha256() == before


def test_another_classifier_is_refused(half, tmp_path):
    write_resnet(tmp_path / "other.safetensors", seed=4)
    with refuses("E-RUN-013"):
        resume(half, {"model": str(tmp_path / "other.safetensors")})


def test_the_denoiser_may_move_but_not_change(resnet, tmp_path, monkeypatch):
    out, before = tmp_path / "run", write_denoiser(tmp_path / "d.safetensors")
    with pytest.raises(StoppedError):
        certify(small_request(*resnet, denoiser=str(before)), out, stop_after(3))
    run = RunDirectory(out)
    (tmp_path / "d.safetensors").rename(tmp_path / "moved.safetensors")
    with refuses("E-RUN-190", "--denoiser"):
        resume(run, {})
    other = write_denoiser(tmp_path / "other.safetensors", seed=9)
    with refuses("E-RUN-090"):
        resume(run, {"denoiser": str(other)})
    monkeypatch.chdir(tmp_path)
    write_denoisers(tmp_path)
    with refuses("E-RUN-090"):
        resume(run, {"denoiser": "denoisers:blur"})
    assert resume(run, {"denoiser": str(tmp_path / "moved.safetensors")})
    assert open_run(out).sealed


def test_the_denoiser_of_a_workload_is_that_of_the_spec(resnet, tmp_path):
    before = write_denoiser(tmp_path / "d.safetensors")
    plain, denoised = loaded(small_request(*resnet)), loaded(small_request(*resnet, denoiser=str(before)))
    with refuses("E-RUN-090", match="begun with no denoiser.*Leave the denoiser out"):
        work_module.check_models(resume_module.freeze_spec(plain), denoised)
    with refuses("E-RUN-090", match="got none.*--denoiser"):
        work_module.check_models(resume_module.freeze_spec(denoised), plain)


@pytest.mark.parametrize("name", ["denoiser", "denoiser_weights"])
def test_a_run_without_a_denoiser_takes_none(half, tmp_path, name):
    other = write_denoiser(tmp_path / "other.safetensors")
    with refuses("E-RUN-091", match=f"--{name.replace('_', '-')}"):
        resume(half, {name: str(other)})


@pytest.mark.parametrize(("old", "new"), [('"alpha": 0.001', '"alpha": 0.1'), ('"seed": 7', '"seed": 8')])
def test_an_edited_spec_is_refused(half, old, new):
    text = half.spec.read_text()
    assert old in text
    half.spec.write_text(text.replace(old, new))
    with refuses("E-RUN-005"):
        resume(half, {})


def test_another_recipe_must_be_accepted_and_is_then_named(half, monkeypatch):
    choose = work_module.choose_recipe

    def elsewhere(*asked):
        return choose(*asked).model_copy(update={"torch": "1.0", "instructions": "abacus"})

    before = half.read_ledger().lines
    monkeypatch.setattr(work_module, "choose_recipe", elsewhere)
    with refuses("E-RECIPE-001", match="instructions .* is now abacus; torch .* is now 1\\.0.*--accept-recipe"):
        resume(half, {})
    assert half.read_ledger().lines == before
    assert resume(half, {}, accept_recipe=True) is True
    run = open_run(half.path)
    recorded = [event.facts["recipe"] for event in half.read_events() if event.event == "resume"]
    assert recorded[0]["instructions"] == "abacus"
    names = {line.key: line.recipe for line in run.ledger.lines}
    assert all(names[line.key] is None for line in before)
    theirs = {name for key, name in names.items() if key not in {line.key for line in before}}
    assert theirs == {run.spec.recipe.model_copy(update={"torch": "1.0", "instructions": "abacus"}).name}


def test_no_run_no_resume(tmp_path):
    with refuses("E-RUN-028"):
        resume(RunDirectory(tmp_path), {})


def test_a_run_that_another_process_writes_is_refused(half):
    with half.locked(), refuses("E-RUN-046"):
        resume(half, {})
    assert resume(half, {}) is True


def test_lines_all_there_but_not_sealed(grey, tmp_path):
    """StoppedError between the last line and the seal: nothing is sampled again, and the run is sealed."""
    out = certify(small_request("nets:robust", grey), tmp_path / "run").path
    events = (out / "events.jsonl").read_text().splitlines(keepends=True)
    (out / "events.jsonl").write_text("".join(events[:-1]))
    ledger = (out / "ledger" / "local-0.jsonl").read_bytes()
    assert resume(RunDirectory(out), {"model": "nets:robust"}) is True
    assert (out / "ledger" / "local-0.jsonl").read_bytes() == ledger
    assert open_run(out).sealed


def test_a_run_goes_on_at_the_noise_level_it_had_not_begun(grey, tmp_path):
    data = write_grey_images(tmp_path / "few.npz", each=1)
    asked = small_request("nets:robust", data, sigma="0.25,0.5")
    with pytest.raises(StoppedError):
        certify(asked, tmp_path / "run", stop_after(4))
    assert len(open_run(tmp_path / "run").ledger.at(0.5)) == 0
    resume(RunDirectory(tmp_path / "run"), {"model": "nets:robust"})
    certify(asked, tmp_path / "whole")
    assert open_run(tmp_path / "run").ledger.sha256() == open_run(tmp_path / "whole").ledger.sha256()


def test_a_line_lost_between_sessions_is_sampled_again_and_shows(half, resnet, tmp_path):
    ended = half.own_events()[-1]
    assert ended.event == SESSION_ENDED
    path = half.ledger / "local-0.jsonl"
    _, *rest = path.read_text().splitlines(keepends=True)
    assert ended.facts["files"]["local-0.jsonl"]["lines"] == 1 + len(rest)
    assert verify(half.path).notes == ()
    path.write_text("".join(rest))
    assert len(verify(half.path).notes) == 1
    assert resume(half, {}) is True
    report = verify(half.path)
    assert report.faults == ()
    assert any("session 1" in note for note in report.notes)
    whole = open_run(certify(small_request(*resnet), tmp_path / "whole").path)
    assert open_run(half.path).ledger.sha256() == whole.ledger.sha256()
    assert verify(whole.directory.path).notes == ()


def test_a_run_that_another_session_sealed_meanwhile_is_not_sealed_again(half, monkeypatch):
    """Two sessions wait for one run: the second finds it finished, and writes nothing."""
    before = resume_module.open_engine

    def meanwhile(*arguments):
        monkeypatch.setattr(resume_module, "open_engine", before)
        resume(half, {})
        return before(*arguments)

    monkeypatch.setattr(resume_module, "open_engine", meanwhile)
    with pytest.raises(EvidenceError):
        resume(half, {})
    assert [event.event for event in half.own_events()].count("finish") == 1
    assert verify(half.path).faults == ()


def test_a_finished_shard_that_was_changed_cannot_be_resumed(resnet, tmp_path):
    run = certify(small_request(*resnet), tmp_path / "run", placement=Placement(shard="0/2"))
    assert resume(run, {}) is False
    path = run.ledger / "local-0.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    log = run.events.read_bytes()
    with pytest.raises(EvidenceError):
        resume(run, {})
    assert run.events.read_bytes() == log
