"""MONAI bundles: folders written here, with MONAI's own networks and random weights."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from refusals import refuses
from smoothcert.errors import ModelError
from smoothcert.models import ModelOptions, load_classifier

from .conftest import library
from .nets import RESNET, built, bundle, noisy, scripted, votes

TRUST = ModelOptions(trust_model=True, in_channels=3)
DENSENET = {"_target_": "DenseNet121", "spatial_dims": 2, "in_channels": 3, "out_channels": 4}
EFFICIENT = {
    "_target_": "EfficientNetBN",
    "model_name": "efficientnet-b0",
    "pretrained": False,
    "spatial_dims": 2,
    "num_classes": 4,
}


@pytest.fixture
def nets() -> Any:
    library("monai")
    return library("monai.networks.nets")


@pytest.mark.parametrize(
    ("network", "name"),
    [(RESNET, "inference.json"), (DENSENET, "train.yaml"), (EFFICIENT, "inference.yml")],
    ids=["resnet", "densenet", "efficientnet"],
)
@torch.inference_mode()
def test_votes_are_those_of_the_network(nets: Any, tmp_path: Path, network: dict[str, Any], name: str) -> None:
    model, net = bundle(tmp_path, network, name), built(nets, network)
    torch.save({"model": net.state_dict()}, tmp_path / "models" / "model.pt")
    got = load_classifier(model, TRUST)
    x = noisy(300, (3, 32, 32))
    assert (votes(got.module(x)) == votes(net(x))).all()
    assert (got.built_in, got.mean, got.adapted, got.reference) == (False, (), (), model)


def test_weights_elsewhere_and_what_the_metadata_declare(nets: Any, tmp_path: Path) -> None:
    names = {"0": "healthy", "1": "mild", "2": "severe", "3": "unclear"}
    model = bundle(tmp_path, RESNET, value_range=[0, 255], channel_def=names)
    net = built(nets, RESNET)
    torch.save(net.state_dict(), tmp_path / "other.pt")
    with refuses("E-MODEL-034"):
        load_classifier(model, TRUST)
    got = load_classifier(model, ModelOptions(trust_model=True, in_channels=3, weights=str(tmp_path / "other.pt")))
    assert got.class_names == ("healthy", "mild", "severe", "unclear")
    assert (got.mean, got.std) == ((0.0,) * 3, (1 / 255,) * 3)


def test_a_scripted_bundle(nets: Any, trained: nn.Module, tmp_path: Path) -> None:
    model = bundle(tmp_path, RESNET, value_range=[])
    scripted(trained, tmp_path / "models" / "model.ts")
    got = load_classifier(model, TRUST)
    assert torch.equal(got.module(noisy(4)), trained(noisy(4)))
    assert got.reference == model


def test_without_trust_nothing_is_built(tmp_path: Path) -> None:
    model = bundle(tmp_path, {"_target_": "torch.nn.Identity", "run": f"$open('{tmp_path}/owned', 'w')"})
    with refuses("E-MODEL-061"):
        load_classifier(model)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (RESNET | {"spatial_dims": 3}, r"2-D convolutions \(spatial_dims 2\), got 1-D or 3-D ones"),
        (RESNET | {"layers": "many"}, "network_def cannot be built"),
        ({"_target_": "NoSuchNetwork"}, "network_def cannot be built"),
        ({"_target_": "dict"}, r"network_def must be a torch\.nn\.Module, got dict"),
        (None, "none of its configurations has a network_def"),
    ],
)
def test_refusals(nets: Any, tmp_path: Path, network: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_classifier(bundle(tmp_path, network), TRUST)


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    with refuses("E-MODEL-062"):
        load_classifier(f"monai:{tmp_path}", TRUST)
    with refuses("E-MODEL-042"):
        load_classifier(f"monai:{tmp_path}", ModelOptions(arch="resnet8"))


def test_a_missing_library_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "monai"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "monai", None)
    with refuses("E-EXTRA-001", match="extra `monai`"):
        load_classifier(bundle(tmp_path, RESNET), TRUST)
