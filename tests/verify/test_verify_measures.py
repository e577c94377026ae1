"""What is measured beside the votes must be possible; what lies beside the evidence is named, not vouched for."""

import pytest

from factories import simulate_run
from smoothcert.evidence import open_run
from smoothcert.evidence.events import CHANGED, CLEAN, append_event
from smoothcert.evidence.seal import seal_run
from smoothcert.verify import verify

SIGMA = 0.25


def with_event(tmp_path, name, **facts):
    """A run with an event that somebody else wrote, chained and sealed as its own events are."""
    path = simulate_run(tmp_path / "run", sigma="0.25", k=(1, 2))
    run = open_run(path)
    events = run.directory.events
    lines = events.read_text().splitlines(keepends=True)
    events.write_text("".join(lines[:-1]))  # the seal is written again after the new event
    append_event(events, name, **facts)
    seal_run(run.directory, run.spec, run.ledger)
    return path, run.spec


def counts(spec, more=0):
    return {str(k): [number + more for number in spec.data.class_counts] for k in spec.request.k}


def clean(spec, **changed):
    return {"sigma": SIGMA, "images": spec.data.images, "correct": counts(spec), **changed}


@pytest.fixture
def spec(tmp_path):
    return open_run(simulate_run(tmp_path / "spec", sigma="0.25", k=(1, 2))).spec


def test_counts_up_to_all_images_pass(spec, tmp_path):
    path, _ = with_event(tmp_path, CLEAN, **clean(spec))
    assert verify(path).faults == ()


@pytest.mark.parametrize("how", ["more than a class has", "more images", "another k", "one class less", "alone"])
def test_a_clean_accuracy_that_cannot_be_is_a_fault(spec, tmp_path, how):
    facts = {
        "more than a class has": clean(spec, correct=counts(spec, more=1)),
        "more images": clean(spec, images=80),
        "another k": clean(spec, correct={**counts(spec), "3": list(spec.data.class_counts)}),
        "one class less": clean(spec, correct={k: each[1:] for k, each in counts(spec).items()}),
        "alone": clean(spec, alone=counts(spec)),  # there is no denoiser
    }[how]
    path, _ = with_event(tmp_path, CLEAN, **facts)
    assert any("clean accuracy" in fault for fault in verify(path).faults)


@pytest.mark.parametrize(("images", "within", "faulty"), [(8, [8, 8], False), (8, [8, 9], True), (9, [8, 8], True)])
def test_perturbations_of_more_images_than_there_are_are_a_fault(tmp_path, images, within, faulty):
    changes = {"one pixel": {"median": 0.1, "within": within}}
    path, _ = with_event(tmp_path, CHANGED, images=images, radius=[0.1, 0.25], changes=changes)
    assert any("perturbations" in fault for fault in verify(path).faults) == faulty


def test_what_lies_beside_the_evidence_is_named(tmp_path):
    path = simulate_run(tmp_path / "sealed")
    assert not any("beside the evidence" in note for note in verify(path).notes)
    (path / "APPROVAL.txt").write_text("99.9")
    (path / "folder").mkdir()
    (note,) = [note for note in verify(path).notes if "beside the evidence" in note]
    assert "APPROVAL.txt" in note
    assert "folder" in note
    assert verify(path).faults == ()
