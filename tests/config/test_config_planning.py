"""The settings of a plan: those of a run, a pilot, and one clear sentence for what is refused."""

import pytest

from smoothcert.config import Request, make_request
from smoothcert.config.plan import PlanSettings, make_plan_settings
from smoothcert.errors import SpecError

REFUSALS = [
    ("pilot_samples: expected from 50 to 100,000", {"pilot_samples": 49}),
    ("pilot: expected a whole number from 1", {"pilot": 0}),
    ("population: expected a share", {"population": 1}),
    ("population: expected a share", {"population": 60}),
    ("population: expected a share", {"population": float("nan")}),
    ("images: expected a whole number from 1", {"images": 0}),
    ("classes: expected 2 classes", {"classes": 1}),
    ("classes: without --model and --data", {"classes": None}),
    ("data: a pilot needs --model and --data", {"model": "m"}),
    ("model: a pilot needs --model and --data", {"data": "d"}),
    ("k: expected k below the number of classes (8)", {"k": (1, 8)}),
    ("alpha: expected a probability", {"alpha": 0.5}),
    ("pilots: there is no such setting", {"pilots": 3}),
]


@pytest.mark.parametrize(("fragment", "fields"), REFUSALS, ids=[str(fields) for _, fields in REFUSALS])
def test_each_refusal_names_its_setting(fragment, fields):
    with pytest.raises(SpecError) as refused:
        make_plan_settings(**{"classes": 8, **fields})
    assert str(refused.value).startswith(fragment)


def test_every_setting_of_a_run_is_one_of_a_plan():
    assert set(Request.model_fields) < set(PlanSettings.model_fields)
    asked = {"model": "w_{sigma}.safetensors", "data": "d.npz", "sigma": "0.50,1", "k": (1, 3), "n_max": 500}
    found = make_plan_settings(**asked, pilot=7)
    assert found.draws
    assert found.request() == make_request(**asked)
    assert [sigma.text for sigma in found.request().sigma] == ["0.50", "1"]
    assert type(found.request()) is Request


def test_without_classifier_and_images_nothing_is_drawn():
    assert not make_plan_settings(classes=2).draws
