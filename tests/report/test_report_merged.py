"""What the documents say of a run merged from shards: each thing once, and of every shard's test the worst."""

import pytest

from factories import deal_shards, simulate_run, unfinish
from smoothcert.evidence import merge, open_run
from smoothcert.evidence.events import LEVEL, append_event
from smoothcert.report.html_report.build import render
from smoothcert.report.memo.claim_box import noise_faults
from smoothcert.report.memo.context import gather
from smoothcert.report.memo.facts import records
from smoothcert.report.memo.settings import statistics
from smoothcert.report.memo.sponsor import read_sponsor
from smoothcert.report.notebook.facts import event_table


@pytest.fixture
def parts(tmp_path):
    return deal_shards(simulate_run(tmp_path / "whole", images=9), tmp_path, 3)


def material(parts, tmp_path):
    return gather(open_run(merge(parts, tmp_path / "merged").path), read_sponsor(None))


def test_a_noise_level_counts_once_however_many_shards_tested_it(parts, tmp_path):
    found = material(parts, tmp_path)
    assert statistics(found)["noise_test"].printed == "The delivered noise passed its test at 2 of 2 noise levels."
    assert statistics(found)["self_test"].printed.endswith("2 of 2 noise levels.")
    assert noise_faults(found) == 0


def test_a_test_that_failed_in_one_shard_failed(parts, tmp_path):
    failed = {"self_test": {"bit_equal": False}, "noise_test": {"passed": False}}
    unfinish(parts[1], drop=0)
    append_event(parts[1] / "events.jsonl", LEVEL, sigma=0.5, **failed)
    found = material(parts, tmp_path)
    assert statistics(found)["noise_test"].printed == "The delivered noise passed its test at 1 of 2 noise levels."
    assert statistics(found)["self_test"].printed.endswith("1 of 2 noise levels.")
    assert noise_faults(found) == 1
    assert not found.run.arithmetic_covered


def test_the_merge_stands_in_memo_page_and_notebook(parts, tmp_path):
    found = material(parts, tmp_path)
    assert "Merged from 3 shards, each with its own log of events." in records(found)["records"].printed
    page = render(found.run)
    assert "18 results of 3 shards, which locked the same spec; their own logs are in shards/" in page
    assert "6 results of shard 2/3, ledger SHA-256 " in page
    assert "shard-0-of-3: 6 results; shard-1-of-3: 6 results; shard-2-of-3: 6 results" in page
    rows = [(row[1], row[2]) for row in event_table(found.run).rows]
    assert ("merge", "3 shards, 18 ledger lines") in rows
    assert [what for what, _ in rows].count("spec locked") == 1
