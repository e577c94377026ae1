"""The base classifier in memory: a module or any callable, evaluated without changing its training flags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain

import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.models import Classifier
from smoothcert.models.resnet import ResNet

Model = nn.Module | Callable[[Tensor], Tensor] | Classifier


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
def evaluating(module: nn.Module) -> Iterator[None]:
    """Keep a module in evaluation mode on its device while the block runs; its owner's training flags are restored."""
    flags = [(part, part.training) for part in module.modules()]
    with suppress(NotImplementedError):  # a program of torch.export stays in the mode it was exported in
        module.eval()
    device = device_of_module(module)
    try:
        if device.type == "cuda":
            with torch.cuda.device(device):
                yield
        else:
            yield
    finally:
        for part, flag in flags:
            part.training = flag
