"""timm networks with random weights; nothing is downloaded."""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from refusals import refuses
from smoothcert.models import ModelOptions, load_classifier

from .conftest import library
from .nets import noisy, votes

NAME, SIDE = "test_resnet", 32
"""timm's own network for tests: 0.5 million weights."""


@pytest.fixture(scope="module")
def timm():
    return library("timm")


@pytest.fixture
def written(timm, tmp_path: Path) -> Callable[..., tuple[nn.Module, str]]:
    """A random network of timm and the file of its weights."""

    def write(name: str = NAME, ending: str = "safetensors", **sizes: int) -> tuple[nn.Module, str]:
        torch.manual_seed(0)
        net = timm.create_model(name, pretrained=False, **{"num_classes": 5, **sizes}).eval()
        path = tmp_path / f"{name}.{ending}"
        state = {key: value.contiguous() for key, value in net.state_dict().items()}
        if ending == "safetensors":
            save_file(state, path)
        else:
            torch.save({"state_dict": {f"model.{key}": value for key, value in state.items()}}, path)
        return net, str(path)

    return write


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
@torch.inference_mode()
def test_own_weights_vote_as_in_timm(timm, written, ending: str) -> None:
    net, path = written(ending=ending)
    got = load_classifier(f"timm:{NAME}", ModelOptions(weights=path, num_classes=9, in_channels=3))
    known = timm.data.resolve_model_data_config(net)
    assert (got.mean, got.std) == (known["mean"], known["std"])
    assert (got.num_classes, got.built_in, got.reference) == (5, False, f"timm:{NAME}")
    x = noisy(300, (3, SIDE, SIDE))
    mean, std = torch.tensor(known["mean"])[:, None, None], torch.tensor(known["std"])[:, None, None]
    assert (votes(got.module((x - mean) / std)) == votes(net((x - mean) / std))).all()


def test_a_network_of_one_image_size_declares_it(written) -> None:
    _, path = written("test_vit")
    assert load_classifier("timm:test_vit", ModelOptions(weights=path)).input_shape == (3, 160, 160)
    _, path = written()
    assert load_classifier(f"timm:{NAME}", ModelOptions(weights=path)).input_shape is None


def test_the_users_weights_may_be_normalised_otherwise(written) -> None:
    _, path = written()
    asked = ModelOptions(weights=path, in_channels=3, mean=(127.5,), std=(127.5,), input_range=(0.0, 255.0))
    got = load_classifier(f"timm:{NAME}", asked)
    assert (got.mean, got.std) == ((0.5,) * 3, (0.5,) * 3)


def test_grey_images_need_a_stated_normalisation(written) -> None:
    _, path = written(in_chans=1)
    with refuses("E-MODEL-059", match=r"3 channels, but the images have 1\. .*--mean and --std"):
        load_classifier(f"timm:{NAME}", ModelOptions(weights=path, in_channels=1))
    got = load_classifier(f"timm:{NAME}", ModelOptions(weights=path, in_channels=1, mean=(0.5,), std=(0.5,)))
    assert (got.mean, got.module(torch.zeros(1, 1, SIDE, SIDE)).shape) == ((0.5,), (1, 5))


def test_weights_of_another_network_are_refused(written) -> None:
    _, path = written("test_efficientnet")
    with refuses("E-MODEL-080"):
        load_classifier(f"timm:{NAME}", ModelOptions(weights=path))


def test_weights_that_timm_knows(timm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for the download: with it, and without a network."""
    create = timm.create_model

    def offline(name: str, pretrained: bool) -> nn.Module:
        raise OSError("cannot find the requested files in the local cache\nmore")

    monkeypatch.setattr(timm, "create_model", offline)
    with refuses("E-MODEL-058"):
        load_classifier(f"timm:{NAME}")
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: create(name))
    got = load_classifier(f"timm:{NAME}", ModelOptions(num_classes=9, in_channels=3))
    assert got.num_classes == 1000
    assert got.sha256.startswith("sha256:")
    with refuses("E-MODEL-041", match=r"declares value range 0,1, but --input-range is 0,255"):
        load_classifier(f"timm:{NAME}", ModelOptions(in_channels=3, input_range=(0.0, 255.0)))


def test_refusals(timm) -> None:
    with refuses("E-MODEL-057", match=r"timm:resnet81: timm .* has no network of that name; did you mean resnet18"):
        load_classifier("timm:resnet81")
    with refuses("E-MODEL-042", match="leave out --arch resnet8"):
        load_classifier(f"timm:{NAME}", ModelOptions(arch="resnet8"))
    with refuses("E-MODEL-034"):
        load_classifier(f"timm:{NAME}", ModelOptions(weights="none.safetensors"))


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with refuses("E-EXTRA-001", match="extra `timm`"):
        load_classifier("timm:resnet18")


def test_a_torchvision_for_another_torch_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "timm":
                raise RuntimeError("operator torchvision::nms does not exist")

    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with (
        warnings.catch_warnings(),
        refuses("E-MODEL-056"),
    ):
        load_classifier("timm:resnet18")
