"""What a run cost, added up from its lines."""

import pytest

from factories import make_line, make_spec
from smoothcert.evidence import Run, RunDirectory
from smoothcert.evidence.cost import costs
from smoothcert.evidence.ledger import Ledger


def a_run(tmp_path, lines, **request):
    spec = make_spec((0, 1), looks=(100, 1000), n0=20, sigma="0.25,0.5", **request)
    return Run(RunDirectory(tmp_path), spec, Ledger(tuple(lines), (), 0))


def test_samples_are_added_up_and_compared_with_a_fixed_number(tmp_path):
    lines = [
        make_line(0, 0, selection={0: 20}, looks=[{0: 100}], seconds=0.5),
        make_line(1, 1, selection={1: 20}, looks=[{1: 100}, {1: 1000}], seconds=1.5),
        make_line(0, 0, selection={0: 20}, looks=[{0: 100}], sigma=0.5, seconds=1.0),
    ]
    low, high, total = costs(a_run(tmp_path, lines))
    assert (low.passes, low.fixed_passes, low.images, low.seconds) == (1140, 2040, 2, 2.0)
    assert (high.passes, high.fixed_passes, high.images) == (120, 1020, 1)
    assert (total.sigma, total.passes, total.fixed_passes, total.seconds) == (None, 1260, 3060, 3.0)
    assert total.times_fewer == "2.4"
    assert total.rate == pytest.approx(420)


def test_no_selection_no_selection_samples(tmp_path):
    lines = [make_line(0, 0, looks=[{0: 100}])]
    assert costs(a_run(tmp_path, lines, target="label"))[0].fixed_passes == 1000


def test_an_empty_ledger_cost_nothing(tmp_path):
    total = costs(a_run(tmp_path, []))[-1]
    assert (total.passes, total.rate, total.times_fewer) == (0, 0.0, "1.0")
