"""The production section: what may be stated, and one clear sentence for what may not."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refusals import refuses
from smoothcert.config import Production, make_production
from smoothcert.errors import SpecError
from smoothcert.stats import prediction_looks
from smoothcert.stats.prediction import least_votes

HERE = {"name": "Reading-room PC", "source": "own"}
FAST = {"name": "Accelerator", "source": "assumed", "copies_per_second": 2e5}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"votes": 5}, "votes: expected at least 11 at alpha 0.001"),
        ({"votes": 0}, "votes: expected from 1 to 100,000"),
        ({"votes": 10**9}, "votes: expected from 1 to 100,000"),
        ({"alpha": 0.5}, "alpha: expected a probability from 1e-12 to below 0.5, got 0.5; 0.001 is usual."),
        ({"alpha": float("nan")}, "alpha: expected a probability"),
        ({"utilisation": 50}, "utilisation: expected a share of the day from 0.01 to 1, got 50; 50 % is written 0.5."),
        ({"utilisation": 0}, "utilisation: expected a share"),
        ({"studies_a_day": []}, "studies_a_day: expected 1 to 8 distinct"),
        ({"studies_a_day": [5, 5]}, "studies_a_day: expected 1 to 8 distinct"),
        ({"studies_a_day": [0]}, "studies_a_day: expected from 1 to 1,000,000,000"),
        ({"studies_a_day": "1,500"}, "studies_a_day: input should be a valid tuple, got '1,500'."),
        ({"devices": [FAST, FAST]}, "devices: expected devices with distinct names, got Accelerator, Accelerator."),
        (
            {"devices": [HERE, {**HERE, "name": "H100"}]},
            "devices: expected copies_per_second",
        ),
        ({"devices": [{"name": "x"}]}, "devices.source: this setting is required but was not given."),
        ({"devices": [{**FAST, "source": "  "}]}, "devices.source: expected a few words, got none."),
        ({"devices": [{**FAST, "copies_per_second": 0}]}, "devices.copies_per_second: expected a rate"),
        ({"devices": [{**FAST, "watts": float("inf")}]}, "devices.watts: expected a power in watts above 0"),
        ({"devices": [{**FAST, "watts": -1}]}, "got -1."),
        (
            {"devices": [{**FAST, "hour": {"amount": 0, "currency": "EUR", "date": "2026-01-01"}}]},
            "devices.hour.amount: expected a price above 0 and at most 1,000,000, got 0.",
        ),
        ({"devices": [{**FAST, "hour": {"amount": 1, "currency": "EUR"}}]}, "devices.hour.date: this setting is requ"),
        ({"devices": [{**FAST, "hour": {"amount": 1, "currency": "EUR", "date": "soon"}}]}, "devices.hour.date: "),
        ({"kwh": 3}, "kwh: there is no such setting."),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(fields, expected):
    with pytest.raises(SpecError) as error:
        make_production(fields)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


def test_the_defaults():
    assert make_production({}) == Production()
    assert (Production().votes, Production().studies_a_day) == (1000, (1_000, 100_000, 10_000_000))
    assert Production().here is None


def test_studies_are_sorted_and_a_single_number_is_a_list_of_one():
    assert make_production({"studies_a_day": [20, 10]}).studies_a_day == (10, 20)
    assert make_production({"studies_a_day": 7}).studies_a_day == (7,)


def test_the_device_of_the_run_is_the_one_without_a_rate():
    assert make_production({"devices": [FAST, HERE]}).here.name == "Reading-room PC"
    assert make_production({"devices": [FAST]}).here is None


def test_words_are_one_line():
    assert make_production({"devices": [{**FAST, "source": "two\n lines"}]}).devices[0].source == "two lines"


def test_json_gives_the_same_section_back():
    stated = make_production({"devices": [{**FAST, "hour": {"amount": 1, "currency": "EUR", "date": "2026-10-01"}}]})
    assert make_production(json.loads(json.dumps(stated.model_dump(mode="json")))) == stated


@settings(max_examples=60)
@given(st.floats(1e-12, 0.49))
def test_what_the_door_admits_can_decide(alpha):
    least = least_votes(alpha)
    assert make_production({"votes": least, "alpha": alpha}).votes == least
    assert prediction_looks(least, alpha)[-1] == least
    with refuses("E-SPEC-005", match=r"can never decide|expected from 1"):
        make_production({"votes": least - 1, "alpha": alpha})
