"""The settings of a plan: those of a run, a pilot, and one clear sentence for what is refused."""

import pytest

from smoothcert.config import Request, make_request
from smoothcert.config.plan import PlanSettings, make_plan_settings
from smoothcert.errors import SpecError

REFUSALS = {
    "pilot_copies: expected from 50 to 100,000 noisy copies an image, got 49; fewer tell too little, and more are a "
    "run of their own.": {"pilot_copies": 49},
    "pilot: expected a whole number from 1 to 10,000,000, got 0.": {"pilot": 0},
    "population: expected a share above 0 and below 1, got 1; 60 % is written 0.6.": {"population": 1},
    "population: expected a share above 0 and below 1, got 60; 60 % is written 0.6.": {"population": 60},
    "population: expected a share above 0 and below 1, got nan; 60 % is written 0.6.": {"population": float("nan")},
    "images: expected a whole number from 1 to 10,000,000, got 0.": {"images": 0},
    "classes: expected 2 classes or more, got 1.": {"classes": 1},
    "classes: without --model and --data the number of classes must be given.": {"classes": None},
    "data: a pilot needs --model and --data; leave out both to plan without one, with --classes.": {"model": "m"},
    "model: a pilot needs --model and --data; leave out both to plan without one, with --classes.": {"data": "d"},
    "k: expected k below the number of classes (8), got 8.": {"k": (1, 8)},
    "alpha: expected a probability from 1e-12 to below 0.5, got 0.5; 0.001 is usual.": {"alpha": 0.5},
    "pilots: there is no such setting.": {"pilots": 3},
}


@pytest.mark.parametrize(("sentence", "fields"), REFUSALS.items(), ids=[str(fields) for fields in REFUSALS.values()])
def test_each_refusal_has_its_sentence(sentence, fields):
    with pytest.raises(SpecError) as refused:
        make_plan_settings(**{"classes": 8, **fields})
    assert str(refused.value) == sentence


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
