import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import error_of, make_spec
from refusals import refuses
from smoothcert.config import read_spec
from smoothcert.errors import SpecError

SPEC = make_spec(sigma="0.50,1", k="1,3", radius="0.25,0.5", seed=2**64 - 1)


@st.composite
def specs(draw):
    labels = draw(st.lists(st.integers(0, 3), min_size=1, max_size=6))
    seed = draw(st.integers(0, 2**64 - 1))
    looks = tuple(sorted(draw(st.sets(st.integers(100, 10_000), min_size=1, max_size=4))))
    request = {
        "sigma": draw(st.sampled_from(["0.25", "0.50,1", "1.0"])),
        "alpha": draw(st.floats(1e-12, 0.49)),
        "radius": draw(st.lists(st.floats(0.001, 100), min_size=1, max_size=3, unique=True)),
        "model": draw(st.text(max_size=9)),
        "noise": draw(st.sampled_from(["grid", "float"])),
    }
    return make_spec(labels, looks=looks, seed=seed, **request)


@settings(max_examples=60)
@given(specs())
def test_json_round_trip_keeps_text_and_hash(spec):
    again = read_spec(spec.to_json())
    assert again == spec
    assert again.to_json() == spec.to_json()
    assert again.sha256() == spec.sha256() == hashlib.sha256(spec.to_json().encode()).hexdigest()


def test_the_hash_ignores_layout_and_order_and_sees_every_value():
    record = json.loads(SPEC.to_json())
    reordered = json.dumps(dict(reversed(record.items())))
    assert read_spec(reordered).sha256() == SPEC.sha256()
    changed = [{"seed": 6}, {"looks": [100, 201]}, {"smoothcert": "0.1.1"}]
    changed += [{name: {**record[name], key: value}} for name, key, value in FACTS]
    assert len({read_spec(json.dumps({**record, **change})).sha256() for change in [{}, *changed]}) == len(changed) + 1


FACTS = [
    ("request", "alpha", 0.002),
    ("data", "levels", 4095),
    ("data", "grouped", True),
    ("recipe", "batch_size", 256),
]


def test_the_text_is_canonical_and_names_its_format():
    record = json.loads(SPEC.to_json())
    assert record["format"] == 1
    assert record["request"]["sigma"] == [0.5, 1.0]
    assert [model["written"] for model in record["models"]] == ["0.50", "1"]
    assert SPEC.to_json() == json.dumps(record, indent=1, sort_keys=True) + "\n"


def test_what_a_spec_counts():
    assert (SPEC.classes, SPEC.cells, SPEC.indices) == (4, 2 * 2 * 2, (0, 1, 2, 3, 4))
    assert SPEC.model_at(0.5).written == "0.50"
    picked = SPEC.model_copy(update={"data": SPEC.data.model_copy(update={"indices": (0, 20, 40, 60, 80)})})
    assert picked.indices == (0, 20, 40, 60, 80)
    with refuses("E-SPEC-002", match="^Expected one of the run's noise levels .*, got 0\\.3\\.$"):
        SPEC.model_at(0.3)


def test_a_recipe_has_a_name_of_its_own():
    other = SPEC.recipe.model_copy(update={"batch_size": 256})
    assert SPEC.recipe.name == SPEC.recipe.model_copy().name != other.name
    assert len(other.name) == 12


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected JSON"),
        ("[]", "expected an object, got []."),
        (SPEC.to_json().replace('"alpha": 0.001', '"alpha": 7'), "request.alpha: expected a probability"),
        (SPEC.to_json().replace('"alpha"', '"alfa"'), "request.alfa: there is no such setting."),
        (SPEC.to_json().replace('"seed": 18446744073709551615,', ""), "seed: this setting is required"),
        (SPEC.to_json().replace('"radius": [', '"radius": [ 1e999,'), "expected finite numbers, got 1e999."),
        ('{"request":{"model":"m","data":"d","sigma":[1' + "0" * 400 + "]}}", ""),
        ('{"a":' + "[" * 100_000, "expected lists and objects nested at most"),
    ],
)
def test_a_damaged_spec_is_named_in_one_line(text, reason):
    with pytest.raises(SpecError) as refused:
        read_spec(text)
    assert str(refused.value).startswith(f"Expected a spec.json of format 1: {reason}")
    assert len(str(refused.value)) < 300
    assert not any(word in str(refused.value) for word in ("pydantic", "http"))


def test_another_format_names_the_version_that_wrote_it():
    with refuses(
        "E-SPEC-012", match="got format 2\\. Read it with the version of smoothcert that wrote it \\('0\\.9'\\)"
    ):
        read_spec('{"format": 2, "smoothcert": "0.9"}')


cuts = st.tuples(st.integers(0, len(SPEC.to_json())), st.integers(0, 9), st.text(max_size=5))


@settings(max_examples=300)
@given(st.one_of(st.text(), cuts))
def test_hostile_text_never_raises_anything_else(text):
    if isinstance(text, tuple):
        start, length, inserted = text
        text = SPEC.to_json()[:start] + inserted + SPEC.to_json()[start + length :]
    sentence = error_of(SpecError, read_spec, text)
    assert sentence is None or "\n" not in sentence


@pytest.mark.parametrize(
    ("reference", "synthetic"),
    [
        ("synthetic", True),
        ("synthetic:300", True),
        ("synthetic:300#train", True),
        ("synthetic_lung:images", False),
        ("synthetic:images", False),
        ("pbc28.npz#val", False),
    ],
)
def test_only_images_that_this_package_drew_are_called_synthetic(reference, synthetic):
    assert make_spec().data.model_copy(update={"reference": reference}).synthetic is synthetic


BETTING = make_spec(sigma="0.25,1", bound="betting", price=5)


def test_the_grid_of_betting_is_in_the_spec_and_other_specs_have_no_new_key():
    record = json.loads(BETTING.to_json())
    assert [record["minor"], len(record["grid"]), record["request"]["price"]] == [3, 2, 5.0]
    assert "stop" not in record["request"]
    assert read_spec(BETTING.to_json()) == BETTING
    assert BETTING.grid_at(1.0) == tuple(record["grid"][1])
    assert SPEC.grid_at(1.0) == ()
    assert not {"grid", "minor"} & json.loads(SPEC.to_json()).keys()


GRID = [list(each) for each in BETTING.grid]


@pytest.mark.parametrize(
    "grid", [[], GRID[:1], [[0.2, 0.1], GRID[1]], [[0.0, 0.1], GRID[1]], [GRID[0], [10.1]], [list(range(1, 5000)), [1]]]
)
def test_a_grid_that_contradicts_its_run_is_refused(grid):
    record = {**json.loads(BETTING.to_json()), "grid": grid}
    with refuses("E-SPEC-004", match="grid: "):
        read_spec(json.dumps(record))
    other = {**json.loads(SPEC.to_json()), "grid": GRID}
    with refuses("E-SPEC-004", match="grid: "):
        read_spec(json.dumps(other))
