"""What a classifier returns: one row of class scores an image, settled by a look at a few images, or refused."""

from dataclasses import replace
from itertools import chain
from typing import Any, Literal

import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.models.adapters import Around
from smoothcert.models.classifier import Classifier
from smoothcert.models.outputs import Picked, failed, is_table, key_of, picked

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


class TwoColumns(Around):
    """A network with one output z or p: columns [0, z] or [0.5, p], so that class 1 wins where z > 0 or p > 0.5."""

    def __init__(self, inner: nn.Module, output: Literal["logit", "probability"]) -> None:
        super().__init__(inner)
        self.level = 0.0 if output == "logit" else 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (n, 2)."""
        one: torch.Tensor = self.inner(x)
        return torch.cat([torch.full_like(one, self.level), one], dim=1)


def settled(classifier: Classifier, images: torch.Tensor) -> Classifier:
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
        classifier = replace(classifier, module=Picked(classifier.module, key), adapted=words)
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
    module = TwoColumns(classifier.module, output)
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
