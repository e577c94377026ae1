"""ONNX files: memory and time are limited, and the process ends with its parent."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from refusals import refuses
from smoothcert.models import ModelOptions, load_classifier
from smoothcert.models import onnx as onnxnet

from .conftest import library

onnx = library("onnx")
library("onnxruntime")
helper, kind = onnx.helper, onnx.TensorProto
TRUSTED = ModelOptions(trust_model=True)


def tensor(name: str, value: object) -> object:
    return onnx.numpy_helper.from_array(np.array(value), name)


def written(path: Path, nodes: list, tensors: list = (), size: object = 12, **more: object) -> str:
    """A classifier (n, 3, size, size) -> (n, 3) whose images go through some nodes, from `image` to `y`, before."""
    last = [helper.make_node("GlobalAveragePool", ["y"], ["p"]), helper.make_node("Flatten", ["p"], ["logits"])]
    ports = {"image": ["n", 3, size, size], "logits": ["n", 3]}
    image, logits = (helper.make_tensor_value_info(name, kind.FLOAT, shape) for name, shape in ports.items())
    known = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    graph = helper.make_graph([*nodes, *last], "g", [image], [logits], list(tensors))
    onnx.save(helper.make_model(graph, opset_imports=known, ir_version=9, **more), str(path))
    return str(path)


def looping(turns: int = 2**62) -> tuple[object, list]:
    """A Loop, and the tensors it needs."""
    ports = {"i": (kind.INT64, []), "go": (kind.BOOL, []), "v": (kind.FLOAT, None)}
    after = {"on": (kind.BOOL, []), "w": (kind.FLOAT, None)}
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        *([helper.make_tensor_value_info(name, *facts) for name, facts in some.items()] for some in (ports, after)),
    )
    node = helper.make_node("Loop", ["turns", "true", "image"], ["y"], body=body)
    return node, [tensor("turns", np.int64(turns)), tensor("true", np.bool_(True))]


def large() -> list:
    """Nodes that add the sum of zeros, as many as `s` says, to an image."""
    return [
        helper.make_node("ConstantOfShape", ["s"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
        helper.make_node("Add", ["image", "sum"], ["y"]),
    ]


def test_a_graph_within_a_graph_is_refused_unless_trusted(tmp_path: Path) -> None:
    node, tensors = looping(3)
    path = written(tmp_path / "x.onnx", [node], tensors)
    with refuses("E-MODEL-067", match=r"Loop.*--trust-model"):
        load_classifier(path)
    assert load_classifier(path, TRUSTED).module(torch.rand(2, 3, 12, 12)).shape == (2, 3)


def test_a_loop_within_a_function_is_refused(tmp_path: Path) -> None:
    node, tensors = looping()
    node.input[:] = ["turns", "true", "image"]
    known = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "f", ["image", "turns", "true"], ["y"], [node], known)
    call = helper.make_node("f", ["image", "turns", "true"], ["y"], domain="own")
    with refuses("E-MODEL-067", match="Loop"):
        load_classifier(written(tmp_path / "x.onnx", [call], tensors, functions=[function]))


@pytest.mark.parametrize("lie", [None, 1])
def test_a_large_tensor_is_refused_before_it_is_made(tmp_path: Path, lie: int | None) -> None:
    """Whatever the file says of its size."""
    path = written(tmp_path / "x.onnx", large(), [tensor("s", [2_200_000_000])])
    if lie is not None:
        model = onnx.load(path)
        model.graph.value_info.append(helper.make_tensor_value_info("big", kind.FLOAT, [lie]))
        onnx.save(model, path)
    assert os.path.getsize(path) < 400
    with refuses("E-MODEL-067", match=r"'big' .* 2,200,000,000 numbers"):
        load_classifier(path)


def test_a_large_tensor_within_a_function_is_refused(tmp_path: Path) -> None:
    known = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "f", ["image", "s"], ["y"], large(), known)
    call = helper.make_node("f", ["image", "s"], ["y"], domain="own")
    path = written(tmp_path / "x.onnx", [call], [tensor("s", [2_200_000_000])], functions=[function])
    with refuses("E-MODEL-067", match="2,200,000,000 numbers"):
        load_classifier(path)


def test_a_tensor_whose_size_depends_on_the_images_size_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Tile", ["image", "s"], ["y"])]
    path = written(tmp_path / "x.onnx", nodes, [tensor("s", [1, 1, 1000, 1000])], size="side")
    module = load_classifier(path, ModelOptions(layout="NCHW")).module
    with refuses("E-MODEL-067", match="432,000,000 numbers"):
        module(torch.zeros(1, 3, 12, 12))


def test_a_tensor_whose_size_depends_on_pixels_meets_the_limit_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxnet, "_half_of_free_memory", lambda: 2**30)
    nodes = [
        helper.make_node("ReduceMax", ["image"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "times"], ["many"]),
        helper.make_node("Cast", ["many"], ["whole"], to=kind.INT64),
        helper.make_node("Reshape", ["whole", "one"], ["s"]),
        *large(),
    ]
    path = written(tmp_path / "x.onnx", nodes, [tensor("times", np.float32(1e9)), tensor("one", [1])])
    module = load_classifier(path).module
    assert module(torch.zeros(1, 3, 12, 12)).shape == (1, 3)
    with pytest.raises(RuntimeError, match=r"(?i)allocate memory"):
        module(torch.ones(1, 3, 12, 12))
    assert module(torch.zeros(1, 3, 12, 12)).shape == (1, 3)


def test_time_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "x.onnx", [helper.make_node("Identity", ["image"], ["y"])])
    monkeypatch.setattr(onnxnet, "OPEN_SECONDS", 0.01)
    with refuses("E-MODEL-068"):
        load_classifier(path)


def test_a_process_that_is_killed_is_said_and_another_is_started(tmp_path: Path) -> None:
    path = written(tmp_path / "x.onnx", [helper.make_node("Identity", ["image"], ["y"])])
    module = load_classifier(path).module
    os.kill(module.process._process.pid, signal.SIGKILL)
    with refuses("E-MODEL-069"):
        module(torch.zeros(1, 3, 12, 12))
    assert module(torch.zeros(1, 3, 12, 12)).shape == (1, 3)


def test_a_run_without_end_can_be_interrupted(tmp_path: Path) -> None:
    node, tensors = looping()
    module = load_classifier(written(tmp_path / "x.onnx", [node], tensors), TRUSTED).module
    child = module.process._process
    stop = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    stop.start()
    with pytest.raises(KeyboardInterrupt):
        module(torch.zeros(1, 3, 12, 12))
    assert child.poll() is not None


ENDLESS = """
import sys, torch
from smoothcert.models import ModelOptions, load_classifier
module = load_classifier(sys.argv[1], ModelOptions(trust_model=True)).module
print(module.process._process.pid, flush=True)
module(torch.zeros(1, 3, 12, 12))
"""


def test_its_process_does_not_outlive_ours(tmp_path: Path) -> None:
    node, tensors = looping()
    path = written(tmp_path / "x.onnx", [node], tensors)
    with subprocess.Popen([sys.executable, "-c", ENDLESS, path], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.5)
        parent.kill()
    until = time.monotonic() + 30
    while _alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
