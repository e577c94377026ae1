"""A forecast as a value: its record, its place in the event log, and what a run must share with it."""

import json
from dataclasses import replace

import pytest

from factories import make_forecast, make_spec
from refusals import refuses
from smoothcert.evidence.events import Event
from smoothcert.evidence.run import PLANNED, difference, first_unnamed, forecast_of, named_entries, settings_of
from smoothcert.formats.plan import Estimate, Forecast


def test_a_record_reads_back_as_the_same_forecast():
    forecast = make_forecast(make_spec())
    assert Forecast.from_record(json.loads(json.dumps(forecast.to_record()))) == forecast


@pytest.mark.parametrize("drop", ["settings", "images", "pilot", "cells", "levels"])
def test_a_damaged_record_is_refused(drop):
    record = make_forecast(make_spec()).to_record()
    del record[drop]
    with refuses("E-RUN-055"):
        Forecast.from_record(record)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        (lambda record: record, {"stopping": "never"}),
        (lambda record: record, {"images": None}),
        (lambda record: record["pilot"], {"batch": "large"}),
        (lambda record: record["cells"][0], {"looks": 0.5}),
        (lambda record: record["levels"][0], {"taken": [[100, 0.5, 3]]}),
        (lambda record: record["levels"][0]["rates"][0], {"median": "fast"}),
    ],
)
def test_a_changed_record_is_refused(part, change):
    record = json.loads(json.dumps(make_forecast(make_spec()).to_record()))
    part(record).update(change)
    with refuses("E-RUN-055"):
        Forecast.from_record(record)


@pytest.mark.parametrize("record", [{}, None, [3], {"settings": 3}, {"settings": {}, "images": "many"}])
def test_other_records_are_refused(record):
    with refuses("E-RUN-055"):
        Forecast.from_record(record)


def test_the_event_log_holds_it():
    forecast = make_forecast(make_spec())
    events = [Event("start", "", "", {}), Event(PLANNED, "", "", {"forecast": forecast.to_record()})]
    assert forecast_of(events) == forecast
    assert forecast_of(events[:1]) is None


def test_a_run_of_the_same_settings_does_not_differ():
    forecast = make_forecast(make_spec())
    assert difference(forecast, make_spec(seed=8)) is None
    assert difference(forecast, make_spec(precision="bf16")) is None
    assert difference(forecast, make_spec(alpha=0.01)) == "alpha: planned 0.001, now 0.01"
    assert difference(forecast, make_spec(sigma="0.25,0.5")) == "sigma: planned 0.25, now 0.25, 0.5"


def test_a_cell_is_named_before_the_pilot_or_not_at_all():
    first, second = {"sigma": 0.25, "radius": 0.25}, {"sigma": 0.25, "radius": 0.5, "at_least": 0.5}
    bare, named = make_spec(), make_spec(primary=first, criteria=[second])
    before = replace(make_forecast(named), settings=settings_of(named) | named_entries(named))
    assert first_unnamed(before, named) is None
    assert first_unnamed(before, bare) is None
    assert difference(before, bare) is None
    assert first_unnamed(before, make_spec(criteria=[{**second, "at_least": 0.9}])) is None
    for after in (make_forecast(bare), replace(before, settings=settings_of(bare) | named_entries(bare))):
        assert first_unnamed(after, bare) is None
        assert first_unnamed(after, named) == named.request.primary
        assert first_unnamed(after, make_spec(criteria=[second])) == make_spec(criteria=[second]).request.criteria[0]


def test_long_hashes_are_cut_in_words():
    forecast, spec = make_forecast(make_spec()), make_spec()
    other = spec.model_copy(update={"data": spec.data.model_copy(update={"sha256": "sha256:" + "e" * 64})})
    assert difference(forecast, other) == "data: planned sha256:dddddddddddd..., now sha256:eeeeeeeeeeee..."


def test_seconds_are_copies_over_the_rate():
    forecast = make_forecast(make_spec())
    level = forecast.levels[0]
    assert forecast.seconds(level) == Estimate(5 * 200 / 100, 5 * 150 / 200, 5 * 300 / 50)


def test_an_interval_holds_its_ends():
    assert Estimate(0.5, 0.4, 0.6).holds(0.4)
    assert Estimate(None, 0.4, 0.6).holds(0.6)
    assert not Estimate(0.5, 0.4, 0.6).holds(0.61)
