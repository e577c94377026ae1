"""Deviations: what log and ledger show of how a run was conducted, and what the sponsor says besides."""

from dataclasses import replace

import pytest

from factories import make_run, simulate_run, unfinish
from report.memo_runs import FULL, memo_run
from smoothcert.config import Reference, Stated
from smoothcert.evidence import open_run
from smoothcert.evidence.events import REPEATED, RESUMED, SESSION_ENDED, STARTED, append_event
from smoothcert.evidence.seal import seal_files
from smoothcert.report.memo import make_memo, make_sponsor
from smoothcert.report.results import results_texts
from smoothcert.report.tables import ordinary
from smoothcert.verify import verify
from smoothcert.verify.conduct import NOT_KNOWN, NOTHING, described, deviations_stated


def test_an_undisturbed_run_has_no_deviation(tmp_path):
    run = open_run(simulate_run(tmp_path / "run"))
    assert described(run) == [NOTHING]
    assert deviations_stated(run) == [NOTHING, NOT_KNOWN, "The sponsor has stated nothing."]
    stated = replace(run, stated=Stated(deviations="400 images were certified before."))
    assert deviations_stated(stated)[-1] == "The sponsor states: 400 images were certified before."


def test_interruptions_and_another_version_of_the_code_are_named(tmp_path):
    directory = unfinish(simulate_run(tmp_path / "run", images=8))
    files = seal_files(directory.read_ledger())
    append_event(directory.events, RESUMED, lines=0, code_sha256="a" * 64)
    append_event(directory.events, SESSION_ENDED, files=files)
    append_event(directory.events, RESUMED, lines=15, files=files, code_sha256="b" * 64)
    append_event(directory.events, RESUMED, lines=15, files=files, code_sha256="b" * 64)
    said = " ".join(described(open_run(directory.path)))
    began = sum(event.event in (STARTED, RESUMED) for event in directory.read_events())
    assert f"Sampling took {began} sessions; {began - 1} ended early" in said
    assert "the log does not record when or how" in said
    assert "2 different versions of the code" in said


def test_results_that_were_lost_after_a_session_are_named_by_verify_and_by_the_documents(tmp_path):
    directory = unfinish(simulate_run(tmp_path / "run", images=8))
    (directory.results / "results.json").unlink()
    append_event(directory.events, SESSION_ENDED, files=seal_files(directory.read_ledger()))
    assert not [note for note in verify(directory.path).notes if "recorded at the end of session" in note]
    path = directory.ledger / "local-0.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))
    (note,) = [note for note in verify(directory.path).notes if "recorded at the end of session" in note]
    assert f"Results were lost and drawn again: {note}." in described(open_run(directory.path))


@pytest.mark.parametrize(("facts", "of"), [({}, ""), ({"source": 4000}, " of 4,000")])
def test_a_limit_is_named_with_the_images_of_the_source(tmp_path, facts, of):
    run = make_run(tmp_path / "run", images=12, limit=12)
    append_event(run.directory.events, REPEATED, images=12, repeats=0, **facts)
    assert f"Only the first 12{of} images of the data set were used (limit 12)." in described(
        open_run(run.directory.path)
    )


def test_repeats_and_other_recipes_are_named(tmp_path):
    run = open_run(simulate_run(tmp_path / "run", repeats=1))
    assert "1 of 8 images repeat another one pixel by pixel." in described(run)


def test_the_memo_prints_what_the_log_shows_beside_what_the_sponsor_says(tmp_path):
    run = memo_run(tmp_path / "run", limit=40)
    sponsor = make_sponsor({**FULL, "deviations": "400 images were certified before with earlier weights."})
    fields = make_memo(run, sponsor).fields
    assert "Only the first 40" in fields["conduct"].printed
    assert NOT_KNOWN in fields["conduct"].printed
    assert "400 images were certified before" in fields["deviations"].printed
    assert "400 images were certified before" in results_texts(sponsor.of(run))["results.md"]
    assert "[SPONSOR TO COMPLETE" in make_memo(run, make_sponsor({})).fields["deviations"].printed


def test_an_ordinary_classifier_is_compared_only_where_one_is_given(tmp_path):
    run = memo_run(tmp_path / "run")
    assert "was not measured" in ordinary(run)
    given = Reference("ResNet-20", 57, 100, "clean.csv")
    said = ordinary(replace(run, stated=Stated(reference=given)))
    assert "ResNet-20: 57 of 100 images, 57.0 % as labelled (clean.csv)" in said
    assert "not recomputed" in said


@pytest.mark.parametrize(
    ("regulation", "there", "absent"),
    [
        ("MDR", ("2017/745", "2024/1689"), ("2017/746", "FDA")),
        ("IVDR", ("2017/746", "2024/1689"), ("2017/745", "FDA")),
        ("FDA", ("FDA",), ("2017/74", "2024/1689")),
        ("none", (), ("2017/74", "2024/1689", "FDA")),
        (None, ("SPONSOR TO COMPLETE: MDR, IVDR, FDA or none",), ("2017/74", "2024/1689")),
    ],
)
def test_the_regulation_decides_the_map_and_the_references(tmp_path, regulation, there, absent):
    memo = make_memo(memo_run(tmp_path / "run"), make_sponsor({"regulation": regulation} if regulation else {}))
    rows = " ".join(row[0] for row in memo.tables["map"].rows)
    references = " ".join(block.text for block in memo.pages[3] if getattr(block, "style", "") == "reference")
    assert "ISO 14971" in rows
    for name in there:
        assert name in rows
        assert name in references or "SPONSOR" in name
    for name in absent:
        assert name not in rows.replace("SPONSOR TO COMPLETE: MDR, IVDR, FDA", "")
        assert name not in references


def test_preprocessing_is_none_only_as_far_as_recorded(tmp_path):
    run = memo_run(tmp_path / "run")
    facts = dict(make_memo(run, make_sponsor({"preprocessing": "cropped, then resized"})).tables["item_facts"].rows)
    assert facts["Preprocessing"].startswith("none recorded by this tool")
    assert facts["Before storage (sponsor)"] == "cropped, then resized"
