import hashlib
import io
import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import nn

from refusals import refuses
from smoothcert.errors import ModelError
from smoothcert.formats.card import Card
from smoothcert.models import ModelOptions, at_sigma, load_classifier
from smoothcert.models.checkpoints import read_weights, save_weights
from smoothcert.models.resnet import build
from smoothcert.models.state import load_state

CARD = Card(
    arch="resnet8",
    num_classes=4,
    in_channels=3,
    input_shape=(3, 12, 12),
    mean=(0.5,) * 3,
    std=(0.25,) * 3,
    sigma=0.5,
    class_names=("a", "b", "c", "d"),
)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(1)
    return build("resnet8", 4, 3).eval()


@pytest.fixture
def file(net: nn.Module, tmp_path: Path) -> Path:
    save_weights(net, CARD, tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def test_round_trip(net: nn.Module, file: Path) -> None:
    got = load_classifier(str(file))
    images = torch.randn(3, 3, 12, 12)
    assert torch.equal(got.module(images), net(images))
    assert not got.module.training
    assert (got.num_classes, got.input_shape, got.mean, got.std) == (4, (3, 12, 12), (0.5,) * 3, (0.25,) * 3)
    assert (got.built_in, got.arch, got.sigma) == (True, "resnet8", 0.5)
    assert (got.class_names, got.reference) == (("a", "b", "c", "d"), str(file))
    assert got.sha256 == "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()


def test_nothing_is_overwritten_and_nothing_is_left_half_written(net: nn.Module, file: Path) -> None:
    with refuses("E-MODEL-036"):
        save_weights(net, CARD, file)
    with refuses("E-MODEL-035"):
        save_weights(net, CARD, file.with_suffix(".pt"))
    with refuses("E-MODEL-037"):
        save_weights(net, CARD, file.parent / "no" / "folder.safetensors")
    assert os.listdir(file.parent) == ["net.safetensors"]


def test_a_file_without_card_needs_arch(net: nn.Module, tmp_path: Path) -> None:
    path = str(tmp_path / "bare.safetensors")
    save_file({f"module.{name}": value.contiguous() for name, value in net.state_dict().items()}, path)
    with refuses("E-MODEL-077"):
        load_classifier(path)
    got = load_classifier(path, ModelOptions(arch="resnet8"))
    assert (got.num_classes, got.mean, got.sigma, got.input_shape) == (4, (), None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ModelOptions(arch="resnet20"), "expected arch resnet20, but the file has resnet8"),
        (ModelOptions(num_classes=8), "expected num_classes 8, but the file has 4"),
        (ModelOptions(in_channels=1), "expected in_channels 1, but the file has 3"),
        (ModelOptions(weights="w.pt"), "leave out --weights"),
    ],
)
def test_contradictions(file: Path, options: ModelOptions, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_classifier(str(file), options)


def test_other_tensors_are_named(net: nn.Module, tmp_path: Path) -> None:
    path, arch = str(tmp_path / "x.safetensors"), ModelOptions(arch="resnet8")
    save_file({"conv1.weight": torch.zeros(1)}, path)
    with refuses("E-MODEL-080", match=r"missing stem\.0\.weight, .* more, unknown conv1\.weight;"):
        load_classifier(path, arch)
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(state | {"head.bias": torch.zeros(9)}, path)
    with refuses("E-MODEL-081", match=r"head\.bias must have shape \(4,\), got \(9,\)"):
        load_classifier(path, arch)
    save_file(state | {"head.bias": torch.zeros(4, dtype=torch.int8)}, path)
    with refuses("E-MODEL-082", match=r"head\.bias must be torch\.float32, got torch\.int8"):
        load_classifier(path, arch)
    save_file(state | {"head.bias": torch.tensor([0, 0, 0, torch.nan])}, path)
    with refuses("E-MODEL-083"):
        load_classifier(path, arch)
    save_file({name: value for name, value in state.items() if name != "layers.2.first.0.weight"}, path)
    with refuses("E-MODEL-080", match=r"missing layers\.2\.first\.0\.weight, unknown none"):
        load_classifier(path, arch)


def test_half_precision_weights_become_float32(net: nn.Module, tmp_path: Path) -> None:
    path = str(tmp_path / "half.safetensors")
    save_file({name: value.half().contiguous() for name, value in net.state_dict().items()}, path)
    module = load_classifier(path, ModelOptions(arch="resnet8")).module
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    module(torch.randn(1, 3, 8, 8))


def test_an_unknown_architecture_in_the_card(net: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_weights(net, Card(arch="resnet9000"), path)
    with refuses("E-MODEL-078", match="unknown architecture 'resnet9000'; expected one of resnet8"):
        load_classifier(str(path))


@pytest.mark.parametrize("name", ["net.h5", "net.safetensors.gz", "", "a b:c", ":f", "net"])
def test_unknown_forms_name_the_known_ones(name: str) -> None:
    with refuses("E-MODEL-024"):
        load_classifier(name)


@pytest.mark.parametrize("name", ["none.safetensors", "none.pt"])
def test_missing_file(name: str) -> None:
    with refuses("E-MODEL-034"):
        load_classifier(name, ModelOptions(arch="resnet8"))


SMALL = save({"head.weight": torch.zeros(4, 3)}, metadata={"smoothcert": CARD.as_json()})


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, len(SMALL)),
    st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), max_size=5),
)
def test_hostile_safetensors_never_give_another_error(tmp_path: Path, cut: int, edits: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for place, value in edits:
        data[place] = value
    file = tmp_path / "hostile.safetensors"
    file.write_bytes(data[:cut] if cut % 2 else data)
    with pytest.raises(ModelError, match="hostile"):
        load_classifier(str(file))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_hostile_state_dicts_never_give_another_error(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "hostile.pth"
    file.write_bytes(data)
    with pytest.raises(ModelError, match="hostile"):
        load_classifier(str(file), ModelOptions(arch="resnet8"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precisions_are_computed_in_float32(
    net: nn.Module, tmp_path: Path, dtype: torch.dtype
) -> None:
    state = {name: value.to(dtype) if value.is_floating_point() else value for name, value in net.state_dict().items()}
    torch.save(state, tmp_path / "net.pt")
    got = load_classifier(str(tmp_path / "net.pt"), ModelOptions(arch="resnet8")).module.state_dict()
    assert all(torch.equal(got[name], value.float()) for name, value in state.items() if value.is_floating_point())


def test_averaged_weights_are_taken_alone_and_refused_beside_others(net: nn.Module, tmp_path: Path) -> None:
    path, arch = tmp_path / "net.pth.tar", ModelOptions(arch="resnet8")
    torch.save({"state_dict_ema": net.state_dict(), "epoch": 3}, path)
    images = torch.randn(1, 3, 8, 8)
    assert torch.equal(load_classifier(str(path), arch).module(images), net(images))
    torch.save({"state_dict": net.state_dict(), "model_ema": net.state_dict()}, path)
    with refuses("E-MODEL-029"):
        load_classifier(str(path), arch)


def test_prefixes_of_lightning_go_only_where_the_network_does_not_know_them(net: nn.Module, tmp_path: Path) -> None:
    inside = nn.ModuleDict({"model": net})
    load_state(inside, dict(inside.state_dict()), "net")
    with refuses("E-MODEL-080"):
        load_state(net, {**inside.state_dict(), "loss": torch.zeros(1)}, "net")


def test_names_of_the_network_itself_are_not_prefixes(tmp_path: Path) -> None:
    inside = nn.ModuleDict({"module": nn.Linear(2, 2)})
    torch.save(inside.state_dict(), tmp_path / "w.pt")
    load_state(inside, read_weights(tmp_path / "w.pt").state, "w.pt")


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "net", "model_state_dict"])
@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "model.", "net.", "model._orig_mod."]
)
def test_state_dicts_with_wrappers_and_prefixes(
    net: nn.Module, tmp_path: Path, wrapper: str | None, prefix: str
) -> None:
    state: dict = {prefix + name: value for name, value in net.state_dict().items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "net.pt")
    got = load_classifier(str(tmp_path / "net.pt"), ModelOptions(arch="resnet8"))
    images = torch.randn(1, 3, 8, 8)
    assert torch.equal(got.module(images), net(images))


class Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_doctored_pickle_is_refused_and_does_not_run(tmp_path: Path, legacy: bool) -> None:
    file = tmp_path / "doctored.pt"
    torch.save({"state_dict": Payload(tmp_path / "owned")}, file, _use_new_zipfile_serialization=not legacy)
    with refuses("E-MODEL-026", match=r"would call (posix|nt)\.system"):
        load_classifier(str(file), ModelOptions(arch="resnet8"))
    assert not (tmp_path / "owned").exists()


def test_a_whole_pickled_module_is_refused(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net, tmp_path / "net.pt")
    with refuses("E-MODEL-026", match=r"would call smoothcert\.models\.resnet\.ResNet"):
        load_classifier(str(tmp_path / "net.pt"), ModelOptions(arch="resnet8"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected a state dict, got list"),
        ({}, "expected a state dict"),
        ({"a": 1, "b": "x"}, "in a, b"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "net.bin")
    with pytest.raises(ModelError, match=message):
        load_classifier(str(tmp_path / "net.bin"), ModelOptions(arch="resnet8"))


def test_a_state_dict_without_arch(net: nn.Module, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "net.pt")
    with refuses("E-MODEL-077"):
        load_classifier(str(tmp_path / "net.pt"))


def test_pt2_is_code_and_needs_trust(tmp_path: Path) -> None:
    file = tmp_path / "net.pt2"
    file.write_bytes(b"anything")
    with refuses("E-MODEL-085", match=r"a \.pt2 file is code.* add --trust-model"):
        load_classifier(str(file))
    with refuses("E-MODEL-086"):
        load_classifier(str(file), ModelOptions(trust_model=True))
    with refuses("E-MODEL-070"):
        load_classifier(str(file), ModelOptions(trust_model=True, arch="resnet8"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_pt2_round_trip(net: nn.Module, tmp_path: Path) -> None:
    images = torch.randn(2, 3, 8, 8)
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(net, (images,), dynamic_shapes={"x": {0: batch}})
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    (tmp_path / "net.pt2").write_bytes(buffer.getvalue())
    got = load_classifier(str(tmp_path / "net.pt2"), ModelOptions(trust_model=True))
    assert torch.allclose(got.module(images), net(images), atol=1e-5)
    assert not got.built_in


def test_sigma_is_filled_in_as_written() -> None:
    assert at_sigma("w/{sigma}/r20_{sigma}.safetensors", "1.0") == "w/1.0/r20_1.0.safetensors"
    assert at_sigma("my:factory", "0.5") == "my:factory"
