"""Every form of model reference gives the votes of the plain module on the same noisy images."""

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from smoothcert.config import make_request
from smoothcert.formats.card import Card
from smoothcert.models import ModelOptions, load_classifier
from smoothcert.models.checkpoints import save_weights
from smoothcert.models.heads import resolve_head
from smoothcert.noise import Rows, Stage, make_noise
from smoothcert.sampling.recipe import choose_recipe, prepare
from smoothcert.sampling.sampler import Sampler, Source

from .conftest import library
from .nets import RESNET, Last, One, built, bundle, mixed, noisy, scripted, votes

IMAGES, COPIES, BATCH = 8, 64, 64
MOST = 1 / 200
"""Share of votes that rounding may change: normalisation by a table of numbers, folded normalisation of batches."""
HALF: dict[str, Any] = {"mean": (0.5,), "std": (0.25,)}


@dataclass(frozen=True)
class Case:
    """A classifier under a name, and what it is: a function of noisy images in the [0, 1] range."""

    model: str
    by_hand: Callable[[torch.Tensor], torch.Tensor]
    options: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, int, int] = (3, 12, 12)


@torch.inference_mode()
def differing(case: Case) -> float:
    """Return the share of votes that differ among some hundred noise samples."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, *case.shape)).astype(np.int32)
    noise = make_noise("grid", 0.25, 255, 1)
    slot = np.repeat(np.arange(IMAGES), COPIES)
    rows = Rows.of(slot, slot, np.tile(np.arange(COPIES), IMAGES), Stage.TEST)
    samples = torch.from_numpy((pixels[slot] + noise.steps(rows, case.shape)) / 255).float()
    classifier = load_classifier(case.model, ModelOptions(in_channels=case.shape[0], **case.options))
    classifier = resolve_head(classifier, samples[:4])
    by_hand = votes(case.by_hand(samples))
    recipe = choose_recipe(classifier, make_request(model="m", data="d", device="cpu", batch_size=BATCH), case.shape)
    source = Source(case.shape, lambda index: pixels[index])
    sampler = Sampler(classifier, prepare(classifier, recipe), noise, recipe, source)
    for index in range(IMAGES):
        sampler.load(index, index)
    columns = (rows.slot, rows.image, rows.sample, rows.stage)
    starts = range(0, len(slot), BATCH)
    drawn = [votes(sampler.logits(Rows(*(column[at : at + BATCH] for column in columns)))) for at in starts]
    assert len(set(by_hand)) > 1
    return float((np.concatenate(drawn) != by_hand).mean())


def half(net: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: net((x - 0.5) / 0.25)


def own(net: nn.Module, folder: Path) -> Case:
    save_weights(net, Card("resnet8", 4, 3, mean=(0.5,) * 3, std=(0.25,) * 3), folder / "own.safetensors")
    return Case(str(folder / "own.safetensors"), half(net))


def factory(net: nn.Module, folder: Path) -> Case:
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, folder / "net.ckpt")
    (folder / "voting_nets.py").write_text(
        "from smoothcert.models.resnet import build\n\ndef f(): return build('resnet8', 4, 3)\n"
    )
    return Case("voting_nets:f", half(net), {"weights": str(folder / "net.ckpt"), **HALF})


def pt2(net: nn.Module, folder: Path) -> Case:
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(net, (torch.zeros(2, 3, 12, 12),), dynamic_shapes={"x": {0: batch}})
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    (folder / "net.pt2").write_bytes(buffer.getvalue())
    return Case(str(folder / "net.pt2"), half(net), {"trust_model": True, **HALF})


def script(net: nn.Module, folder: Path) -> Case:
    return Case(scripted(net, folder / "net.pt"), half(net), {"trust_model": True, **HALF})


def half_weights(net: nn.Module, folder: Path) -> Case:
    """Weights rounded to half precision, computed in float32."""
    rounded = copy.deepcopy(net).half().float()
    save_file(
        {k: v.contiguous() for k, v in copy.deepcopy(net).half().state_dict().items()}, folder / "half.safetensors"
    )
    return Case(str(folder / "half.safetensors"), half(rounded), {"arch": "resnet8", **HALF})


def channels_last(net: nn.Module, folder: Path) -> Case:
    path = scripted(Last(net).eval(), folder / "last.pt", shape=(2, 12, 12, 3))
    return Case(path, half(net), {"trust_model": True, "layout": "NHWC", **HALF})


def bgr(net: nn.Module, folder: Path) -> Case:
    """Trained on BGR: its mean and std are in that order."""
    mean, std = torch.tensor([0.4, 0.5, 0.6])[:, None, None], torch.tensor([0.2, 0.25, 0.3])[:, None, None]
    asked = {"channels": "BGR", "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
    path = scripted(net, folder / "bgr.pt")
    return Case(path, lambda x: net((x[:, [2, 1, 0]] - mean) / std), {"trust_model": True, **asked})


def grey_levels(net: nn.Module, folder: Path) -> Case:
    asked = {"input_range": (0.0, 255.0), "mean": (127.5,), "std": (63.75,)}
    path = scripted(net, folder / "grey.pt")
    return Case(path, lambda x: net((x * 255 - 127.5) / 63.75), {"trust_model": True, **asked})


def one_logit(net: nn.Module, folder: Path) -> Case:
    """One finding: its logit above 0 means class 1."""
    path = scripted(One(net).eval(), folder / "one.pt")

    def by_hand(x: torch.Tensor) -> torch.Tensor:
        return nn.functional.pad(One(net)((x - 0.5) / 0.25), (1, 0))

    return Case(path, by_hand, {"trust_model": True, "output": "logit", **HALF})


def one_probability(net: nn.Module, folder: Path) -> Case:
    """One finding: its probability above 0.5 means class 1."""
    path = scripted(nn.Sequential(One(net), nn.Sigmoid()).eval(), folder / "probability.pt")
    by_hand = one_logit(net, folder).by_hand
    return Case(path, by_hand, {"trust_model": True, "output": "probability", **HALF})


def of_timm(net: nn.Module, folder: Path) -> Case:
    timm = library("timm")
    torch.manual_seed(0)
    theirs = timm.create_model("test_resnet", num_classes=5).eval()
    known = timm.data.resolve_model_data_config(theirs)
    mean, std = (torch.tensor(known[name])[:, None, None] for name in ("mean", "std"))
    theirs = mixed(theirs, "fc", (noisy(64, (3, 32, 32)) - mean) / std)
    save_file({k: v.contiguous() for k, v in theirs.state_dict().items()}, folder / "timm.safetensors")
    weights = {"weights": str(folder / "timm.safetensors")}
    return Case("timm:test_resnet", lambda x: theirs((x - mean) / std), weights, (3, 32, 32))


def of_monai(net: nn.Module, folder: Path) -> Case:
    library("monai")
    theirs = mixed(built(library("monai.networks.nets"), RESNET), "fc", noisy(64, (3, 32, 32)) * 4 - 2)
    model = bundle(folder, RESNET)
    torch.save(theirs.state_dict(), folder / "models" / "model.pt")
    return Case(model, half(theirs), {"trust_model": True, **HALF}, (3, 32, 32))


CASES = [
    own,
    factory,
    half_weights,
    script,
    channels_last,
    bgr,
    grey_levels,
    one_logit,
    one_probability,
    of_timm,
    of_monai,
]


@pytest.mark.parametrize("case", CASES, ids=[case.__name__ for case in CASES])
def test_votes(case: Callable[[nn.Module, Path], Case], trained: nn.Module, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert differing(case(trained, tmp_path)) <= MOST


@pytest.mark.parametrize("batch", [None, 24])
def test_votes_of_onnx(exported, trained: nn.Module, batch: int | None) -> None:
    path = exported(trained, (batch or 2, 3, 12, 12), dynamic=batch is None)
    assert differing(Case(path, half(trained), HALF)) <= MOST


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_votes_of_an_exported_program(trained: nn.Module, tmp_path: Path) -> None:
    assert differing(pt2(trained, tmp_path)) <= MOST


def test_a_wrong_order_of_colours_would_be_seen(trained: nn.Module, tmp_path: Path) -> None:
    case = bgr(trained, tmp_path)
    wrong = {name: value for name, value in case.options.items() if name != "channels"}
    assert differing(Case(case.model, case.by_hand, wrong)) > 10 * MOST
