"""`smoothcert plan`, `certify --plan`, and predicted against realised at the end."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from .conftest import COMMAND

PLAN = COMMAND.replace("certify", "plan") + " --pilot 8 --pilot-samples 60"
NO_TORCH = """
import sys
from smoothcert.cli import main
try:
    main("plan --classes 8 --n-max 1000 --sigma 0.25 --k 1,3".split())
except SystemExit as done:
    assert not done.code
assert "torch" not in sys.modules and "matplotlib" not in sys.modules
"""


@pytest.fixture(scope="module")
def plan_folder(project, tmp_path_factory):
    """A plan of the run that `COMMAND` certifies."""
    from smoothcert.cli import main

    out = tmp_path_factory.mktemp("plans") / "plan"
    with pytest.raises(SystemExit) as done:
        main([*PLAN.split(), "--out", str(out)])
    assert not done.value.code
    return out


def test_without_classifier_and_images_no_torch_is_needed():
    done = subprocess.run([sys.executable, "-c", NO_TORCH], capture_output=True, text=True, check=True)
    assert "Attainable radii" in done.stdout
    assert "| not attainable |" in re.sub(r" +", " ", done.stdout)
    assert "Effect of other settings" in done.stdout
    assert "forecast" not in done.stdout.split("Next:")[0]


def test_the_plan_is_printed_and_written(say, project, tmp_path):
    said = say(*PLAN.split(), "--out", tmp_path / "plan")
    assert said.code == 0
    for title in (
        "Certified accuracy, forecast",
        "Samples and device time, forecast",
        "Cost, extrapolated from the pilot",
    ):
        assert title in said.out
    assert "Pilot: 8 images drawn at random, 60 noise samples each at each sigma" in said.out
    settings = f"--config {tmp_path}/plan/run.yaml --model cli_nets:brightness"
    next_command = f"Next: smoothcert certify {settings} --plan {tmp_path}/plan --out RUN"
    assert said.out.splitlines()[-1] == next_command
    record = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert record["settings"]["sigma"] == ["0.25", "0.50"]
    assert len(record["forecast"]["cells"]) == 12


def test_a_folder_in_use_is_not_overwritten(say, project, plan_folder):
    before = {path: path.read_bytes() for path in plan_folder.iterdir()}
    said = say(*PLAN.split(), "--out", plan_folder)
    assert (said.code, said.out) == (2, "")
    assert "is not an empty folder" in said.err
    assert {path: path.read_bytes() for path in plan_folder.iterdir()} == before


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("", "--classes: without --model and --data the number of classes must be given."),
        (
            "--classes 8 --pilot-samples 20",
            "--pilot-samples: expected from 50 to 100,000 ",
        ),
        ("--classes 8 --population 1", "--population: expected a share above 0 and below 1, got 1; "),
        ("--classes 8 --k 8", "--k: expected k below the number of classes (8), got 8."),
        ("--model cli_nets:brightness", "--data: a pilot needs --model and --data; leave out both"),
        ("--model cli_nets:brightness --data none.npz --sigma 0.25", "none.npz"),
        (
            "--model cli_nets:brightness --data images.npz --classes 5 --sigma 0.25",
            "has 3 classes, got 5; leave it out.",
        ),
        ("--classes 8 --sponsor none.yaml", "none.yaml"),
    ],
)
def test_what_is_refused(say, project, flags, sentence):
    said = say("plan", *flags.split())
    assert (said.code, said.out) == (2, "")
    assert sentence in said.err
    assert said.err.startswith("smoothcert: ")


def test_the_run_prints_predicted_against_realised(say, project, plan_folder, tmp_path):
    said = say(
        "certify",
        "--trust-model",
        "--config",
        plan_folder / "run.yaml",
        "--plan",
        plan_folder,
        "--out",
        tmp_path / "run",
    )
    assert said.code == 0
    assert "Forecast and results" in said.out
    assert re.search(r"\d+ of \d+ realised values are in their 95 % prediction intervals\.", said.out)
    shown = say("table", tmp_path / "run", "--show", "plan")
    assert shown.code == 0
    assert shown.out.strip() in said.out
    assert say("verify", tmp_path / "run").code == 0


def test_an_interrupted_run_keeps_its_forecast(say, project, plan_folder, tmp_path):
    run = tmp_path / "run"
    say("certify", "--trust-model", "--config", plan_folder / "run.yaml", "--plan", plan_folder, "--out", run)
    for path, drop in ((run / "events.jsonl", 1), (run / "ledger" / "local-0.jsonl", 2)):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-drop]))
    (run / "results" / "results.json").unlink()
    partial = say("table", run, "--show", "plan")
    assert "partial run" in partial.out
    said = say("resume", run, "--trust-model")
    assert said.code == 0
    assert "Forecast and results" in said.out
    assert say("verify", run).code == 0


def test_another_run_than_the_planned_is_refused(say, project, plan_folder, tmp_path):
    said = say(
        "certify",
        "--trust-model",
        "--config",
        plan_folder / "run.yaml",
        "--plan",
        plan_folder,
        "--n-max",
        "300",
        "--out",
        tmp_path / "r",
    )
    assert said.code == 2
    assert "(n_max: planned 200, now 300)" in said.err
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_an_entry_named_after_the_pilot_is_refused(say, project, plan_folder, tmp_path):
    settings = (plan_folder / "run.yaml").read_text()
    late = tmp_path / "late.yaml"
    late.write_text(f"{settings}\nprimary: {{sigma: 0.25, radius: 0.25}}\n")
    said = say("certify", "--trust-model", "--config", late, "--plan", plan_folder, "--out", tmp_path / "r")
    assert said.code == 2
    assert "primary, criteria: sigma 0.25, k 1, r 0.25 is not in the plan" in said.err
    assert not (tmp_path / "r").exists()
    early = tmp_path / "plan"
    trusted = ("--trust-model", "--config", early / "run.yaml")
    assert say("plan", "--trust-model", "--config", late, "--pilot", 8, "--pilot-samples", 60, "--out", early).code == 0
    assert say("certify", *trusted, "--plan", early, "--out", tmp_path / "r").code == 0
    assert "primary" in json.loads((tmp_path / "r" / "spec.json").read_text())["request"]


def test_a_missing_or_damaged_plan_is_refused(say, project, plan_folder, tmp_path):
    broken = shutil.copytree(plan_folder, tmp_path / "plan")
    (broken / "plan.json").write_text("{}")
    for place, words in ((tmp_path / "none", "found none in"), (broken, "is not a plan, or it was changed")):
        said = say(*COMMAND.split(), "--plan", place, "--out", tmp_path / "r")
        assert said.code == 2
        assert words in said.err
        assert not (tmp_path / "r").exists()


def test_a_run_without_a_plan_says_so(say, real_run):
    said = say("table", real_run, "--show", "plan")
    assert (said.code, said.out) == (2, "")
    assert "certified without --plan" in said.err
