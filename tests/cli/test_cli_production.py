"""`table --show production`: scenarios from the shell, with and without a sponsor's file."""

import json

import pytest

SPONSOR = """
production:
  studies_a_day: 1000
  devices:
    - {name: Fast, source: assumed, copies_per_second: 50000, hour: {amount: 2, currency: EUR, date: 2026-10-01}}
"""


def test_without_a_file_the_runs_own_device_is_shown_and_nothing_is_priced(say, real_run):
    said = say("table", real_run, "--show", "production")
    assert said.code == 0
    assert "this run, measured" in said.out
    assert "An estimated" in said.out
    assert "EUR" not in said.out


def test_a_file_names_devices_and_prices(say, real_run, tmp_path):
    path = tmp_path / "sponsor.yaml"
    path.write_text(SPONSOR)
    said = say("table", real_run, "--show", "production", "--sponsor", path)
    assert "EUR held 24 h" in said.out
    assert "50,000, stated" in said.out
    rows = json.loads(say("table", real_run, "--show", "production", "--sponsor", path, "--format", "json").out)
    fast = [row for row in rows if row["device"] == "Fast" and row["task"] == "predict"]
    assert [row["rate_origin"] for row in fast] == ["stated"]


def test_rates_are_shown(say, real_run):
    assert "fp32" in say("table", real_run, "--show", "rates").out


@pytest.mark.parametrize("show", ["results", "cost"])
def test_a_file_is_for_production_only(say, real_run, show):
    said = say("table", real_run, "--show", show, "--sponsor", "sponsor.yaml")
    assert said.code == 2
    assert f"--sponsor: expected it with --show production, got it with --show {show}." in said.err


def test_a_bad_section_is_refused(say, real_run, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("production: {votes: 5}")
    said = say("table", real_run, "--show", "production", "--sponsor", path)
    assert said.code == 2
    assert "votes: expected at least 11 at alpha 0.001" in said.err
