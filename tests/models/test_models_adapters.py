"""Rearranged inputs: the module gets the channel order and the layout it expects."""

import pytest
import torch
from torch import nn

from smoothcert.formats.card import Card
from smoothcert.models.adapters import assembled
from smoothcert.models.resnet import build
from smoothcert.models.state import state_sha256


class Seen(nn.Module):
    """Returns what it was given, one row per image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def seen(x: torch.Tensor, **card: object) -> torch.Tensor:
    """What a classifier's module is given for images in [0, 1], by the normalisation of the classifier."""
    found = assembled(Seen(), Card(**card), "", "net")
    mean, std = (torch.tensor(values or (empty,)) for values, empty in ((found.mean, 0.0), (found.std, 1.0)))
    return found.module((x - mean[:, None, None]) / std[:, None, None])


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(4, 3, 5, 6)


def test_channels_last(x: torch.Tensor) -> None:
    assert torch.equal(seen(x, layout="NHWC"), x.permute(0, 2, 3, 1).flatten(1))


def test_bgr_is_normalised_in_the_order_it_was_declared(x: torch.Tensor) -> None:
    mean, std = torch.tensor([104.0, 117.0, 123.0]), torch.tensor([1.0, 2.0, 3.0])
    expected = (x[:, [2, 1, 0]] * 255 - mean[:, None, None]) / std[:, None, None]
    card = {"mean": tuple(mean.tolist()), "std": tuple(std.tolist()), "value_range": (0.0, 255.0), "channels": "BGR"}
    assert torch.allclose(seen(x, **card), expected.flatten(1), atol=1e-4)
    last = seen(x, layout="NHWC", **card)
    assert torch.allclose(last, expected.permute(0, 2, 3, 1).flatten(1), atol=1e-4)


def test_what_is_in_between_is_told_and_takes_nothing_from_the_network(x: torch.Tensor) -> None:
    torch.manual_seed(0)
    net = build("resnet8", 4, 3).eval()
    plain = assembled(net, Card(layout="NCHW", channels="RGB"), "", "net", arch="resnet8")
    assert (plain.module, plain.built_in, plain.arch, plain.adapted) == (net, True, "resnet8", ())
    turned = assembled(net, Card(layout="NHWC", channels="BGR"), "", "net", arch="resnet8")
    assert (turned.built_in, turned.arch) == (False, None)
    assert turned.adapted == ("colours in the order BGR", "channels last (NHWC)")
    assert state_sha256(turned.module) == state_sha256(net)
    assert list(turned.module.state_dict()) == list(net.state_dict())
    assert not turned.module.training


def test_a_module_that_contains_rearranged_networks_loads_its_own_state() -> None:
    def container() -> nn.Module:
        nets = [assembled(nn.Linear(3, 2), Card(channels="BGR"), "", "net").module for _ in range(2)]
        return nn.Sequential(*nets, nn.Linear(2, 2))

    one, other = container(), container()
    found = other.load_state_dict(one.state_dict())
    assert (found.missing_keys, found.unexpected_keys) == ([], [])
    assert state_sha256(other) == state_sha256(one)
    with pytest.raises(RuntimeError, match=r"inner\.bias"):
        other.load_state_dict({name: value for name, value in one.state_dict().items() if name != "1.bias"})
