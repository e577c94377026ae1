"""Networks shared by several tests of models, and ways to write them to disk."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

RESNET = {
    "_target_": "ResNet",
    "block": "basic",
    "layers": [1, 1, 1, 1],
    "block_inplanes": [8, 16, 32, 64],
    "spatial_dims": 2,
    "n_input_channels": 3,
    "num_classes": 4,
}


class Last(nn.Module):
    """A network that takes its channels last."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x.permute(0, 3, 1, 2))


class One(nn.Module):
    """The logit of the second of two classes."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.net(x)
        return scores[:, 1:2] - scores[:, :1]


def noisy(count: int, shape: tuple[int, int, int] = (3, 12, 12), seed: int = 1) -> torch.Tensor:
    """Return noise samples of a few images in [0, 1]: float (count, C, H, W)."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.rand(8, *shape, generator=draw).repeat((count + 7) // 8, 1, 1, 1)[:count]
    return images + 0.25 * torch.randn(images.shape, generator=draw)


def votes(scores: torch.Tensor) -> np.ndarray:
    """The class each row votes for."""
    return scores.float().argmax(dim=1).numpy()


@torch.no_grad()
def mixed(net: nn.Module, head: str, x: torch.Tensor) -> nn.Module:
    """The network with a bias of its head that makes all classes about equally likely on noisy images."""
    net.get_submodule(head).bias -= net(x).mean(dim=0)
    return net


def scripted(net: nn.Module, path: Path, frozen: bool = False, shape: tuple[int, ...] = (2, 3, 12, 12)) -> str:
    """Trace a network into a TorchScript archive."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(net, torch.zeros(shape))
        torch.jit.save(torch.jit.freeze(traced) if frozen else traced, str(path))
    return str(path)


def bundle(folder: Path, network: dict[str, Any] | None, name: str = "inference.json", **metadata: Any) -> str:
    """Write the configuration of a bundle."""
    (folder / "configs").mkdir(exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    config = {"imports": ["$import torch"], "device": "$torch.device('cpu')"}
    written = config if network is None else {**config, "network_def": network, "network": "$@network_def.to(@device)"}
    (folder / "configs" / name).write_text(json.dumps(written))  # JSON is YAML too
    if metadata:
        formats = {"network_data_format": {"inputs": {"image": metadata}, "outputs": {"pred": metadata}}}
        (folder / "configs" / "metadata.json").write_text(json.dumps(formats))
    return f"monai:{folder}"


def built(nets: Any, network: dict[str, Any]) -> nn.Module:
    """The same network, built by hand, with mixed votes."""
    torch.manual_seed(2)
    net: nn.Module = getattr(nets, network["_target_"])(**{k: v for k, v in network.items() if k != "_target_"}).eval()
    return net
