"""Our own architectures from a weights file: the card, `--arch` and the data must agree."""

from dataclasses import replace
from typing import Any

import torch

from smoothcert.errors import ModelError, printable
from smoothcert.formats.card import MAX_CLASSES
from smoothcert.models.adapters import assembled
from smoothcert.models.classifier import Classifier, ModelOptions
from smoothcert.models.inputs import stated
from smoothcert.models.resnet import ARCHITECTURES, build, channels_last
from smoothcert.models.state import load_state, named
from smoothcert.models.weights import Weights, read_weights


def read_own(path: str, options: ModelOptions) -> Classifier:
    """A classifier of our own architecture from its weights file.

    Args:
        path: ``.safetensors``, or a state dict in ``.pt``, ``.pth``, ``.bin``.
        options: `arch` is needed where the file does not declare it; whatever both say must agree.

    Raises:
        ModelError: the file cannot be used, or does not fit what is declared.
    """
    if options.weights is not None:
        raise ModelError(f"{path} is a weights file already; --weights belongs to module:factory, leave it out.")
    weights = read_weights(path)
    card = weights.card
    arch = _agreed("arch", card.arch, options.arch, path)
    if arch is None:
        raise ModelError(f"{path} does not say its architecture; add --arch, one of {', '.join(ARCHITECTURES)}.")
    if arch not in ARCHITECTURES:
        raise ModelError(f"{path}: unknown architecture {arch[:60]!r}; expected one of {', '.join(ARCHITECTURES)}.")
    num_classes = _agreed("num_classes", card.num_classes, _side(weights, "head.weight", 0), path)
    in_channels = _agreed("in_channels", card.in_channels, _side(weights, "stem.0.weight", 1), path)
    num_classes = _agreed("num_classes", num_classes, options.num_classes, path)
    in_channels = _agreed("in_channels", in_channels, options.in_channels, path)
    with torch.device("meta"):  # a hostile file's numbers must not fill the memory
        module = build(arch, min(num_classes or 2, MAX_CLASSES), in_channels or 3)
    load_state(module, weights.state, path)
    module = channels_last(module).eval().requires_grad_(False)
    card = replace(card, num_classes=num_classes, in_channels=in_channels)
    return assembled(module, stated(card, options, path), weights.sha256, path, arch)


def _side(weights: Weights, name: str, side: int) -> int | None:
    """The length of one side of a tensor, from which the number of classes or channels follows."""
    tensor = named(weights.state, name)
    return None if tensor is None or tensor.ndim <= side else int(tensor.shape[side])


def _agreed(what: str, declared: Any, wanted: Any, path: str) -> Any:
    if declared is not None and wanted is not None and declared != wanted:
        told = printable(str(declared)[:60])
        raise ModelError(f"{path}: the file says {what} {told}, but {wanted} is wanted; use a matching model.")
    return wanted if declared is None else declared
