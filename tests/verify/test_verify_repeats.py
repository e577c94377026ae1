"""Repeated images and the forms of results.json: both are recomputed, and neither can be talked away."""

import pytest

from factories import simulate_run
from smoothcert.evidence import open_run
from smoothcert.evidence.directory import write_json
from smoothcert.evidence.results import results_record
from smoothcert.verify import verify
from tampering import edit_json


@pytest.mark.parametrize("told", ["untold", 1])
def test_a_run_with_repeats_verifies_without_population_bounds(tmp_path, told):
    path = simulate_run(tmp_path / "run", repeats=told)
    assert verify(path).faults == ()
    assert {entry.population for entry in open_run(path).results()} == {None}


@pytest.mark.parametrize("told", [0, 2])
def test_a_number_of_repeats_that_the_ledger_does_not_have_is_named(tmp_path, told):
    (fault,) = verify(simulate_run(tmp_path / "run", repeats=told)).faults[:1]
    assert "repeat" in fault


def test_population_bounds_written_in_spite_of_repeats_are_named(tmp_path):
    path = simulate_run(tmp_path / "run", repeats="untold")
    edit_json(path / "results" / "results.json", lambda record: record["cells"][0].update(population=0.5))
    assert any("population" in fault for fault in verify(path).faults)


def test_the_first_form_holds_in_a_run_of_its_time_alone(tmp_path):
    old, new = simulate_run(tmp_path / "old", repeats="untold"), simulate_run(tmp_path / "new", repeats=1)
    for path in (old, new):
        opened = open_run(path)
        write_json(path / "results" / "results.json", results_record(opened.spec, opened.ledger, form=1))
    assert verify(old).faults == ()
    assert any("format" in fault for fault in verify(new).faults)


@pytest.mark.parametrize("form", [1, 2])
def test_a_changed_number_is_named_in_both_forms(tmp_path, form):
    path = simulate_run(tmp_path / "run")
    opened = open_run(path)
    record = results_record(opened.spec, opened.ledger, form=form)
    record["cells"][0]["certified"] += 1
    write_json(path / "results" / "results.json", record)
    assert any("certified" in fault for fault in verify(path).faults)


def test_a_form_of_a_newer_version_is_compared_by_the_keys_that_both_have(tmp_path):
    path = simulate_run(tmp_path / "run")
    edit_json(path / "results" / "results.json", lambda record: record.update(format=3, more=[1]))
    assert verify(path).faults == ()
    edit_json(path / "results" / "results.json", lambda record: record["cells"][0].update(certified=99))
    assert any("certified" in fault for fault in verify(path).faults)
