"""The numeric recipe: how the outputs of the classifier are computed. It is fixed before the first image."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from smoothcert.config import Recipe, RuntimeConfig
from smoothcert.errors import RecipeError
from smoothcert.models import Classifier
from smoothcert.models.resnet import fold

Forward = Callable[[Tensor], Tensor]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_USUAL_BATCH, _USUAL_VALUES = 512, 32 * 32 * 3
_TELLING_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16", "bf16", "sve")


def choose_recipe(classifier: Classifier, runtime: RuntimeConfig, shape: tuple[int, int, int]) -> Recipe:
    """Return the recipe of a classifier on this machine.

    Args:
        classifier: built-in architectures are folded and cast; custom modules run under autocast with float32 input;
            other runtimes run the model as it is stored.
        runtime: precision, device, batch size and compilation.
        shape: (channels, height, width) of an image.

    Raises:
        RecipeError: there is no such device, or it or the runtime of the classifier cannot run the precision.
    """
    _check_runtime(classifier, runtime)
    device = _device(runtime.device, classifier)
    if runtime.precision == "fp16" and device.type != "cuda":
        raise RecipeError(
            "Expected a CUDA device for --precision fp16, found none. Use bf16 or fp32 on a CPU.", code="E-RECIPE-003"
        )
    if runtime.compile == "on" and not (shutil.which("g++") or shutil.which("clang++")):
        raise RecipeError(
            "--compile on needs a C++ compiler, and none was found. Install g++ or use --compile off.",
            code="E-RECIPE-004",
        )
    return Recipe(
        precision=runtime.precision,
        folded=classifier.built_in,
        autocast=runtime.precision != "fp32" and not classifier.built_in,
        compiled=runtime.compile == "on",
        memory_format=_memory_format(classifier),
        batch_size=runtime.batch_size or _batch_size(shape),
        device=device.type if device.type == "cpu" else f"cuda ({torch.cuda.get_device_name(device)})",
        instructions=_instructions(),
        torch=_version(classifier),
    )


def prepare(classifier: Classifier, recipe: Recipe) -> Forward:
    """Return the forward pass of a classifier under a recipe: (n, C, H, W) to logits (n, classes)."""
    device = torch.device("cuda" if recipe.device.startswith("cuda") else "cpu")
    module: nn.Module = fold(classifier.module) if recipe.folded else classifier.module
    dtype = DTYPES[recipe.precision]
    if not recipe.autocast and recipe.precision != "fp32":
        module = module.to(dtype)
    if recipe.memory_format == "channels_last":
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = module.to(device)
    forward: Forward = torch.compile(module, dynamic=False) if recipe.compiled else module
    return _under_autocast(forward, device.type, dtype) if recipe.autocast else forward


def input_precision(recipe: Recipe) -> Literal["fp32", "bf16", "fp16"]:
    """Return the precision of the input buffer: float32 for a module under autocast."""
    return "fp32" if recipe.autocast else recipe.precision


def differences(recorded: Recipe, present: Recipe) -> list[str]:
    """Return the differences of two recipes in words."""
    ours, theirs = recorded.model_dump(), present.model_dump()
    return [f"{name} {ours[name]} is now {theirs[name]}" for name in ours if ours[name] != theirs[name]]


def _under_autocast(forward: Forward, device: str, dtype: torch.dtype) -> Forward:
    def run(batch: Tensor) -> Tensor:
        with torch.autocast(device, dtype=dtype):
            return forward(batch)

    return run


def _check_runtime(classifier: Classifier, runtime: RuntimeConfig) -> None:
    """Raise if the runtime of a classifier cannot run the settings."""
    if classifier.runtime is not None and (runtime.precision != "fp32" or runtime.compile == "on"):
        flag = f"--precision {runtime.precision}" if runtime.precision != "fp32" else "--compile on"
        raise RecipeError(
            f"{classifier.reference} is run as stored by {classifier.runtime}: expected --precision fp32 and no "
            f"compilation, got {flag}. Remove it.",
            code="E-RECIPE-005",
        )
    if runtime.compile == "on" and any(isinstance(m, torch.jit.ScriptModule) for m in classifier.module.modules()):
        raise RecipeError(
            f"{classifier.reference} is TorchScript and already compiled. Remove --compile on.", code="E-RECIPE-006"
        )


def _device(device: str, classifier: Classifier) -> torch.device:
    if device == "cuda" and not torch.cuda.is_available():
        raise RecipeError(
            "Expected a CUDA device for --device cuda, found none. Use --device cpu or auto.", code="E-RECIPE-007"
        )
    runtime = classifier.runtime
    if runtime is not None and "cuda" not in runtime.devices:
        if device == "cuda":
            raise RecipeError(
                f"{runtime} here has no CUDA provider: install its CUDA build, or use --device cpu.",
                code="E-RECIPE-008",
            )
        return torch.device("cpu")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def _version(classifier: Classifier) -> str:
    """Return the version of torch, with that of another runtime."""
    runtime = classifier.runtime
    return torch.__version__ if runtime is None else f"{torch.__version__} with {runtime}"


def _memory_format(classifier: Classifier) -> Literal["contiguous", "channels_last"]:
    return "channels_last" if classifier.built_in else "contiguous"


def _batch_size(shape: tuple[int, int, int]) -> int:
    """Return the power of two that holds about as many values as 512 images of 32x32x3."""
    channels, height, width = shape
    fitting = _USUAL_BATCH * _USUAL_VALUES // (channels * height * width)
    return int(min(_USUAL_BATCH, max(8, 1 << max(fitting, 1).bit_length() - 1)))


def _instructions() -> str:
    """Return the vector instructions of the processor that change floating-point results, or those torch uses."""
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability().lower()}"
    line = next((line for line in info.splitlines() if line.startswith(("flags", "Features"))), "")
    flags = set(line.partition(":")[2].split())
    return " ".join([platform.machine(), *(flag for flag in _TELLING_FLAGS if flag in flags)])
