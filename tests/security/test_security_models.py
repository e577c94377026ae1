"""Hostile weights, networks and bundles: each is read, or refused with one short printable sentence; no code is run."""

import hashlib
import importlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from networks import write_denoiser
from smoothcert.evidence.bundle.files import RECORD, SUMMED, SUMS, WEIGHTS, read_bundle
from smoothcert.formats.card import Card
from smoothcert.models import ModelOptions, load_classifier
from smoothcert.models.denoisers.load import load_denoiser
from smoothcert.models.resnet import build
from smoothcert.models.torchscript import is_script
from smoothcert.sampling.smoothed import SmoothedClassifier

from .hostile import many, sentence, spoiled, strange, written

NET = build("resnet8", 4, 3)
CARD = Card(arch="resnet8", num_classes=4, in_channels=3, mean=(0.5,) * 3, std=(0.2,) * 3, class_names=tuple("abcd"))
STATE = save({name: tensor.contiguous() for name, tensor in NET.state_dict().items()}, {"smoothcert": CARD.as_json()})
LENGTH = int.from_bytes(STATE[:8], "little")
HEAD, BODY = json.loads(STATE[8 : 8 + LENGTH]), STATE[8 + LENGTH :]
OPTIONS = ModelOptions(arch="resnet8", num_classes=4, in_channels=3)


def with_head(head: bytes) -> bytes:
    return len(head).to_bytes(8, "little") + head + BODY


@many
@given(data=st.data())
def test_heads_of_safetensors(tmp_path, data):
    head = data.draw(strange(HEAD).map(written) | spoiled(written(HEAD)))
    (tmp_path / "x.safetensors").write_bytes(with_head(head))
    sentence(load_classifier, f"{tmp_path}/x.safetensors")


@many
@given(data=st.data())
def test_cards(tmp_path, data):
    card = data.draw(strange(json.loads(CARD.as_json())))
    (tmp_path / "x.safetensors").write_bytes(
        with_head(written(HEAD | {"__metadata__": {"smoothcert": json.dumps(card)}}))
    )
    sentence(load_classifier, f"{tmp_path}/x.safetensors")


@pytest.mark.parametrize("zipped", [True, False])
@many
@given(data=st.data())
def test_state_dicts(tmp_path, zipped, data):
    file = io.BytesIO()
    torch.save({"head.weight": torch.zeros(4, 3)}, file, _use_new_zipfile_serialization=zipped)
    (tmp_path / "x.pth").write_bytes(data.draw(spoiled(file.getvalue())))
    is_script(f"{tmp_path}/x.pth")
    sentence(load_classifier, f"{tmp_path}/x.pth", OPTIONS)


@many
@given(data=st.data())
def test_onnx(tmp_path, data):
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    (tmp_path / "x.onnx").write_bytes(data.draw(spoiled(network())))
    sentence(load_classifier, f"{tmp_path}/x.onnx")


def network() -> bytes:
    """A linear network."""
    onnx, make = pytest.importorskip("onnx"), importlib.import_module("onnx.helper")
    number, weights = onnx.TensorProto.FLOAT, importlib.import_module("onnx.numpy_helper").from_array
    graph = make.make_graph(
        [make.make_node("Flatten", ["x"], ["f"]), make.make_node("MatMul", ["f", "w"], ["logits"])],
        "g",
        [make.make_tensor_value_info("x", number, ["n", 3, 4, 4])],
        [make.make_tensor_value_info("logits", number, ["n", 4])],
        [weights(np.zeros((48, 4), np.float32), "w")],
    )
    found: bytes = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9).SerializeToString()
    return found


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a network of ours."""
    place = tmp_path_factory.mktemp("bundle") / "whole"
    SmoothedClassifier(build("resnet8", 4, 3).eval(), sigma=0.25, num_classes=4).save(place, shape=(3, 8, 8))
    return place


@pytest.fixture(scope="module")
def denoised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a network and a denoiser of ours."""
    folder = tmp_path_factory.mktemp("denoised")
    denoiser = load_denoiser(str(write_denoiser(folder / "d.safetensors")))
    (folder / "net.safetensors").write_bytes(STATE)
    g = SmoothedClassifier(load_classifier(str(folder / "net.safetensors")), 0.25, 4, denoiser=denoiser)
    g.save(folder / "whole", shape=(3, 8, 8))
    return folder / "whole"


def summed(folder: Path) -> None:
    """Make the sums of a bundle right, as whoever doctors a bundle would."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    sums = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (folder / SUMS).write_text("".join(sums))


@pytest.mark.parametrize("kind", ["bundle", "denoised"])
@many
@given(data=st.data())
def test_records_of_bundles_with_right_sums(kind, request, tmp_path, data):
    bundle = request.getfixturevalue(kind)
    for path in bundle.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    sound = json.loads((bundle / RECORD).read_bytes())
    (tmp_path / RECORD).write_bytes(data.draw(strange(sound).map(written) | spoiled(written(sound))))
    summed(tmp_path)
    sentence(read_bundle, tmp_path)
    sentence(SmoothedClassifier.load, tmp_path)


@many
@given(data=st.data())
def test_sums_of_bundles(bundle, tmp_path, data):
    for name in (*SUMMED, SUMS):
        (tmp_path / name).write_bytes((bundle / name).read_bytes())
    (tmp_path / SUMS).write_bytes(data.draw(spoiled((bundle / SUMS).read_bytes())))
    sentence(read_bundle, tmp_path)


def test_links_in_a_bundle_lead_nowhere(bundle, tmp_path):
    """A link is read like the file it names, so only a file with the very bytes passes; a pipe or folder is refused."""
    for name in (*SUMMED, SUMS):
        (tmp_path / name).write_bytes((bundle / name).read_bytes())
    (tmp_path / WEIGHTS).unlink()
    (tmp_path / WEIGHTS).symlink_to(bundle / WEIGHTS)
    assert sentence(read_bundle, tmp_path) is None
    (tmp_path / WEIGHTS).unlink()
    (tmp_path / WEIGHTS).symlink_to("/etc/hostname")
    assert f"{WEIGHTS} was changed" in (sentence(read_bundle, tmp_path) or "")
    for odd in ("/dev/zero", "/", "/nowhere"):
        (tmp_path / WEIGHTS).unlink()
        (tmp_path / WEIGHTS).symlink_to(odd)
        assert WEIGHTS in (sentence(read_bundle, tmp_path) or "")
