"""Runs with betting: verified by a second implementation; a rule that errs and votes that were changed are named."""

import re
from dataclasses import replace

import numpy as np
import pytest

import smoothcert.evidence.results as results
import smoothcert.stats.betting.rule as rule
from factories import make_line, make_spec, simulate_run
from smoothcert.evidence import open_run
from smoothcert.evidence.outcomes import outcomes, plan_of
from smoothcert.stats import r_max, rule_of
from smoothcert.stats.betting import certified_by_betting
from smoothcert.verify import verify
from tampering import edit_json, edit_lines, rechain

ASKED = {"images": 12, "k": "1,3", "alpha": 0.05, "bound": "betting", "sigma": "0.5", "radius": "0.1,0.25,3"}


def honest(path, **settings):
    return simulate_run(path, **{**ASKED, **settings})


@pytest.fixture
def run(tmp_path):
    return honest(tmp_path / "run")


@pytest.mark.parametrize("settings", [{}, {"target": "prediction"}, {"stopping": "fixed"}, {"stop": "never"}], ids=str)
def test_what_is_checked_is_counted(tmp_path, settings):
    report = verify(honest(tmp_path / "run", **settings))
    assert report.faults == ()
    assert (report.radii, report.decisions, report.tested) == (12 * 2, 12 * 2 * 3, "tests by betting")
    assert report.bounds > report.radii


def test_unattainable_radii_and_at_least(run, tmp_path):
    table = open_run(run).results()
    assert [entry.attainable for entry in table] == [True, True, False] * 2
    assert {entry.at_least for entry in open_run(run).results((0.2,))} == {True}
    assert {entry.at_least for entry in open_run(honest(tmp_path / "all", stop="never")).results((0.2,))} == {False}
    by_radius = [entry.certified for entry in open_run(run).results((0.1, 0.15, 0.25))][:3]
    assert by_radius == sorted(by_radius, reverse=True)


def one_more(votes, bets):
    found = certified_by_betting(votes, bets)
    found[np.arange(len(found)), np.minimum(found.sum(axis=1), found.shape[1] - 1)] = True
    return found


def one_less(votes, bets):
    found = certified_by_betting(votes, bets)
    found[np.arange(len(found)), np.maximum(found.sum(axis=1) - 1, 0)] = False
    return found


def by_batch(votes, bets):
    """All votes as one batch: the bets then know nothing, but the wealth is another one."""
    return certified_by_betting(votes[:, -1:], bets)


def every_alpha(votes, bets):
    return certified_by_betting(votes, replace(bets, alpha=2 * bets.alpha))


def no_slack(votes, bets):
    return certified_by_betting(votes, replace(bets, k=1)) if bets.k > 1 else certified_by_betting(votes, bets)


@pytest.mark.parametrize("wrong", [one_more, one_less, by_batch, every_alpha, no_slack])
def test_a_rule_that_errs_is_named(tmp_path, monkeypatch, wrong):
    monkeypatch.setattr(rule, "certified_by_betting", wrong)
    faults = verify(honest(tmp_path / "run")).faults
    assert any(re.search(r"image \d+, k \d: .* is not the largest radius of the grid", f) for f in faults), faults


def test_a_wrong_r_max_is_named(tmp_path, monkeypatch):
    def nudged(plan, k):
        return plan.grid[list(plan.grid).index(r_max(plan, k)) - 1]

    monkeypatch.setattr(results, "r_max", nudged)
    faults = verify(honest(tmp_path / "run")).faults
    assert any("which is not the radius of unanimous votes" in fault for fault in faults)


def added(change):
    def changed(records):
        change(records[1]["added"])

    return changed


CHANGES = {
    "a vote moved to the label": lambda batches: batches[0].update({"1": batches[0].get("1", 0) + 1}),
    "a batch left out": lambda batches: batches.pop(0),
    "two batches exchanged": lambda batches: batches.insert(0, batches.pop()),
    "two batches made one": lambda batches: batches.insert(0, dict_sum(batches.pop(0), batches.pop(0))),
    "a batch too many": lambda batches: batches.extend([{"0": 1}] * 40),
    "a negative number": lambda batches: batches[0].update({"0": -1}),
}


def dict_sum(a, b):
    return {c: a.get(c, 0) + b.get(c, 0) for c in {*a, *b}}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_batches_are_named_even_in_a_forged_log(run, name):
    edit_lines(run, added(CHANGES[name]))
    if name != "a negative number":
        rechain(run)
    assert not verify(run).passed


def test_a_line_of_version_1_is_a_fault(run):
    lines = open_run(run).ledger.lines
    path = run / "ledger" / "local-0.jsonl"
    path.write_text("".join(replace(line, compact=False).to_json() + "\n" for line in lines))
    rechain(run)
    assert any("expected a line of version 2" in fault for fault in verify(run).faults)


def test_a_grid_without_a_radius_of_the_run_is_a_fault(run):
    edit_json(run / "spec.json", lambda spec: spec["grid"][0].remove(0.25))
    rechain(run)
    assert any("radius 0.25 at sigma 0.5 is attainable and not in the grid" in fault for fault in verify(run).faults)


def test_wrong_and_abstained_images_of_a_label_target():
    spec = make_spec([0, 0, 0, 0, 0], 4, (100, 110), bound="betting", k="1,2", n_max=110)
    looks = [[{0: 100}], [{0: 40, 1: 60}], [{0: 50, 1: 50}], [{0: 30, 1: 40, 2: 30}], []]
    lines = [make_line(i, 0, None, each, compact=True) for i, each in enumerate(looks)]
    one, two = (outcomes(spec, lines, 0.25, k) for k in (1, 2))
    assert one.wrong.tolist() == [False, True, False, True, False]
    assert one.abstained.tolist() == [False, False, True, False, True]
    assert two.wrong.tolist() == [False] * 5
    assert (one.radius > 0).tolist() == [True] + [False] * 4
    assert one.certificates((0.25,))[0].certified_at == (0.25,)
    bounds = make_spec([0] * 5, 4, (100, 110), target="label", n_max=110)
    assert not outcomes(bounds, [replace(line, compact=False) for line in lines], 0.25, 1).wrong.any()


def test_an_image_certified_at_k_although_another_class_leads_is_not_wrong():
    spec = make_spec([0], 5, (1000,), bound="betting", k="3", n_max=1000, stopping="fixed")
    (line,) = (make_line(0, 0, None, [{0: 400, 1: 500, 2: 100}], compact=True),)
    found = outcomes(spec, [line], 0.25, 3)
    assert (found.radius[0] > 0, bool(found.wrong[0])) == (True, False)
    assert found.radius[0] <= rule_of(plan_of(spec, 0.25), 3).r_max
