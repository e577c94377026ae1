"""The output of a classifier becomes one row of scores per image, or raises a clear error."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from refusals import refuses
from smoothcert.errors import ModelError
from smoothcert.formats.card import Card
from smoothcert.models import Classifier
from smoothcert.models.adapters import assembled
from smoothcert.models.heads import BinaryToTwoClass, resolve_head

IMAGES = torch.zeros(4, 1, 2, 2)
MANY = torch.tensor([[1.0, -2.0, 0.5]]).expand(4, 3)
ONE = torch.tensor([[3.0], [-1.0], [0.5], [0.0]])
UNIT = torch.tensor([[0.9], [0.1], [0.5], [0.0]])


class Returns(nn.Module):
    """Returns the same thing for every batch of the same size."""

    def __init__(self, returned: Any) -> None:
        super().__init__()
        self.returned = returned

    def forward(self, x: torch.Tensor) -> Any:
        if isinstance(self.returned, Exception):
            raise self.returned
        return self.returned


def settle(returned: Any, **card: Any) -> Classifier:
    return resolve_head(assembled(Returns(returned), Card(**card), "", "net"), IMAGES)


@dataclass
class Output:
    logits: Any
    hidden_states: Any = None


class Inception(NamedTuple):
    logits: Any
    aux_logits: Any


class Ordered(OrderedDict):  # as Hugging Face's outputs are: a mapping with attributes
    @property
    def logits(self) -> Any:
        return self["logits"]


@pytest.mark.parametrize(
    "returned",
    [
        {"logits": MANY, "loss": torch.zeros(())},
        {"out": MANY, "loss": torch.zeros(())},
        Output(MANY),
        Inception(MANY, MANY + 1),
        Ordered(logits=MANY, other=MANY + 1),
        (MANY,),
        [MANY, torch.zeros(4, 7, 2, 2)],
    ],
)
def test_logits_among_other_things(returned: Any) -> None:
    got = settle(returned)
    assert torch.equal(got.module(IMAGES), MANY)
    assert got.num_classes == 3
    assert "its output" in got.adapted[0]


def test_plain_logits_and_probabilities_of_classes_are_left_alone() -> None:
    for returned in (MANY, MANY.softmax(dim=1)):
        got = settle(returned)
        assert (type(got.module), got.num_classes, got.adapted) == (Returns, 3, ())


def test_one_logit_is_told_from_its_values() -> None:
    got = settle(ONE)
    assert got.module(IMAGES).argmax(dim=1).tolist() == [1, 0, 1, 0]
    assert (got.num_classes, got.adapted) == (2, ("one logit as two columns [0, z]",))


def test_one_probability_has_to_be_said() -> None:
    with refuses("E-MODEL-050", match=r"from 0 to 0\.9.*--output logit or --output probability"):
        settle(UNIT)
    assert settle(UNIT, output="probability").module(IMAGES).argmax(dim=1).tolist() == [1, 0, 0, 0]
    assert settle(UNIT, output="logit").module(IMAGES).argmax(dim=1).tolist() == [1, 1, 1, 0]
    assert settle({"logits": ONE}, output="logit").num_classes == 2


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20))
def test_class_1_wins_exactly_above_the_level(values: list[float]) -> None:
    one = torch.tensor(values)[:, None]
    for output, level in (("logit", 0.0), ("probability", 0.5)):
        for dtype in (torch.float32, torch.bfloat16):
            columns = BinaryToTwoClass(Returns(one.to(dtype)), output)(one)
            assert torch.equal(columns.float().argmax(dim=1), (one.to(dtype)[:, 0] > level).long())


@pytest.mark.parametrize(
    ("returned", "card", "message"),
    [
        (torch.rand(4, 18), {}, "18 numbers per image from 0 to 1 that do not sum to 1.*one finding at a time"),
        (UNIT.expand(4, 2), {}, "2 numbers per image from 0 to 1 that do not sum to 1"),
        (MANY, {"num_classes": 4}, "declares 4 classes, but returns 3 scores per image"),
        (ONE, {"num_classes": 3}, "declares 3 classes, but returns 2 scores"),
        (MANY, {"output": "logit"}, "--output needs a classifier with one output, but this one has 3"),
        (ONE, {"output": "probability"}, r"got -1 to 3\. Use --output logit"),
        (MANY * float("nan"), {}, "returns NaN or infinite logits on clean images"),
        (ONE / 0, {}, "returns NaN or infinite logits on clean images"),
        (MANY[0], {}, r"expected logits of shape \(n, classes\) with n = 4, got shape \(3,\)"),
        (torch.zeros(4, 3, 8, 8), {}, r"got shape \(4, 3, 8, 8\)"),
        (torch.zeros(4, 0), {}, r"got shape \(4, 0\)"),
        ((MANY, MANY), {}, r"got a tuple of 0 \(4, 3\), 1 \(4, 3\). Wrap"),
        ({"a": MANY, "b": MANY}, {}, r"got a dict of a \(4, 3\), b \(4, 3\)"),
        (None, {}, "got a NoneType of no tensors"),
        (
            ValueError("no size\nmore"),
            {},
            r"fails on images of shape \(n, C, H, W\) = \(4, 1, 2, 2\): no size",
        ),
        (ValueError(), {}, "ValueError. Check channels and image size"),
    ],
)
def test_refusals(returned: Any, card: dict, message: str) -> None:
    with pytest.raises(ModelError, match=f"(?s){message}"):
        settle(returned, **card)


def test_images_come_as_the_classifier_expects_them() -> None:
    class Seen(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.dtype == torch.float32
            return x.flatten(1)[:, :1] * torch.tensor([1.0, 0.0])

    card = Card(mean=(51.0,), std=(102.0,), value_range=(0.0, 255.0))
    got = resolve_head(assembled(Seen(), card, "", "net"), IMAGES.double() + 0.6)
    assert (got.num_classes, got.mean) == (2, (0.2,))


def test_a_network_of_ours_is_not_looked_at() -> None:
    own = assembled(Returns(ValueError()), Card(num_classes=4), "", "net", arch="resnet8")
    assert resolve_head(own, IMAGES) is own


def test_the_advice_for_findings_is_code_that_certifies_one() -> None:
    with pytest.raises(ModelError) as refusal:
        settle(torch.rand(4, 18))
    code = str(refusal.value).split("\n\n")[1].partition("\nIf ")[0]
    findings = torch.randn(4, 18)
    names: dict[str, Any] = {"torch": torch, "net": Returns(findings)}
    exec(code, names)
    got = resolve_head(assembled(names["OneFinding"](), Card(), "", "net"), IMAGES)
    assert torch.equal(got.module(IMAGES).argmax(dim=1), (findings[:, 3] > 0).long())


class OnTwoDevices(nn.Module):
    """Holds a tensor that is neither parameter nor buffer, so that `.cpu()` passes it by."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.ones(1, device="meta")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) * self.scale


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (RuntimeError("Expected all tensors to be on the same device, but found two"), "to the CPU"),
        (ValueError("Expected more than 1 value per channel when training"), "into evaluation mode"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "Check channels and image size"),
        (KeyError(), "Check channels and image size"),
    ],
)
def test_a_failure_names_a_remedy_that_fits(error, remedy):
    with refuses("E-MODEL-046", match=rf"^net fails on images of shape .*\. .*{remedy}"):
        settle(error)


def test_a_tensor_left_on_another_device():
    with refuses("E-MODEL-046", match="in its factory"):
        resolve_head(assembled(OnTwoDevices(), Card(), "", "net"), IMAGES)
