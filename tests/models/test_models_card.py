import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refusals import refuses
from smoothcert.errors import ModelError
from smoothcert.formats.card import Card, card_from_json, card_from_values

FULL = Card("resnet8", 2, 3, (3, 28, 28), (0.5,) * 3, (0.2,) * 3, 0.25, (0.0, 255.0), ("a", "β"), {"epochs": 3})
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a", "resnet8"])
JSON = PLAIN | st.lists(PLAIN, max_size=4) | st.dictionaries(st.sampled_from("ab"), PLAIN, max_size=2)


def test_round_trip() -> None:
    assert card_from_json(FULL.as_json(), "x") == FULL
    assert card_from_json("{}", "x") == Card()


def test_unknown_fields_are_left_out() -> None:
    assert card_from_values({"later": 1, "sigma": None}, "x") == Card()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*json.loads(FULL.as_json()), "other"]), JSON, max_size=5))
def test_any_json_gives_a_card_or_a_refusal(values: dict[str, Any]) -> None:
    with contextlib.suppress(ModelError):
        assert isinstance(card_from_json(json.dumps(values), "x.safetensors"), Card)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1], "a table of declared facts is expected, got list"),
        ({"mean": [0.5], "std": []}, "one value a channel each"),
        ({"class_names": {"a", "b"}}, "declared class_names .* is not usable; expected a list of names"),
        ({"mean": [0.5], "std": [0.0]}, r"declared std \[0.0\] is not usable; expected numbers above 0"),
        ({"mean": [0.5], "std": [1.0], "in_channels": 3}, "different numbers of channels"),
        ({"input_shape": [3, 28]}, r"expected three whole numbers \(C, H, W\)"),
        ({"num_classes": 3, "class_names": ["a", "b"]}, "3 classes and 2 class names"),
        ({"num_classes": True}, "declared num_classes True"),
        ({"sigma": -1}, "a number from 0"),
        ({"value_range": [1, 0]}, "the lower first"),
        ({"mean": [float("nan")], "std": [1]}, "declared mean"),
    ],
)
def test_refusals(values: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        card_from_values(values, "net")


def test_text_that_is_not_json() -> None:
    with refuses("E-MODEL-014"):
        card_from_json("{", "net.safetensors")
