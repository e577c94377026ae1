import pytest
import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models.resnet import ARCHITECTURES, build, fold


def lived_in(arch: str, in_channels: int = 3) -> nn.Module:
    """A network whose batch normalisations are not the identity."""
    torch.manual_seed(0)
    net = build(arch, 5, in_channels)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return net.eval()


@pytest.mark.parametrize("arch", ["resnet8", "resnet20", "wide20"])
@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (1, 3, 33, 17), (2, 1, 8, 8)])
def test_folding_changes_logits_by_rounding_only(arch: str, shape: tuple[int, ...]) -> None:
    net = lived_in(arch, shape[1])
    folded = fold(net)
    images = torch.randn(shape)
    with torch.inference_mode():
        before, after = net(images), folded(images)
    assert before.shape == (shape[0], 5)
    assert (before - after).abs().max() <= 1e-4 * before.abs().max().clamp_min(1)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in net.modules())


def test_inputs_are_not_overwritten() -> None:
    images = torch.randn(2, 3, 8, 8)
    before = images.clone()
    with torch.inference_mode():
        fold(lived_in("resnet8"))(images)
    assert torch.equal(images, before)


def test_fold_leaves_what_it_does_not_know_alone() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    images = torch.randn(1, 3, 6, 6)
    assert torch.equal(net(images), fold(net)(images))


def test_weights_are_channels_last_and_known_in_number() -> None:
    numbers = {
        arch: sum(p.numel() for p in build(arch, 10, 3).parameters()) for arch in ("resnet8", "resnet20", "wide20")
    }
    assert numbers == {"resnet8": 78042, "resnet20": 272474, "wide20": 1086122}
    net = build("resnet8", 10, 3)
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in net.parameters() if p.ndim == 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet21", 8, 3), "--arch takes resnet8, resnet20, wide20, resnet18"),
        (("resnet8", 1, 3), "at least 2 classes"),
        (("resnet8", 2, 0), "at least 2 classes and 1 channel"),
    ],
)
def test_refusals(arguments: tuple, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build(*arguments)


def test_every_architecture_builds_without_memory() -> None:
    with torch.device("meta"):
        assert all(build(arch, 8, 1)(torch.empty(2, 1, 28, 28)).shape == (2, 8) for arch in ARCHITECTURES)
