"""What a network returns: where the class scores are, and the check that they are one row of scores per image."""

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
            f"Out of memory when {reference} was given images of shape (n, C, H, W) = {shape}. End other "
            "programs, take smaller images (--resize), or use another device or machine."
        )
    told = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    remedy = next(remedy for marks, remedy in _REMEDIES if any(mark in told for mark in marks))
    return ModelError(f"{reference} fails on images of shape (n, C, H, W) = {shape}: {told}. {remedy}.")


class SelectOutput(Wrapper):
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


LOOK = 16
"""Images that are enough to tell logits from probabilities."""
CLOSE = 1e-3
"""How far probabilities may sum from 1."""
_ONE_FINDING = """

class OneFinding(torch.nn.Module):
    def forward(self, x):
        z = net(x)[:, 3]  # the logit of the finding to certify
        return torch.stack([torch.zeros_like(z), z], dim=1)
"""


class BinaryToTwoClass(Wrapper):
    """A network with one output z or p: columns [0, z] or [0.5, p], so that class 1 wins where z > 0 or p > 0.5."""

    def __init__(self, inner: nn.Module, output: Literal["logit", "probability"]) -> None:
        super().__init__(inner)
        self.level = 0.0 if output == "logit" else 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (n, 2)."""
        one: torch.Tensor = self.inner(x)
        return torch.cat([torch.full_like(one, self.level), one], dim=1)


def resolve_head(classifier: Classifier, images: torch.Tensor) -> Classifier:
    """A classifier whose module returns one row of class scores an image, and that knows their number.

    One output, (n, 1), becomes two columns; of a mapping, an object or a tuple the logits are taken. A network of
    ours is left as it is.

    Args:
        classifier: as it was loaded.
        images: a few without noise, float (n, C, H, W) in [0, 1]; `LOOK` of them are plenty.

    Raises:
        ModelError: it fails on them, what it returns is not clear, no classifier's, not finite, or not of the
            number of classes it declares.
    """
    if classifier.own and classifier.num_classes is not None:
        return classifier
    returned = _returned(classifier, images)
    key = key_of(returned, len(images), classifier.reference)
    scores = returned if key is None else picked(returned, key)
    _check_scores(scores, len(images), classifier)
    if key is not None:
        words = (*classifier.adapted, f"its output {key!r} alone")
        classifier = replace(classifier, module=SelectOutput(classifier.module, key), adapted=words)
    return _binary(classifier, scores) if scores.shape[1] == 1 else _many(classifier, scores)


def _returned(classifier: Classifier, images: torch.Tensor) -> Any:
    """What the module returns for a few images, where its weights are."""
    mean, std = (_a_channel(values) for values in (classifier.mean or (0.0,), classifier.std or (1.0,)))
    tensor = next(chain(classifier.module.parameters(), classifier.module.buffers()), None)
    batch = ((images.double() - mean) / std).to("cpu" if tensor is None else tensor.device, torch.float32)
    try:
        with torch.inference_mode():
            return classifier.module(batch)
    except ModelError:
        raise
    except Exception as error:  # the user's own code may fail in any way
        raise failed(classifier.reference, tuple(images.shape), error) from None


def _a_channel(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None, None]


def _check_scores(scores: torch.Tensor, rows: int, classifier: Classifier) -> None:
    if not is_table(scores, rows) or not scores.shape[1]:
        raise ModelError(
            f"{classifier.reference}: expected logits of shape (n, classes) with n = {rows}, got shape "
            f"{tuple(scores.shape)}. Wrap the classifier so that it returns one row of class scores an image."
        )
    if not bool(torch.isfinite(scores).all()):
        raise ModelError(
            f"{classifier.reference} returns NaN or infinite logits on clean images. Check its weights, normalisation "
            "and --input-range."
        )


def _binary(classifier: Classifier, scores: torch.Tensor) -> Classifier:
    """One output as two classes: said, or told from its values."""
    unit = bool(((scores >= 0) & (scores <= 1)).all())
    if classifier.output is None and unit:
        raise ModelError(
            f"{classifier.reference} returns one number an image, on {len(scores)} images from "
            f"{float(scores.min()):.3g} to {float(scores.max()):.3g}: expected a logit or a probability of class 1, "
            "and these can be either. Add --output logit or --output probability."
        )
    if classifier.output == "probability" and not unit:
        raise ModelError(
            f"{classifier.reference}: a probability is expected from it, got {float(scores.min()):.3g} to "
            f"{float(scores.max()):.3g}. Say --output logit if these are logits."
        )
    output = classifier.output or "logit"
    columns = "[0, z]" if output == "logit" else "[0.5, p]"
    module = BinaryToTwoClass(classifier.module, output)
    return _with_classes(classifier, module, 2, (f"one {output} as two columns {columns}",))


def _many(classifier: Classifier, scores: torch.Tensor) -> Classifier:
    if classifier.output is not None:
        raise ModelError(
            f"{classifier.reference}: --output is for a classifier with one output, and this one has "
            f"{scores.shape[1]}. Leave it out."
        )
    unit = bool(((scores >= 0) & (scores <= 1)).all())
    if unit and float((scores.float().sum(dim=1) - 1).abs().max()) > CLOSE:
        raise ModelError(
            f"{classifier.reference}: expected scores of classes that exclude each other, got {scores.shape[1]} "
            "numbers from 0 to 1 an image that do not sum to 1: probably findings that can be present together, whose "
            "largest is no class. Certify one finding at a time, by a factory that returns [0, its logit]:"
            f"{_ONE_FINDING}\nIf the classes do exclude each other, return torch.logit of these numbers."
        )
    return _with_classes(classifier, classifier.module, scores.shape[1], ())


def _with_classes(classifier: Classifier, module: nn.Module, classes: int, words: tuple[str, ...]) -> Classifier:
    if classifier.num_classes not in (None, classes):
        raise ModelError(
            f"{classifier.reference} declares {classifier.num_classes} classes, but returns {classes} scores an image. "
            "Correct what is declared, or use a matching model."
        )
    return replace(classifier, module=module, num_classes=classes, adapted=(*classifier.adapted, *words))
