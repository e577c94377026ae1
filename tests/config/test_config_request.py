import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from factories import error_of
from refusals import refuses
from smoothcert.config import Request, Sigma, make_request
from smoothcert.errors import SpecError

REFUSALS = {
    "alpha: expected a probability from 1e-12 to below 0.5, got 0.5; 0.001 is usual.": {"alpha": 0.5},
    "alpha: expected a probability from 1e-12 to below 0.5, got 0.0; 0.001 is usual.": {"alpha": 0},
    "alpha: expected a probability from 1e-12 to below 0.5, got nan; 0.001 is usual.": {"alpha": float("nan")},
    "alpha: input should be a valid number, unable to parse string as a number, got 'low'.": {"alpha": "low"},
    "sigma: expected noise levels above 0 and at most 4, in units of the [0, 1] range, got 64; "
    "divide a sigma in grey levels by 255.": {"sigma": "0.25,64"},
    "sigma: expected noise levels above 0 and at most 4, in units of the [0, 1] range, got nan; "
    "divide a sigma in grey levels by 255.": {"sigma": "nan"},
    "sigma: expected a number, got 'big'.": {"sigma": "big"},
    "sigma: expected a number, got True.": {"sigma": True},
    "sigma: expected a number, got {'a': 1}.": {"sigma": {"a": 1}},
    "sigma: expected at least one value, got none.": {"sigma": ""},
    "sigma: expected distinct values, got 0.5, 0.5.": {"sigma": "0.5 0.50"},
    "radius: expected L2 radii above 0 and at most 100, in units of the [0, 1] range, got 0.0.": {"radius": "0 1"},
    "radius: expected L2 radii above 0 and at most 100, in units of the [0, 1] range, got inf.": {"radius": "inf"},
    "radius: expected distinct values, got 1.0, 1.0.": {"radius": [1, 1]},
    "k: expected k of 1 or more, got 0.": {"k": [3, 0]},
    "k: expected distinct values, got 1, 1.": {"k": "1,1"},
    "k: input should be a valid integer, got a number with a fractional part, got 1.5.": {"k": 1.5},
    "n_max: expected at least 100, the first look, got 99; raise --n-max or use --stopping fixed.": {"n_max": 99},
    "n_max: expected a whole number from 1 to 10,000,000, got 10000001.": {"n_max": 10_000_001},
    "n0: expected a whole number from 1 to 10,000,000, got 0.": {"n0": 0},
    "limit: expected a whole number from 1 to 10,000,000, got -2.": {"limit": -2},
    "batch_size: expected a whole number from 1 to 10,000,000, got 0.": {"batch_size": 0},
    "seed: expected a whole number from 0 to 2^64 - 1, got 18446744073709551616.": {"seed": 2**64},
    "seed: expected a whole number from 0 to 2^64 - 1, got -1.": {"seed": -1},
    "quantise: expected 8, 12 or 16 bits, got 10.": {"quantise": 10},
    "bound: input should be 'rankcp', 'simuem', 'cohen' or 'betting', got 'exact'.": {"bound": "exact"},
    "target: input should be 'auto', 'prediction' or 'label', got 'both'.": {"target": "both"},
    "stopping: input should be 'looks' or 'fixed', got 'never'.": {"stopping": "never"},
    "noise: input should be 'grid' or 'float', got 'uniform'.": {"noise": "uniform"},
    "precision: input should be 'fp32', 'bf16' or 'fp16', got 'int8'.": {"precision": "int8"},
    "device: input should be 'auto', 'cpu' or 'cuda', got 'tpu'.": {"device": "tpu"},
    "compile: input should be 'off' or 'on', got 'yes'.": {"compile": "yes"},
    "model: input should be a valid string, got 3.": {"model": 3},
    "nmax: there is no such setting.": {"nmax": 1000},
    "k: expected at most 50 with bound = betting, got 51.": {"k": 51, "bound": "betting"},
    "stop: expected none with stopping = fixed, got never.": {"stop": "never", "stopping": "fixed"},
    "price: expected none unless stop is worth; leave it out, or add --stop worth.": {"price": 1000},
    "price: expected samples above 0 and at most 1,000,000,000,000, got 0.": {"price": 0, "bound": "betting"},
}


def asked(**fields):
    return make_request(**{"model": "m.safetensors", "data": "d.npz", **fields})


@pytest.mark.parametrize(("sentence", "fields"), REFUSALS.items(), ids=[str(fields) for fields in REFUSALS.values()])
def test_each_refusal_has_its_sentence(sentence, fields):
    with pytest.raises(SpecError) as refused:
        asked(**fields)
    assert str(refused.value) == sentence
    assert refused.value.__cause__ is None


def test_what_is_required_is_named():
    with refuses("E-SPEC-005", match="^data: this setting is required but was not given\\.$"):
        make_request(model="m.safetensors")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300)
@given(st.sampled_from(sorted(Request.model_fields)), anything)
@example("k", [10**400, 10**400])
def test_any_value_is_taken_or_refused_in_one_short_sentence(name, value):
    message = error_of(SpecError, lambda: asked(**{name: value}))
    if message is not None:
        assert message.startswith((f"{name}: ", f"{name}."))
        assert message.endswith(".")
        assert len(message) < 600
        assert not any(word in message for word in ("pydantic", "http", "validation error", "Value error"))


@pytest.mark.parametrize("written", ["0.50,1", "0.50 1", ["0.50", "1"], ["0.50,1"], ("0.50", 1), " 0.50 ,  1 "])
def test_lists_in_every_spelling_and_sigma_as_it_was_typed(written):
    sigmas = asked(sigma=written).sigma
    assert sigmas == (0.5, 1.0)
    assert sigmas[0].text == "0.50"


def test_a_sigma_given_as_a_number_is_written_shortest():
    assert [s.text for s in asked(sigma=[0.5, 1]).sigma] == ["0.5", "1.0"]
    assert Sigma(" 0.50 ").text == "0.50"


def test_radii_and_ks_are_sorted_and_sigmas_keep_their_order():
    request = asked(sigma="1 0.25", radius="1,0.5", k="3 1")
    assert (request.sigma, request.radius, request.k) == ((1.0, 0.25), (0.5, 1.0), (1, 3))


def test_fixed_stopping_takes_any_n_max():
    assert asked(stopping="fixed", n_max=99).n_max == 99


@pytest.mark.parametrize(
    ("target", "expected"),
    [("auto", ("prediction", "label")), ("prediction", ("prediction",) * 2), ("label", ("label",) * 2)],
)
def test_target_follows_k_unless_it_is_named(target, expected):
    request = asked(target=target, k="1,3")
    assert tuple(request.target_of(k) for k in request.k) == expected
    assert request.targets == dict(zip((1, 3), expected, strict=True))


@pytest.mark.parametrize(("target", "k", "samples"), [("auto", "1,3", 1100), ("auto", "3", 1000), ("label", "1", 1000)])
def test_selection_samples_are_counted_only_where_they_select_a_class(target, k, samples):
    request = asked(target=target, k=k, n0=100, n_max=1000)
    assert request.max_samples == samples
    assert request.selects == (samples > 1000)


def test_plain_settings_read_back_and_keep_noise_levels_as_typed():
    request = asked(sigma="0.50,1", k="1,3", limit=7)
    plain = json.loads(json.dumps(request.plain()))
    assert plain["sigma"] == ["0.50", "1"]
    assert make_request(**plain) == request


def test_a_request_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        asked().alpha = 0.1


def test_what_stops_by_default_and_which_class_is_certified():
    assert (asked().stops_by, asked(bound="betting").stops_by) == ("futility", "worth")
    assert asked(bound="betting", n_max=1000).worth_samples == 3000
    assert asked(bound="betting", price=7).worth_samples == 7
    assert asked(bound="betting", k="1,3").targets == {1: "label", 3: "label"}
    assert asked(bound="betting", target="prediction").selects
    assert not asked(bound="betting").selects
