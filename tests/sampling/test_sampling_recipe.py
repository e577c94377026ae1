"""The numeric recipe: what it does to a classifier, what it refuses, and what two recipes differ in."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from refusals import refuses
from smoothcert.config import make_request
from smoothcert.models.classifier import Runtime
from smoothcert.models.resnet import fold
from smoothcert.noise import make_noise
from smoothcert.sampling.recipe import choose_recipe, differences, input_precision, prepare

from .fakes import SHAPE, Conv, classifier, lived_in_resnet, pixels, recipe, rows, sampler_of

OWN, FOREIGN = classifier(lived_in_resnet(), 4, own=True), classifier(Conv(), 4)
BATCH = torch.rand(8, *SHAPE)
needs_compiler = pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler")


def chosen(model=FOREIGN, shape=SHAPE, **settings):
    return choose_recipe(model, make_request(model="m", data="d", device="cpu", **settings), shape)


@torch.inference_mode()
def test_own_networks_are_folded_and_cast_and_the_original_is_left_alone():
    how = chosen(OWN, precision="bf16")
    forward = prepare(OWN, how)
    assert (how.folded, how.autocast, how.memory_format) == (True, False, "channels_last")
    assert input_precision(how) == "bf16"
    assert {p.dtype for p in forward.parameters()} == {torch.bfloat16}
    assert not any(isinstance(module, nn.BatchNorm2d) for module in forward.modules())
    assert {p.dtype for p in OWN.module.parameters()} == {torch.float32}
    assert any(isinstance(module, nn.BatchNorm2d) for module in OWN.module.modules())
    assert torch.equal(forward(BATCH.bfloat16()), fold(OWN.module).bfloat16()(BATCH.bfloat16()))


@torch.inference_mode()
def test_foreign_modules_run_under_autocast_with_float32_input():
    how = chosen(FOREIGN, precision="bf16")
    assert (how.folded, how.autocast, how.memory_format) == (False, True, "contiguous")
    assert input_precision(how) == "fp32"
    logits = prepare(FOREIGN, how)(BATCH)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(logits, FOREIGN.module(BATCH))
    assert logits.dtype == torch.bfloat16
    assert {p.dtype for p in FOREIGN.module.parameters()} == {torch.float32}


@torch.inference_mode()
def test_foreign_modules_in_float32_are_left_as_they_are():
    how = chosen(FOREIGN)
    assert (how.folded, how.autocast) == (False, False)
    assert torch.equal(prepare(FOREIGN, how)(BATCH), FOREIGN.module(BATCH))


@pytest.mark.parametrize("model", [OWN, FOREIGN])
def test_fp16_is_refused_on_a_processor(model):
    with refuses("E-RECIPE-003", match="bf16 or fp32"):
        chosen(model, precision="fp16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_device_is_named():
    with refuses("E-RECIPE-007"):
        choose_recipe(FOREIGN, make_request(model="m", data="d", device="cuda"), SHAPE)


def test_compilation_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with refuses("E-RECIPE-004"):
        chosen(compile="on")


def test_another_runtime_runs_as_stored_and_is_named():
    stored = replace(FOREIGN, runtime=Runtime("runtime 1.2"))
    assert chosen(stored).torch == f"{torch.__version__} with runtime 1.2"
    assert chosen(FOREIGN).torch == torch.__version__
    for settings in ({"precision": "bf16"}, {"compile": "on"}):
        with refuses("E-RECIPE-005", match=r"is run as stored by runtime 1\.2: expected --precision fp32"):
            chosen(stored, **settings)


def test_a_runtime_without_cuda_runs_on_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    stored = replace(FOREIGN, runtime=Runtime("runtime 1.2"))
    assert choose_recipe(stored, make_request(model="m", data="d"), SHAPE).device == "cpu"
    with refuses("E-RECIPE-008", match=r"runtime 1\.2 here has no CUDA provider"):
        choose_recipe(stored, make_request(model="m", data="d", device="cuda"), SHAPE)


@pytest.mark.parametrize(
    ("shape", "batch"),
    [((3, 28, 28), 512), ((3, 32, 32), 512), ((1, 64, 64), 256), ((3, 224, 224), 8), ((3, 900, 900), 8)],
)
def test_the_batch_shrinks_with_the_image(shape, batch):
    assert chosen(shape=shape).batch_size == batch
    assert chosen(shape=shape, batch_size=37).batch_size == 37


def test_differences_are_told_in_words():
    one = recipe(64, "fp32")
    assert differences(one, one) == []
    other = one.model_copy(update={"batch_size": 128, "torch": "9.9"})
    assert differences(one, other) == ["batch_size 64 is now 128", f"torch {one.torch} is now 9.9"]
    assert one.name != other.name
    assert one.name == recipe(64, "fp32").name


@pytest.mark.slow
@needs_compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("model", "precision"), [(OWN, "fp32"), (OWN, "bf16"), (FOREIGN, "bf16")])
def test_compiled_networks_see_the_same_noise_and_nearly_the_same_logits(model, precision):
    addresses, seen = rows([0], range(64)), {}
    for compiled in (False, True):
        how = chosen(model, precision=precision, batch_size=64, compile="on" if compiled else "off")
        assert how.compiled is compiled
        sampler = sampler_of(model, how, make_noise("grid", 0.25, 255, 5), pixels())
        seen[compiled] = sampler.logits(addresses)
    near = 1e-5 if precision == "fp32" else 0.05
    assert torch.allclose(seen[False], seen[True], atol=near * float(seen[False].abs().max()))


def test_a_system_without_a_list_of_flags_names_what_torch_uses(monkeypatch):
    def absent(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    assert chosen().instructions.split()[1:] == [torch.backends.cpu.get_cpu_capability().lower()]
