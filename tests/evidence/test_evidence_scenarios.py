"""Cost scenarios: a day by hand, and what holds for any basis: linear, monotone, bracketed, unknown stays unknown."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothcert.config import Production, make_production
from smoothcert.evidence.scenarios import scenarios
from smoothcert.formats.cost import (
    AGAIN,
    AMOUNTS,
    CERTIFY,
    CERTIFY_MOST,
    PREDICT,
    PREDICT_MOST,
    RUN,
    Amount,
    Basis,
    around,
    exactly,
)

BASIS = Basis(
    sigma=0.5,
    device="cpu",
    precision="fp32",
    rate=1000.0,
    rate_low=800.0,
    rate_high=1250.0,
    joules=None,
    energy_source="unknown: this machine reports no RAPL energy",
    copies=3000.0,
    images=800,
    passes=2_400_000,
    seconds=2400.0,
    abstention=0.04,
    prediction_copies=200.0,
    origin="run",
    copies_error=50.0,
    copies_most=10_100,
    passes_error=40_000.0,
    abstention_error=0.01,
    prediction_error=10.0,
    batch=512,
)
PRICED = {"name": "PC", "source": "quote", "hour": {"amount": 0.5, "currency": "EUR", "date": "2026-10-01"}}
FAST = {
    "name": "Accelerator",
    "source": "assumed",
    "copies_per_second": 100_000,
    "watts": 500,
    "hour": {"amount": 3, "currency": "USD", "date": "2026-10-01"},
}
STATED = {"studies_a_day": [1_000, 1_000_000], "utilisation": 0.5, "devices": [FAST, PRICED]}


def row(rows, task, device="PC", studies=None):
    return next(r for r in rows if (r.task, r.device, r.studies) == (task, device, studies))


def test_a_day_by_hand():
    rows = scenarios(BASIS, make_production(STATED))
    # 1,000,000 studies x 200 samples / 1,000 samples per second = 200,000 s = 55.6 h; a device works 12 h a day
    found = row(rows, PREDICT, studies=1_000_000)
    assert found.hours.value == pytest.approx(200_000 / 3600)
    assert found.devices.value == 5
    assert found.money.value == pytest.approx(0.5 * 200_000 / 3600)
    assert (found.held.value, found.currency) == (5 * 24 * 0.5, "EUR")
    assert found.kwh is None
    # the spread: 180 samples at 1,250 per second, 220 at 800
    assert found.hours.low == pytest.approx(1e6 * 180 / 1250 / 3600)
    assert found.hours.high == pytest.approx(1e6 * 220 / 800 / 3600)
    assert (found.devices.low, found.devices.high) == (math.ceil(40 / 12), math.ceil(76.4 / 12))
    assert found.abstention == Amount(0.04, 0.02, 0.06, "extrapolated")
    assert found.latency.value == pytest.approx(512 / 1000)  # one whole batch


def test_a_stated_device_by_hand():
    found = row(scenarios(BASIS, make_production(STATED)), CERTIFY_MOST, "Accelerator", 1_000_000)
    hours = 1e6 * 10_100 / 1e5 / 3600
    assert found.rate == exactly(100_000, "stated")
    assert found.hours == Amount(hours, hours, hours, "extrapolated")
    assert found.kwh.value == pytest.approx(0.5 * hours)
    assert found.money.value == pytest.approx(3 * hours)
    assert (found.devices.value, found.held.value, found.currency) == (3, 3 * 24 * 3, "USD")


def test_the_run_is_measured_and_everything_else_is_not():
    rows = scenarios(BASIS, make_production(STATED))
    found = row(rows, RUN)
    assert (found.hours, found.copies) == (exactly(2400 / 3600, "measured"), exactly(2_400_000, "measured"))
    assert found.money.origin == "measured"
    for each in rows:
        if each.task != RUN:
            derived = (each.hours, each.kwh, each.money, each.held, each.devices, each.latency)
            assert {number.origin for number in derived if number is not None} == {"extrapolated"}
    assert {each.rate.origin for each in rows} == {"measured", "stated"}


def test_the_rows():
    rows = scenarios(BASIS, make_production(STATED))
    assert [(r.task, r.device) for r in rows[:3]] == [(RUN, "PC"), (AGAIN, "PC"), (AGAIN, "Accelerator")]
    tasks = [PREDICT, PREDICT_MOST, CERTIFY, CERTIFY_MOST]
    assert [(r.studies, r.device, r.task) for r in rows[3:]] == [
        (n, device, task) for n in (1_000, 1_000_000) for device in ("PC", "Accelerator") for task in tasks
    ]
    assert [r.device for r in scenarios(BASIS, Production())[:2]] == ["cpu", "cpu"]


def test_re_certification_repeats_the_run_and_completes_a_partial_one():
    again = row(scenarios(BASIS, make_production(STATED)), AGAIN)
    assert again.hours.value == pytest.approx(2400 / 3600)
    assert again.hours.low < again.hours.value < again.hours.high
    half = row(scenarios(replace(BASIS, done=0.5), make_production(STATED)), AGAIN)
    assert half.hours.value == pytest.approx(2 * again.hours.value)
    assert half.copies.value == 2 * again.copies.value


def test_measured_energy_goes_before_stated_power_on_the_device_of_the_run():
    asked = make_production({"devices": [{**PRICED, "watts": 100}]})
    stated = row(scenarios(BASIS, asked), CERTIFY, studies=1000)
    assert stated.kwh.value == pytest.approx(0.1 * stated.hours.value)
    metered = replace(BASIS, joules=0.1, joules_run=240_000.0, metered=2_400_000, energy_source="RAPL")
    rows = scenarios(metered, asked)
    assert row(rows, CERTIFY, studies=1000).kwh.value == pytest.approx(1000 * 3000 * 0.1 / 3.6e6)
    assert row(rows, RUN).kwh == exactly(240_000 / 3.6e6, "measured")
    partly = row(scenarios(replace(metered, joules_run=200_000.0, metered=2_000_000), asked), RUN).kwh
    assert (partly.value, partly.origin) == (pytest.approx(2.4e6 * 0.1 / 3.6e6), "extrapolated")


def test_a_study_alone_waits_for_padding():
    alone = replace(BASIS, alone={CERTIFY: 6000.0})
    rows = scenarios(alone, make_production(STATED))
    assert row(rows, CERTIFY, studies=1000).latency.value == pytest.approx(6.0)
    assert row(rows, CERTIFY, "Accelerator", 1000).latency.value == pytest.approx(0.06)


def test_a_forecast_is_never_called_measured():
    rows = scenarios(replace(BASIS, origin="pilot"), make_production(STATED))
    found = row(rows, RUN)
    assert (found.copies.origin, found.hours.origin) == ("extrapolated", "extrapolated")
    assert found.hours.low < found.hours.value < found.hours.high
    assert row(rows, CERTIFY, studies=1000).copies.origin == "extrapolated"


UNKNOWN = {
    "rate": {"rate": None, "rate_low": None, "rate_high": None, "seconds": 0.0},
    "energy": {"joules": None},
    "prediction": {"prediction_copies": None, "abstention": None},
    "most": {"copies_most": None},
}


@pytest.mark.parametrize("missing", UNKNOWN)
def test_what_is_unknown_is_none_and_never_zero(missing):
    rows = scenarios(replace(BASIS, **UNKNOWN[missing]), make_production({"devices": [PRICED]}))
    numbers = [getattr(each, name) for each in rows for name in AMOUNTS]
    assert any(number is None for number in numbers)
    assert all(number.value > 0 and number.low > 0 for number in numbers if number is not None)
    if missing == "rate":
        assert all(each.hours is None and each.devices is None and each.money is None for each in rows)
    if missing == "energy":
        assert all(each.kwh is None for each in rows)
    if missing == "prediction":
        assert row(rows, PREDICT, studies=1000).hours is None
        assert row(rows, PREDICT_MOST, studies=1000).hours is not None


bases = st.builds(
    lambda rate, down, up, copies, error, mean: replace(
        BASIS,
        rate=rate,
        rate_low=rate * down,
        rate_high=rate * up,
        copies=copies,
        copies_error=copies * error,
        prediction_copies=mean,
        prediction_error=mean * error,
    ),
    st.floats(1, 1e7),
    st.floats(0.1, 1),
    st.floats(1, 10),
    st.floats(10, 10_000),
    st.floats(0, 2),
    st.floats(11, 1000),
)


@settings(max_examples=80)
@given(bases, st.integers(1, 10**8), st.integers(2, 9), st.floats(0.01, 1))
def test_cost_is_linear_devices_are_monotone_and_low_is_below_high(basis, studies, times, utilisation):
    asked = make_production(
        {"studies_a_day": [studies, times * studies], "utilisation": utilisation, "devices": [FAST, PRICED]}
    )
    rows = scenarios(basis, asked)
    for each in rows:
        for name in AMOUNTS:
            number = getattr(each, name)
            if number is not None:
                assert number.low <= number.value <= number.high
                assert number.value > 0
        if each.studies == studies:
            more = row(rows, each.task, each.device, times * studies)
            assert more.hours.value == pytest.approx(times * each.hours.value)
            assert more.money.value == pytest.approx(times * each.money.value)
            assert each.devices.value <= more.devices.value <= times * each.devices.value
            assert each.devices.value == int(each.devices.value) >= 1
            # enough devices, and no device too many
            assert each.devices.value * 24 * utilisation >= each.hours.value * (1 - 1e-8)
            assert each.devices.value == 1 or (each.devices.value - 1) * 24 * utilisation < each.hours.value
            assert each.held.value >= each.money.value * (1 - 1e-8)
    for mean, most in ((PREDICT, PREDICT_MOST), (CERTIFY, CERTIFY_MOST)):
        for device in ("PC", "Accelerator"):
            assert row(rows, mean, device, studies).hours.value <= row(rows, most, device, studies).hours.value * 1.0001


@settings(max_examples=60)
@given(st.floats(1, 1e6), st.floats(0, 1e6), st.floats(0, 1), st.floats(1, 1e3))
def test_a_mean_stays_inside_its_range(value, error, least, times):
    found = around(value, error, least, value * times, "measured")
    assert least <= found.low <= value <= found.high <= value * times
