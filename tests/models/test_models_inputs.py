"""Card and options: one affine map per channel of [0, 1] images, or an error that names both."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smoothcert.errors import ModelError
from smoothcert.formats.card import Card
from smoothcert.models import ModelOptions
from smoothcert.models.classifier import card_with_options, unit_normalisation

NUMBERS = st.floats(-1000, 1000)
POSITIVE = st.floats(0.01, 1000)


@given(st.tuples(NUMBERS, POSITIVE), st.lists(st.tuples(NUMBERS, POSITIVE), min_size=1, max_size=3), st.floats(0, 1))
def test_one_affine_map_stands_for_range_and_normalisation(span, channels, x) -> None:
    low, high = span[0], span[0] + span[1]
    mean, std = zip(*channels, strict=True)
    card = card_with_options(
        Card(), ModelOptions(input_range=(low, high), mean=mean, std=std, in_channels=len(mean)), "net"
    )
    folded = unit_normalisation(card)
    for m, s, mine, divisor in zip(mean, std, *folded, strict=True):
        asked = (low + x * (high - low) - m) / s
        assert (x - mine) / divisor == pytest.approx(asked, rel=1e-6, abs=1e-6 * (1 + (abs(low) + abs(m)) / s))


def test_what_is_in_the_unit_range_is_left_bit_for_bit() -> None:
    card = Card(mean=(0.1, 0.2, 0.3), std=(0.3, 0.7, 0.9))
    assert unit_normalisation(card_with_options(card, ModelOptions(in_channels=3), "net")) == (card.mean, card.std)
    assert unit_normalisation(card_with_options(Card(), ModelOptions(in_channels=3), "net")) == ((), ())


def test_a_range_without_normalisation_gets_one_number_a_channel() -> None:
    for options in (ModelOptions(input_range=(-1.0, 1.0), in_channels=3), ModelOptions(in_channels=3)):
        card = Card() if options.input_range else Card(value_range=(-1.0, 1.0))
        assert unit_normalisation(card_with_options(card, options, "net")) == ((0.5,) * 3, (0.5,) * 3)


def test_one_number_stands_for_every_channel() -> None:
    asked = ModelOptions(mean=(0.5,), std=(0.25,), in_channels=3)
    assert card_with_options(Card(), asked, "net").mean == (0.5,) * 3
    assert card_with_options(Card(mean=(0.5,) * 3, std=(0.25,) * 3), asked, "net").std == (0.25,) * 3


def test_means_are_in_the_order_of_colours_the_classifier_expects() -> None:
    asked = ModelOptions(mean=(104.0, 117.0, 123.0), std=(1.0, 2.0, 3.0), channels="BGR", input_range=(0.0, 255.0))
    mean, std = unit_normalisation(card_with_options(Card(), asked, "net"))
    assert mean == (123 / 255, 117 / 255, 104 / 255)
    assert std == (3 / 255, 2 / 255, 1 / 255)


DECLARED = Card(mean=(0.5,) * 3, std=(0.25,) * 3, layout="NHWC", channels="RGB", output="logit")


@pytest.mark.parametrize(
    ("card", "options", "message"),
    [
        (DECLARED, {"mean": (0.4,), "std": (0.25,)}, "declares mean 0.5,0.5,0.5, but --mean is 0.4,0.4,0.4; leave"),
        (DECLARED, {"mean": (0.5,), "std": (0.2,)}, "declares std 0.25,0.25,0.25, but --std is 0.2,0.2,0.2"),
        (DECLARED, {"input_range": (0.0, 255.0)}, "declares value range 0,1, but --input-range is 0,255"),
        (DECLARED, {"layout": "NCHW"}, "declares layout NHWC, but --layout is NCHW"),
        (DECLARED, {"channels": "BGR"}, "declares channels RGB, but --channels is BGR"),
        (DECLARED, {"output": "probability"}, "declares output logit, but --output is probability"),
        (Card(value_range=(0.0, 255.0)), {"input_range": (0.0, 1.0)}, "declares value range 0,255, but"),
        (Card(), {"mean": (0.5, 0.5), "std": (1.0, 1.0)}, "have 2 numbers each, but its images have 3 channels"),
        (Card(), {"channels": "BGR", "in_channels": 1}, "BGR needs images with 3 channels, got 1"),
    ],
)
def test_contradictions_name_both_sides(card: Card, options: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        card_with_options(card, ModelOptions(**({"in_channels": 3} | options)), "net")


def test_what_agrees_or_is_only_said_once_is_taken() -> None:
    options = ModelOptions(mean=(0.5,), std=(0.25,), layout="NHWC", output="logit", input_range=(0.0, 1.0))
    assert card_with_options(DECLARED, options, "net") == DECLARED
    grey = card_with_options(Card(value_range=(0.0, 255.0)), ModelOptions(mean=(51.0,), std=(102.0,)), "net")
    assert unit_normalisation(grey) == ((0.2,), (0.4,))
    assert torch.tensor(grey.mean).ndim == 1
