"""Fixtures of the model libraries, and networks with known outputs."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from smoothcert.models.resnet import build

from .nets import mixed, noisy


def library(name: str):
    """Import an optional library, or skip the test; torchvision's operators are declared where they are missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        declare_torchvision_operators()
        return pytest.importorskip(name, reason=f"needs {name}", exc_type=ImportError)


def declare_torchvision_operators() -> None:
    """torchvision from PyPI does not import beside a torch for processors, which has no `nms` and `qnms`."""
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            declared = torch.library.Library("torchvision", "FRAGMENT")
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _KEPT.append(declared)


_KEPT: list[torch.library.Library] = []


@pytest.fixture(scope="session")
def trained() -> nn.Module:
    """A random ResNet-8 for (3, 12, 12) whose votes are mixed under noise; mean and std are 0.5 and 0.25."""
    torch.manual_seed(3)
    net = build("resnet8", 4, 3)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return mixed(net.eval().requires_grad_(False), "head", noisy(64) * 4 - 2)


@pytest.fixture
def exported(tmp_path: Path) -> Callable[..., str]:
    """Write a network as ONNX; the shapes of its input and output are as they are given."""
    onnx = library("onnx")
    library("onnxruntime")

    def write(net: nn.Module, shape: tuple[int, ...], dynamic: bool = True, dtype: torch.dtype = torch.float32) -> str:
        path = tmp_path / "net.onnx"
        axes = {"image": {0: "n"}, "logits": {0: "n"}} if dynamic else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net.to(dtype),
                (torch.zeros(shape, dtype=dtype),),
                str(path),
                dynamo=False,
                input_names=["image"],
                output_names=["logits"],
                dynamic_axes=axes,
            )
        onnx.checker.check_model(str(path))
        return str(path)

    return write
