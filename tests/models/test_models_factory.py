import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from refusals import refuses
from smoothcert.errors import ModelError
from smoothcert.models import ModelOptions, load_classifier

SOURCE = """
import torch
from torch import nn

def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(12, 3))

def wide(num_classes=2, in_channels=3):
    return nn.Sequential(nn.Conv2d(in_channels, num_classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def declared():
    net = plain().double()
    net.smoothcert = {"mean": [51], "std": [102], "num_classes": 3, "value_range": [0, 255]}
    return net

def badly_declared():
    net = plain()
    net.smoothcert = {"std": [0]}
    return net

def misspelt():
    net = plain()
    net.smoothcert = {"means": [0.5], "std": [0.5]}
    return net

def with_its_own_mean():
    net = plain()
    net.register_buffer("mean", torch.zeros(3))
    return net

class Fixed(nn.Linear):
    def train(self, mode=True):
        raise NotImplementedError("as modules of torch.export do")

def exported():
    return Fixed(2, 2)

def needs_more(depth): return None
def number(): return 3
value = 3
"""


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_nets.py").write_text(SOURCE)
    (tmp_path / "bad_net.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    for name in ("my_nets", "bad_net"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_declaration_that_no_card_has_is_refused() -> None:
    with refuses("E-MODEL-198", "'means'"):
        load_classifier("my_nets:misspelt")


def test_a_factory_without_weights() -> None:
    before = list(sys.path)
    got = load_classifier("my_nets:plain")
    assert sys.path == before
    assert (got.built_in, got.arch, got.num_classes, got.mean) == (False, None, None, ())
    assert not got.module.training
    assert got.sha256 == load_classifier("my_nets:plain").sha256
    assert got.sha256 != load_classifier("my_nets:wide").sha256
    assert got.module(torch.zeros(2, 3, 2, 2)).shape == (2, 3)


def test_known_numbers_are_passed_where_they_are_taken() -> None:
    options = ModelOptions(num_classes=7, in_channels=1)
    assert load_classifier("my_nets:wide", options).module(torch.zeros(1, 1, 4, 4)).shape == (1, 7)
    assert load_classifier("my_nets:plain", options).num_classes is None


def test_declared_facts_are_read_only_from_the_declaration() -> None:
    got = load_classifier("my_nets:declared")
    assert (got.mean, got.std, got.num_classes) == ((0.2,), (0.4,), 3)
    assert {p.dtype for p in got.module.parameters()} == {torch.float32}
    assert load_classifier("my_nets:with_its_own_mean").mean == ()


def test_an_exported_module_keeps_its_mode() -> None:
    assert load_classifier("my_nets:exported").module(torch.zeros(1, 2)).shape == (1, 2)


def test_weights_of_either_kind(tmp_path: Path) -> None:
    state = {"2.weight": torch.ones(3, 12), "2.bias": torch.zeros(3)}
    torch.save({"net": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "w_0.5.pt")
    save_file(state, tmp_path / "w.safetensors")
    hashes = set()
    for name in ("w_0.5.pt", "w.safetensors"):
        got = load_classifier("my_nets:plain", ModelOptions(weights=name))
        assert got.module(torch.ones(1, 3, 2, 2)).tolist() == [[12.0, 12.0, 12.0]]
        hashes.add(got.sha256)
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("my_nets:needs_more", ModelOptions(), "failed .*TypeError: .*depth"),
        ("my_nets:number", ModelOptions(), "must return a torch.nn.Module, got int"),
        ("my_nets:value", ModelOptions(), "has no function 'value'; it has"),
        ("my_nets:missing", ModelOptions(), "has no function 'missing'"),
        ("my_nets:badly_declared", ModelOptions(), r"declared std \[0\] is not usable"),
        ("bad_net:f", ModelOptions(), "ZeroDivisionError"),
        ("no_such_module_here:f", ModelOptions(), "importing no_such_module_here from"),
        ("my_nets:plain", ModelOptions(arch="resnet8"), "leave out --arch resnet8"),
        ("my_nets:plain", ModelOptions(weights="none.pt"), "none.pt: the file cannot be read"),
        ("my_nets:plain", ModelOptions(weights="my_nets.py"), ".safetensors or a state dict"),
    ],
)
def test_refusals(model: str, options: ModelOptions, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_classifier(model, options)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    torch.save({"2.weight": torch.ones(3, 12)}, tmp_path / "w.pt")
    with refuses("E-MODEL-080", match=r"w\.pt: .*missing 2\.bias, unknown none"):
        load_classifier("my_nets:plain", ModelOptions(weights="w.pt"))
