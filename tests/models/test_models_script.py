"""TorchScript archives: refused without trust, otherwise the votes of the scripted network."""

import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from refusals import refuses
from smoothcert.config import make_request
from smoothcert.models import ModelOptions, load_classifier
from smoothcert.models.torchscript import Unoptimized, is_script
from smoothcert.sampling.recipe import choose_recipe

from .nets import noisy, scripted, votes

TRUST = ModelOptions(trust_model=True)


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.ts"])
def test_votes_are_those_of_the_network(trained: nn.Module, tmp_path: Path, name: str) -> None:
    path = scripted(trained, tmp_path / name, frozen=name == "net.ts")
    got = load_classifier(path, ModelOptions(trust_model=True, in_channels=3, mean=(0.5,), std=(0.25,)))
    assert (got.built_in, got.mean, got.module.training) == (False, (0.5,) * 3, False)
    x = noisy(300) * 4 - 2
    first = got.module(x)
    assert (votes(first) == votes(trained(x))).all()
    assert all(torch.equal(got.module(x), first) for _ in range(4))


def test_it_is_not_rewritten_while_it_warms_up() -> None:
    class Told(nn.Module):
        def forward(self, x: torch.Tensor) -> bool:
            return torch._C._get_graph_executor_optimize()

    assert Told()(noisy(1))
    assert not Unoptimized(Told())(noisy(1))


def test_dropout_is_off_even_where_the_archive_was_saved_in_training(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(432, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(net.train()), str(tmp_path / "net.ts"))
    x = noisy(5)
    assert torch.equal(load_classifier(str(tmp_path / "net.ts"), TRUST).module(x), net.eval()(x))


def test_without_trust_it_is_refused_and_not_loaded(
    trained: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scripted(trained, tmp_path / "net.pt")
    monkeypatch.setattr(torch.jit, "load", None)
    with refuses("E-MODEL-088"):
        load_classifier(path)
    with refuses("E-MODEL-087"):
        load_classifier(path, ModelOptions(arch="resnet8", trust_model=True))


def test_it_is_not_compiled_again(trained: nn.Module, tmp_path: Path) -> None:
    got = load_classifier(scripted(trained, tmp_path / "net.pt"), ModelOptions(trust_model=True, layout="NHWC"))
    asked = make_request(model="m", data="d", device="cpu", compile="on")
    with refuses("E-RECIPE-006"):
        choose_recipe(got, asked, (3, 12, 12))


def test_what_is_no_archive(trained: nn.Module, tmp_path: Path) -> None:
    torch.save(trained.state_dict(), tmp_path / "state.pt")
    (tmp_path / "rubbish.ts").write_bytes(b"rubbish")
    assert not any(is_script(str(tmp_path / name)) for name in ("state.pt", "rubbish.ts", "none.pt"))
    with refuses("E-MODEL-089"):
        load_classifier(str(tmp_path / "rubbish.ts"), TRUST)
    with refuses("E-MODEL-077"):
        load_classifier(str(tmp_path / "state.pt"), TRUST)


def test_a_doctored_archive_is_a_clear_refusal(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        for name, content in {"constants.pkl": b"\x80\x02)", "data.pkl": b"\x80\x02}.", "version": b"3\n"}.items():
            archive.writestr(f"net/{name}", content)
    with refuses("E-MODEL-088"):
        load_classifier(str(tmp_path / "net.pt"))
    with refuses("E-MODEL-089"):
        load_classifier(str(tmp_path / "net.pt"), TRUST)
