"""`report` and what `verify` says of the documents, on a real run."""

import pytest


@pytest.mark.slow
def test_report_and_verify_of_a_real_run(say, real_run):
    said = say("report", real_run)
    assert said.code == 0
    assert f"Documents in {real_run}/results:" in said.out
    assert "memo.pdf" in said.out
    said = say("verify", real_run)
    assert said.code == 0
    assert "Documents: " in said.out
    page = real_run / "results" / "results.md"
    page.write_text(page.read_text().replace("0.25", "0.26", 1))
    said = say("verify", real_run)
    assert said.code == 1
    assert "results.md" in said.out


def test_a_run_without_a_finished_image_is_refused(say, unfinished):
    (unfinished / "ledger" / "local-0.jsonl").unlink()
    said = say("report", unfinished)
    assert said.code == 2
    assert "no finished image" in said.err


def test_no_run_is_refused(say, tmp_path):
    assert say("report", tmp_path).code == 2


def test_a_sponsor_file_that_is_not_there_is_refused(say, real_run):
    said = say("report", real_run, "--sponsor", real_run / "none.yaml")
    assert said.code == 2
    assert "none.yaml" in said.err


def test_a_criterion_that_is_not_met_fails_verify(say, project, tmp_path):
    settings = tmp_path / "run.yaml"
    settings.write_text(
        "model: cli_nets:brightness\ndata: images.npz\nsigma: 0.25\nradius: [0.1, 0.25]\nn_max: 200\nbatch_size: 64\n"
        "criteria:\n  - {sigma: 0.25, radius: 0.25, at_least: 0.99}\n"
    )
    assert say("certify", "--trust-model", "--config", settings, "--out", tmp_path / "run").code == 0
    said = say("verify", tmp_path / "run")
    assert said.code == 1
    assert "FAILED criterion" in said.out
    shown = say("table", tmp_path / "run", "--show", "criteria")
    assert "NOT MET" in shown.out


@pytest.mark.parametrize(("name", "reason"), [("criteria", "no acceptance criteria"), ("groups", "have no groups")])
def test_a_table_with_nothing_in_it_says_why(say, real_run, name, reason):
    said = say("table", real_run, "--show", name)
    assert said.code == 2
    assert reason in said.err


@pytest.mark.parametrize("name", ["accuracy", "classes", "cost", "units", "changes", "guarantees"])
def test_every_further_table_is_printed(say, real_run, name):
    assert say("table", real_run, "--show", name).out.startswith("| ")


def test_a_table_of_changed_evidence_says_so(say, real_run):
    ledger = real_run / "ledger" / "local-0.jsonl"
    ledger.write_text(ledger.read_text().replace('"label":1', '"label":2', 1))
    assert "DAMAGED: ledger: the lines are not those that were sealed" in say("table", real_run).out
