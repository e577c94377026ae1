"""The output of a network: where the class scores are, and the check that there is one row of scores per image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Literal

import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models.adapters import Wrapper
from smoothcert.models.classifier import Classifier

_NO_MEMORY = ("allocate memory", "out of memory", "not enough memory", "bad_alloc", "alloc_failed")
"""Fragments of out-of-memory messages of torch, the CUDA libraries, C++ and onnxruntime, in lower case."""

_REMEDIES = (
    (("device",), "Move all tensors to the CPU in its factory, also those that are not parameters or buffers"),
    (("when training",), "Put it into evaluation mode"),
    (("",), "Check channels and image size (channels last: --layout NHWC)"),
)
"""Fragments of torch's messages and the remedy; the first match is used."""


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error reports that memory ran out, on the CPU or an accelerator.

    >>> lacks_memory(MemoryError()), lacks_memory(ValueError("expected 3 channels"))
    (True, False)
    """
    message = str(error).lower()
    return isinstance(error, MemoryError) or any(fragment in message for fragment in _NO_MEMORY)


def forward_error(reference: str, shape: tuple[int, ...], error: Exception) -> ModelError:
    """Return the error for a classifier that fails on images, with a remedy.

    Args:
        reference: its name.
        shape: (n, C, H, W) of the images.
        error: what it raised.
    """
    if lacks_memory(error):
        return ModelError(
            f"Out of memory when {reference} was applied to images of shape (n, C, H, W) = {shape}. Close other "
            "programs, use smaller images (--resize), or use another device or machine.",
            code="E-MODEL-045",
        )
    message = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    remedy = next(remedy for fragments, remedy in _REMEDIES if any(each in message for each in fragments))
    return ModelError(
        f"{reference} fails on images of shape (n, C, H, W) = {shape}: {message}. {remedy}.", code="E-MODEL-046"
    )


class SelectOutput(Wrapper):
    """A network whose logits are one of several outputs: `key` of a mapping, attribute, or index of a tuple."""

    def __init__(self, inner: nn.Module, key: str | int) -> None:
        super().__init__(inner)
        self.key = key

    def forward(self, x: torch.Tensor) -> Any:
        """Return the logits."""
        return select_output(self.inner(x), self.key)


def select_output(returned: Any, key: str | int) -> Any:
    """Return the output of a network that `key_of_logits` found."""
    by_name = isinstance(key, int) or isinstance(returned, Mapping)
    return returned[key] if by_name else getattr(returned, str(key))


def key_of_logits(returned: Any, rows: int, reference: str) -> str | int | None:
    """Find the logits in the output of a classifier: the output called logits, or the only tensor (n, classes).

    Args:
        returned: output for some images.
        rows: number of images.
        reference: the classifier's name, for messages.

    Returns:
        A key, attribute name or index; None if the output is a tensor.

    Raises:
        ModelError: there is no such tensor, or several.
    """
    if isinstance(returned, torch.Tensor):
        return None
    if isinstance(returned, Mapping):
        parts: dict[str | int, Any] = dict(returned.items())
    else:
        parts = dict(enumerate(returned)) if isinstance(returned, tuple | list) else {}
    if isinstance(parts.get("logits", getattr(returned, "logits", None)), torch.Tensor):
        return "logits"
    scores = [key for key, part in parts.items() if isinstance(part, torch.Tensor) and is_score_matrix(part, rows)]
    if len(scores) == 1:
        return scores[0]
    raise ModelError(
        f"{reference}: expected logits of shape (n, classes), or an output called logits, got a "
        f"{type(returned).__name__} of {_shapes(parts)}. Wrap the classifier so that it returns only the logits.",
        code="E-MODEL-047",
    )


def is_score_matrix(part: torch.Tensor, rows: int) -> bool:
    """Return whether a tensor has shape (rows, c)."""
    return part.ndim == 2 and len(part) == rows


def _shapes(parts: dict[str | int, Any]) -> str:
    names = [f"{key} {tuple(getattr(part, 'shape', ()))}" for key, part in list(parts.items())[:4]]
    return ", ".join(names) or "no tensors"


LOOK = 16
"""Number of images that suffice to distinguish logits from probabilities."""
CLOSE = 1e-3
"""Largest deviation of the sum of probabilities from 1."""
_ONE_FINDING = """

class OneFinding(torch.nn.Module):
    def forward(self, x):
        z = net(x)[:, 3]  # the logit of the finding to certify
        return torch.stack([torch.zeros_like(z), z], dim=1)
"""


class BinaryToTwoClass(Wrapper):
    """A network with one output z or p; returns [0, z] or [0.5, p], so that class 1 wins if z > 0 or p > 0.5."""

    def __init__(self, inner: nn.Module, output: Literal["logit", "probability"]) -> None:
        super().__init__(inner)
        self.level = 0.0 if output == "logit" else 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores (n, 2)."""
        one: torch.Tensor = self.inner(x)
        return torch.cat([torch.full_like(one, self.level), one], dim=1)


def resolve_head(classifier: Classifier, images: torch.Tensor) -> Classifier:
    """Return a classifier whose module returns one row of class scores per image, with its number of classes.

    One output, (n, 1), becomes two columns; the logits are selected from a mapping, an object or a tuple. Built-in
    architectures are returned unchanged.

    Args:
        classifier: as loaded.
        images: a few clean images, float (n, C, H, W) in [0, 1]; `LOOK` of them suffice.

    Raises:
        ModelError: it fails on the images, or its output is ambiguous, not finite, not scores of exclusive classes, or
            not of the declared number of classes.
    """
    if classifier.built_in and classifier.num_classes is not None:
        return classifier
    returned = _returned(classifier, images)
    key = key_of_logits(returned, len(images), classifier.reference)
    scores = returned if key is None else select_output(returned, key)
    _check_scores(scores, len(images), classifier)
    if key is not None:
        words = (*classifier.adapted, f"its output {key!r} alone")
        classifier = replace(classifier, module=SelectOutput(classifier.module, key), adapted=words)
    return _binary(classifier, scores) if scores.shape[1] == 1 else _many(classifier, scores)


def _returned(classifier: Classifier, images: torch.Tensor) -> Any:
    """Return the output of the module for a few images, on the device of its weights."""
    mean, std = (_a_channel(values) for values in (classifier.mean or (0.0,), classifier.std or (1.0,)))
    tensor = next(chain(classifier.module.parameters(), classifier.module.buffers()), None)
    batch = ((images.double() - mean) / std).to("cpu" if tensor is None else tensor.device, torch.float32)
    try:
        with torch.inference_mode():
            return classifier.module(batch)
    except ModelError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise forward_error(classifier.reference, tuple(images.shape), error) from None


def _a_channel(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None, None]


def _check_scores(scores: torch.Tensor, rows: int, classifier: Classifier) -> None:
    if not is_score_matrix(scores, rows) or not scores.shape[1]:
        raise ModelError(
            f"{classifier.reference}: expected logits of shape (n, classes) with n = {rows}, got shape "
            f"{tuple(scores.shape)}. Wrap the classifier so that it returns one row of class scores per image.",
            code="E-MODEL-048",
        )
    if not bool(torch.isfinite(scores).all()):
        raise ModelError(
            f"{classifier.reference} returns NaN or infinite logits on clean images. Check its weights, normalisation "
            "and --input-range.",
            code="E-MODEL-049",
        )


def _binary(classifier: Classifier, scores: torch.Tensor) -> Classifier:
    """Return a classifier of two classes for one output, whose type is set or inferred from its values."""
    unit = bool(((scores >= 0) & (scores <= 1)).all())
    if classifier.output is None and unit:
        raise ModelError(
            f"{classifier.reference} returns one number per image, from {float(scores.min()):.3g} to "
            f"{float(scores.max()):.3g} on {len(scores)} images, which can be logits or probabilities of class 1. Add "
            "--output logit or --output probability.",
            code="E-MODEL-050",
        )
    if classifier.output == "probability" and not unit:
        raise ModelError(
            f"{classifier.reference}: --output probability expects values in [0, 1], got {float(scores.min()):.3g} to "
            f"{float(scores.max()):.3g}. Use --output logit if these are logits.",
            code="E-MODEL-051",
        )
    output = classifier.output or "logit"
    columns = "[0, z]" if output == "logit" else "[0.5, p]"
    module = BinaryToTwoClass(classifier.module, output)
    return _with_classes(classifier, module, 2, (f"one {output} as two columns {columns}",))


def _many(classifier: Classifier, scores: torch.Tensor) -> Classifier:
    if classifier.output is not None:
        raise ModelError(
            f"{classifier.reference}: --output needs a classifier with one output, but this one has "
            f"{scores.shape[1]}. Leave it out.",
            code="E-MODEL-052",
        )
    unit = bool(((scores >= 0) & (scores <= 1)).all())
    if unit and float((scores.float().sum(dim=1) - 1).abs().max()) > CLOSE:
        raise ModelError(
            f"{classifier.reference}: expected scores of mutually exclusive classes, got {scores.shape[1]} numbers per "
            "image from 0 to 1 that do not sum to 1: probably findings that can occur together (multi-label). Certify "
            f"one finding at a time, with a factory that returns [0, its logit]:{_ONE_FINDING}\n"
            "If the classes are mutually exclusive, return torch.logit of these numbers.",
            code="E-MODEL-053",
        )
    return _with_classes(classifier, classifier.module, scores.shape[1], ())


def _with_classes(classifier: Classifier, module: nn.Module, classes: int, words: tuple[str, ...]) -> Classifier:
    if classifier.num_classes not in (None, classes):
        raise ModelError(
            f"{classifier.reference} declares {classifier.num_classes} classes, but returns {classes} scores per "
            "image. Correct the declaration, or use a matching model.",
            code="E-MODEL-054",
        )
    return replace(classifier, module=module, num_classes=classes, adapted=(*classifier.adapted, *words))
