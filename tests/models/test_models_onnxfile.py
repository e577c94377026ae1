"""ONNX files: the votes of the exported network, or an error; no other file is read."""

import copy
import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from refusals import refuses
from smoothcert.config import make_request
from smoothcert.errors import ModelError
from smoothcert.models import ModelOptions, load_classifier
from smoothcert.models.heads import resolve_head
from smoothcert.noise import make_noise
from smoothcert.sampling.recipe import choose_recipe, prepare
from smoothcert.sampling.sampler import Sampler, Source, self_test

from .conftest import library
from .nets import Last, noisy, votes

HALF = {"mean": (0.5,), "std": (0.25,), "in_channels": 3}


def compared(path: str, net: nn.Module, count: int = 37, **more: object) -> float:
    """The share of votes in which the file differs from the network."""
    x = noisy(count) * 4 - 2
    got = load_classifier(path, ModelOptions(**(HALF | more)))
    assert (got.built_in, got.mean, got.num_classes) == (False, (0.5,) * 3, None)
    assert got.sha256 == "sha256:" + hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return float((votes(resolve_head(got, x[:2]).module(x)) != votes(net(x))).mean())


def test_votes_are_those_of_the_network(exported, trained) -> None:
    assert compared(exported(trained, (2, 3, 12, 12)), trained, 300) == 0


@pytest.mark.parametrize("batch", [1, 8, 64])
def test_a_fixed_batch_is_run_in_parts(exported, trained, batch: int) -> None:
    assert compared(exported(trained, (batch, 3, 12, 12), dynamic=False), trained) == 0


def test_half_precision_runs_as_stored(exported, trained) -> None:
    path = exported(copy.deepcopy(trained), (2, 3, 12, 12), dtype=torch.float16)
    assert compared(path, trained, 300) <= 0.02


def test_double_precision_runs_where_onnxruntime_has_it(exported, trained) -> None:
    torch.manual_seed(0)
    flat = nn.Sequential(nn.Flatten(), nn.Linear(432, 3)).eval()
    assert compared(exported(copy.deepcopy(flat), (2, 3, 12, 12), dtype=torch.float64), flat, 300) == 0
    with refuses("E-MODEL-071", match=r"does not implement .* float32"):
        load_classifier(exported(copy.deepcopy(trained), (2, 3, 12, 12), dtype=torch.float64))


def test_channels_last_are_told_from_the_declared_shape(exported, trained) -> None:
    path = exported(Last(trained).eval(), (2, 12, 12, 3))
    assert compared(path, trained) == 0
    got = load_classifier(path, ModelOptions(in_channels=3))
    assert (got.input_shape, got.adapted) == ((3, 12, 12), ("channels last (NHWC)",))
    with refuses("E-MODEL-041"):
        load_classifier(path, ModelOptions(layout="NCHW", in_channels=3))


def test_the_user_sets_the_layout_if_the_shape_is_ambiguous(exported) -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(27, 3))
    path = exported(flat, (2, 3, 3, 3))
    assert load_classifier(path, ModelOptions(in_channels=3)).adapted == ()
    assert load_classifier(path, ModelOptions(in_channels=3, layout="NHWC")).adapted == ("channels last (NHWC)",)


def test_a_session_is_not_pickled_but_opened_again(exported, trained) -> None:
    got = load_classifier(exported(trained, (2, 3, 12, 12)))
    x = noisy(5)
    before = got.module(x)
    assert torch.equal(pickle.loads(pickle.dumps(got.module))(x), before)


def test_the_recipe_names_the_runtime_and_takes_nothing_else(exported, trained) -> None:
    got = load_classifier(exported(trained, (2, 3, 12, 12)))

    def asked(**settings):
        return choose_recipe(got, make_request(model="m", data="d", **settings), (3, 12, 12))

    how = asked(device="cpu")
    version = library("onnxruntime").__version__
    assert how.torch == f"{torch.__version__} with onnxruntime {version}"
    assert (how.precision, how.autocast, how.folded) == ("fp32", False, False)
    with refuses("E-RECIPE-005", match=r"run as stored by onnxruntime .* fp32 .* got --precision bf16"):
        asked(precision="bf16")
    with refuses("E-RECIPE-005", match="--compile on"):
        asked(compile="on")


@pytest.mark.parametrize("batch", [64, 37])
def test_rows_are_bit_equal_whatever_their_place_neighbours_and_threads(exported, trained, batch: int) -> None:
    got = load_classifier(exported(trained, (2, 3, 12, 12)), ModelOptions(**HALF, num_classes=4))
    got = resolve_head(got, noisy(4))
    how = choose_recipe(got, make_request(model="m", data="d", device="cpu", batch_size=batch), (3, 12, 12))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 12, 12)).astype(np.int32)
    source = Source((3, 12, 12), lambda index: pixels)
    torch.set_num_threads(2)
    found = self_test(Sampler(got, prepare(got, how), make_noise("grid", 0.25, 255, 1), how, source), 0)
    assert found.bit_equal


def graph(tmp_path: Path, **changes) -> str:
    """Write a tiny ONNX graph: 3x3 convolution, average pooling, four scores."""
    onnx = library("onnx")
    library("onnxruntime")
    numpy_helper, helper, kind = onnx.numpy_helper, onnx.helper, onnx.TensorProto
    inputs = changes.get("inputs", {"image": (kind.FLOAT, ["n", 3, 12, 12])})
    outputs = changes.get("outputs", ("logits",))
    nodes = [
        helper.make_node(
            changes.get("operator", "Conv"), [next(iter(inputs)), "w"], ["y"], domain=changes.get("domain")
        ),
        helper.make_node("GlobalAveragePool", ["y"], ["z"]),
        *(helper.make_node("Flatten", ["z"], [name]) for name in outputs),
    ]
    weights = numpy_helper.from_array(np.random.default_rng(0).random((4, 3, 3, 3), dtype=np.float32), "w")
    made = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, *facts) for name, facts in inputs.items()],
        [helper.make_tensor_value_info(name, kind.FLOAT, ["n", 4]) for name in outputs],
        [weights],
    )
    known = [helper.make_opsetid("", 17), helper.make_opsetid("my.operators", 1)]
    file = tmp_path / "graph.onnx"
    onnx.save(helper.make_model(made, opset_imports=known, ir_version=9), str(file), **changes.get("saved", {}))
    return str(file)


def test_of_several_outputs_the_one_called_logits_is_taken(tmp_path: Path) -> None:
    assert load_classifier(graph(tmp_path)).module(noisy(3)).shape == (3, 4)
    assert load_classifier(graph(tmp_path, outputs=("features", "logits"))).module(noisy(3)).shape == (3, 4)
    with refuses("E-MODEL-073"):
        load_classifier(graph(tmp_path, outputs=("a", "b")))


def test_weights_in_other_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = {"save_as_external_data": True, "location": "graph.data", "size_threshold": 0}
    path = graph(tmp_path, saved=saved)
    monkeypatch.chdir(tmp_path)  # where onnxruntime would look
    with refuses("E-MODEL-071", match="its weights are in other files"):
        load_classifier(path)


FLOAT, BYTES = 1, 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"operator": "Bogus"}, "an operator that onnxruntime lacks"),
        ({"operator": "Own", "domain": "my.operators"}, "custom operators are code"),
        ({"inputs": {"x": (FLOAT, ["n", 3, 12, 12]), "age": (FLOAT, ["n", 1])}}, "expected one input.* got x .* age "),
    ],
)
def test_graphs_that_are_no_classifier_of_images(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_classifier(graph(tmp_path, **changes))


def test_files_that_are_no_onnx(tmp_path: Path) -> None:
    library("onnxruntime")
    (tmp_path / "net.onnx").write_bytes(b"rubbish")
    with refuses("E-MODEL-071", match=r"expected an \.onnx file, got one that cannot be loaded"):
        load_classifier(str(tmp_path / "net.onnx"))
    with refuses("E-MODEL-034"):
        load_classifier("none.onnx")
    with refuses("E-MODEL-070"):
        load_classifier("none.onnx", ModelOptions(arch="resnet8"))


def test_a_missing_library_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with refuses("E-EXTRA-001", match="extra `onnx`"):
        load_classifier("net.onnx")
