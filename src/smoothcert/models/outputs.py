"""Where the scores are in what a network returns: a tensor, or a mapping, an object or a tuple that holds one."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models.adapters import Around

_NO_MEMORY = ("allocate memory", "out of memory", "not enough memory", "bad_alloc", "alloc_failed")
"""How torch, CUDA's libraries, C++ and onnxruntime say that memory ran out; letters in lower case."""

_REMEDIES = (
    (("device",), "Move all of it to the processor in its factory, tensors that are no parameters or buffers too"),
    (("when training",), "Put it into evaluation mode"),
    (("",), "Check channels and image size (channels last: --layout NHWC)"),
)
"""What a message of torch contains, and what to do then; the first that fits."""


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of the processor or of an accelerator.

    >>> lacks_memory(MemoryError()), lacks_memory(ValueError("expected 3 channels"))
    (True, False)
    """
    told = str(error).lower()
    return isinstance(error, MemoryError) or any(mark in told for mark in _NO_MEMORY)


def failed(reference: str, shape: tuple[int, ...], error: Exception) -> ModelError:
    """What is said of a classifier that fails on images.

    Args:
        reference: its name.
        shape: (n, C, H, W) of the images.
        error: what it raised.
    """
    if lacks_memory(error):
        return ModelError(
            f"The memory ran out when {reference} was given images of shape (n, C, H, W) = {shape}. End other "
            "programs, take smaller images (--resize), or use another device or machine."
        )
    told = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    remedy = next(remedy for marks, remedy in _REMEDIES if any(mark in told for mark in marks))
    return ModelError(f"{reference} fails on images of shape (n, C, H, W) = {shape}: {told}. {remedy}.")


class Picked(Around):
    """A network that returns its logits among other things: `key` of a mapping, attribute or place in a tuple."""

    def __init__(self, inner: nn.Module, key: str | int) -> None:
        super().__init__(inner)
        self.key = key

    def forward(self, x: torch.Tensor) -> Any:
        """The logits."""
        return picked(self.inner(x), self.key)


def picked(returned: Any, key: str | int) -> Any:
    """The part of what a network returns that `key_of` found."""
    by_name = isinstance(key, int) or isinstance(returned, Mapping)
    return returned[key] if by_name else getattr(returned, str(key))


def key_of(returned: Any, rows: int, reference: str) -> str | int | None:
    """Where the logits are in what a classifier returns: under the name logits, or the only tensor (n, classes).

    Args:
        returned: for some images.
        rows: how many images.
        reference: the classifier's name, for messages.

    Returns:
        A key, name or place; None: it is a tensor itself.

    Raises:
        ModelError: it holds no such tensor, or several.
    """
    if isinstance(returned, torch.Tensor):
        return None
    if isinstance(returned, Mapping):
        parts: dict[str | int, Any] = dict(returned.items())
    else:
        parts = dict(enumerate(returned)) if isinstance(returned, tuple | list) else {}
    if isinstance(parts.get("logits", getattr(returned, "logits", None)), torch.Tensor):
        return "logits"
    scores = [key for key, part in parts.items() if isinstance(part, torch.Tensor) and is_table(part, rows)]
    if len(scores) == 1:
        return scores[0]
    raise ModelError(
        f"{reference}: expected logits of shape (n, classes), or an output called logits, got a "
        f"{type(returned).__name__} of {_told(parts)}. Wrap the classifier so that it returns the logits alone."
    )


def is_table(part: torch.Tensor, rows: int) -> bool:
    """Whether a tensor is a row of numbers for each of some images."""
    return part.ndim == 2 and len(part) == rows


def _told(parts: dict[str | int, Any]) -> str:
    names = [f"{key} {tuple(getattr(part, 'shape', ()))}" for key, part in list(parts.items())[:4]]
    return ", ".join(names) or "no tensors"
