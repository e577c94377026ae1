"""The base classifier in memory: a module or any callable, evaluated without changing its training flags."""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.models import Classifier, Denoiser
from smoothcert.models.denoisers.adapt import denoiser_of
from smoothcert.models.denoisers.pipeline import denoised
from smoothcert.models.resnet import ResNet
from smoothcert.models.state import tensors_sha256

Model = nn.Module | Callable[[Tensor], Tensor] | Classifier
DenoiserModel = nn.Module | Denoiser


class Function(nn.Module):
    """A callable as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        """Take any callable that maps a batch to logits."""
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Return what the callable returns."""
        return self.function(x)


def as_classifier(model: Model) -> Classifier:
    """Return a model as a classifier that declares nothing; return a classifier unchanged.

    Raises:
        ModelError: it is not callable.
    """
    if isinstance(model, Classifier):
        return model
    if not callable(model):
        raise ModelError(
            f"Expected a torch.nn.Module, or a callable that maps a batch (n, C, H, W) to logits (n, classes), got "
            f"{type(model).__name__}. smoothcert.models.load_classifier reads files by name.",
            code="E-MODEL-090",
        )
    module = model if isinstance(model, nn.Module) else Function(model)
    own = isinstance(model, ResNet)
    return Classifier(module, None, None, (), (), "", type(model).__name__, own, arch=None, sigma=None)


def behind(denoiser: DenoiserModel | None, classifier: Classifier, sigma: float) -> Classifier:
    """Return a classifier behind a denoiser; without one, the classifier unchanged.

    Args:
        denoiser: a module, see `smoothcert.models.denoisers.adapt.denoiser_of`; moved to the device of the classifier.
        classifier: the classifier.
        sigma: noise level, in units of the [0, 1] range.

    Raises:
        ModelError: the denoiser is not a module.
    """
    if denoiser is None:
        return classifier
    check_is_denoiser(denoiser)
    known = denoiser if isinstance(denoiser, Denoiser) else denoiser_of(denoiser, type(denoiser).__name__)
    known.module.to(device_of_module(classifier.module))
    return denoised(classifier, known, sigma)


def check_is_denoiser(denoiser: object) -> None:
    """Check that an object can be a denoiser.

    Raises:
        ModelError: it is neither a module nor a loaded denoiser.
    """
    if not isinstance(denoiser, nn.Module | Denoiser):
        raise ModelError(
            f"denoiser: expected a torch.nn.Module that maps noisy images to images, got {type(denoiser).__name__}. "
            "smoothcert.models.denoisers.load.load_denoiser reads files by name.",
            code="E-MODEL-132",
        )


def code_sha256(module: nn.Module) -> str:
    """Return the hash ("sha256:...") of what a module in memory computes, besides its state dict.

    Raises:
        ModelError: it is a function that uses more than its argument and imported modules.
    """
    code = _function_code(module.function) if isinstance(module, Function) else _module_code(module)
    digest = hashlib.sha256("\n".join(code).encode()).hexdigest()
    return f"sha256:{digest}"


def _module_code(module: nn.Module) -> Iterator[str]:
    """Yield what a module computes besides its state: structure, plain attributes, and the source of its classes."""
    yield repr(module)
    sources: dict[type, str] = {}
    for name, part in module.named_modules():
        own = {key: value for key, value in vars(part).items() if key not in _OF_EVERY_MODULE}
        yield f"{name}: {sorted((key, value) for key, value in own.items() if isinstance(value, _PLAIN))}"
        yield f"{tensors_sha256({key: value for key, value in own.items() if isinstance(value, Tensor)})}"
        kind = type(part)
        if kind.__module__.partition(".")[0] != "torch":  # torch itself is part of the recipe
            with suppress(OSError, TypeError):
                sources[kind] = textwrap.dedent(inspect.getsource(kind))
    yield from sources.values()


_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_PLAIN = (bool, int, float, str, tuple, list, type(None))


def _function_code(function: Any) -> Iterator[str]:
    """Yield the source of a function that computes with its argument and imported modules alone."""
    if inspect.isfunction(function) and not function.__defaults__ and not function.__kwdefaults__:
        used = inspect.getclosurevars(function)
        with suppress(OSError):
            if not used.nonlocals and all(map(inspect.ismodule, used.globals.values())):
                yield textwrap.dedent(inspect.getsource(function))
                return
    raise ModelError(
        f"{type(function).__name__}: expected a torch.nn.Module, or a function with source code that uses nothing but "
        "its argument and imported modules, so that the model can be recognised when the run is resumed. Put what it "
        "computes into the forward method of a torch.nn.Module, with its networks as submodules.",
        code="E-MODEL-021",
    )


def device_of_module(module: nn.Module) -> torch.device:
    """Return the device of the weights of a module; the CPU if it has none."""
    tensor = next(chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def check_parameters(classifier: Classifier) -> None:
    """Check that the sampler can run the weights.

    Raises:
        ModelError: they are on a device other than CPU or CUDA, or not in float32.
    """
    device = device_of_module(classifier.module)
    if device.type not in ("cpu", "cuda"):
        raise ModelError(
            f"Expected the classifier on cpu or cuda, found it on {device}. Move it with g.to('cpu').",
            code="E-MODEL-091",
        )
    kinds = {each.dtype for each in classifier.module.parameters() if each.is_floating_point()} - {torch.float32}
    if kinds and classifier.runtime is None:
        raise ModelError(
            f"Expected float32 parameters, found {', '.join(sorted(map(str, kinds)))}. Keep the weights in float32 "
            "and pass precision='bf16' or 'fp16'.",
            code="E-MODEL-092",
        )


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Keep modules in evaluation mode on their device while the block runs; their owner's training flags are restored.

    The device is that of the first of them.
    """
    flags = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        with suppress(NotImplementedError):  # a program of torch.export stays in the mode it was exported in
            module.eval()
    device = device_of_module(modules[0])
    try:
        if device.type == "cuda":
            with torch.cuda.device(device):
                yield
        else:
            yield
    finally:
        for part, flag in flags:
            part.training = flag
