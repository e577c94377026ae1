"""A whole plan, with and without a pilot."""

import json
import subprocess
import sys

import pytest

from networks import loaded, small_request
from refusals import refuses
from smoothcert.config.plan import PlanSettings, make_plan_settings
from smoothcert.engine.run import certify, freeze_spec
from smoothcert.errors import SpecError
from smoothcert.evidence import open_run
from smoothcert.evidence.run import difference
from smoothcert.formats.plan import Forecast
from smoothcert.planning.plan import plan

NO_TORCH = """
import sys
from smoothcert.planning.plan import plan
from smoothcert.config.plan import make_plan_settings
found = plan(make_plan_settings(classes=8, k=(1, 3), n_max=1000, sigma="0.25"))
assert found.forecast is None and found.basis is None
assert len(found.outlook.reaches) == 6
assert all(each.certified is None and each.copies is None for each in found.outlook.changes)
assert "torch" not in sys.modules
"""


def settings(data, **more) -> PlanSettings:
    """The settings of a small run, and of a pilot of half its images."""
    asked = small_request("nets:robust", data, **{"k": (1, 2), **more})
    fields = {name: getattr(asked, name) for name in type(asked).model_fields}
    return make_plan_settings(**fields, pilot=6, pilot_samples=60)


@pytest.fixture(scope="module")
def planned(grey):
    return plan(settings(grey))


def test_without_a_pilot_no_torch_is_needed():
    subprocess.run([sys.executable, "-c", NO_TORCH], check=True)


def test_the_forecast_is_about_the_run_of_these_settings(planned, grey):
    forecast = planned.forecast
    spec = freeze_spec(loaded(planned.settings.request()))
    assert difference(forecast, spec) is None
    assert (forecast.images, forecast.pilot.images, forecast.pilot.copies) == (12, 6, 60)
    assert [(entry.sigma, entry.k, entry.radius) for entry in forecast.cells] == [
        (0.25, k, r) for k in (1, 2) for r in (0.1, 0.2)
    ]
    assert all(entry.looks.value > 0.9 for entry in forecast.cells)
    assert Forecast.from_record(json.loads(json.dumps(forecast.to_record()))) == forecast
    assert json.dumps(planned.to_record())


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"alpha": 0.01}, "alpha: planned 0.001, now 0.01"),
        ({"n_max": 400}, "n_max: planned 300, now 400"),
        ({"k": (1,)}, "k: planned 1, 2, now 1"),
        ({"radius": (0.1,)}, "radius: planned 0.1, 0.2, now 0.1"),
        ({"sigma": "0.5"}, "sigma: planned 0.25, now 0.5"),
        ({"bound": "cohen"}, "bound: planned rankcp, now cohen"),
        ({"stopping": "fixed"}, "stopping: planned looks, now fixed"),
        ({"n0": 30}, "n0: planned 20, now 30"),
        ({"target": "label"}, "target: planned prediction, label, now label, label"),
        ({"limit": 8}, "images: planned 12, now 8"),
        ({"model": "nets:brittle"}, "classifier at sigma 0.25: planned sha256:"),
    ],
)
def test_a_run_of_other_settings_is_refused_by_the_first_difference(planned, tmp_path, changed, named):
    asked = planned.settings.request().model_dump() | changed
    with pytest.raises(SpecError) as refused:
        certify(type(planned.settings.request())(**asked), tmp_path / "run", plan=planned.forecast)
    assert named in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_seed_precision_and_batch_do_not_matter(planned, tmp_path):
    asked = planned.settings.request().model_copy(update={"seed": 99, "batch_size": 32, "precision": "bf16"})
    certify(asked, tmp_path / "run", plan=planned.forecast)
    run = open_run(tmp_path / "run")
    events = [event.event for event in run.events]
    assert events[:3] == ["spec locked", "planned", "start"]
    assert run.sealed


def test_a_pilot_larger_than_the_data_takes_all_and_says_so(grey):
    found = plan(settings(grey).model_copy(update={"pilot": 50}))
    assert found.forecast.pilot.images == 12
    assert found.notes == ("The pilot took all 12 images available, fewer than --pilot 50.",)


def test_a_run_of_more_images_than_there_are_is_forecast_and_does_not_match(grey):
    found = plan(settings(grey).model_copy(update={"images": 1000}))
    assert found.forecast.images == found.images == 1000
    assert "images: planned 1000, now 12" in difference(found.forecast, freeze_spec(loaded(found.settings.request())))


def test_classes_that_contradict_the_data_are_refused(grey):
    with refuses("E-SPEC-023", match="has 4 classes, got 7; leave it out"):
        plan(settings(grey).model_copy(update={"classes": 7}))


def test_the_basis_of_costs_is_the_pilot(planned):
    basis, forecast = planned.basis, planned.forecast
    assert basis.origin == "pilot"
    assert basis.images == 12
    assert basis.copies == forecast.levels[0].looks.value
    assert basis.passes == round(12 * basis.copies)
    assert basis.rate == forecast.levels[0].rates[0].median
    assert 0 <= basis.abstention <= 1
    assert basis.prediction_copies <= 1000
    assert basis.joules is None or basis.joules > 0
