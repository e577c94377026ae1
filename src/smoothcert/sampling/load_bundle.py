"""Loading a bundle: the smoothed classifier that was certified, or a refusal; a change of arithmetic is reported.

A network is weights and code, and of foreign code a bundle holds nothing. So a probe is kept: what the network
returns for a few fixed images, compared when it comes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from smoothcert.config import Recipe
from smoothcert.errors import EvidenceError, ModelError
from smoothcert.evidence.bundle.differences import tie_of, unlike, unlike_recipe
from smoothcert.evidence.bundle.files import WEIGHTS, read_bundle
from smoothcert.evidence.bundle.record import Bundle
from smoothcert.formats.card import card_from_values
from smoothcert.models import Classifier, ModelOptions
from smoothcert.models.adapters import classifier_of
from smoothcert.models.checkpoints import read_weights
from smoothcert.models.resnet import load_built_in
from smoothcert.models.state import load_state

IMAGES, LOGITS = 4, 64
TOLERANCE = 0.01
"""Largest difference, as a part of the range of the logits: far above rounding, far below other code."""

Logits = tuple[tuple[float, ...], ...]


def probe(classifier: Classifier, shape: tuple[int, int, int], levels: int) -> Logits:
    """Return the first logits of the fixed images, in float32, without noise.

    Args:
        classifier: in evaluation mode, where its parameters are.
        shape: (C, H, W) of an image.
        levels: largest grey value.

    Raises:
        ModelError: the classifier fails on them.
    """
    tensor = next(chain(classifier.module.parameters(), classifier.module.buffers()), None)
    batch = torch.from_numpy(_images(classifier, shape, levels))
    try:
        with torch.inference_mode():
            logits = classifier.module(batch if tensor is None else batch.to(tensor.device))
        array = logits.float().cpu().numpy()[:, :LOGITS]
    except Exception as error:  # the user's own code may fail in any way
        raise ModelError(
            f"{classifier.reference} fails on images of shape (n, C, H, W) = {(IMAGES, *shape)} "
            f"({type(error).__name__}); give the shape it takes."
        ) from None
    if array.ndim != 2 or len(array) != IMAGES or not np.isfinite(array).all():
        raise ModelError(f"{classifier.reference}: finite logits (n, classes) are expected, got {array.shape}.")
    return tuple(tuple(float(value) for value in row) for row in array)


def check_probe(classifier: Classifier, shape: tuple[int, int, int], levels: int, kept: Logits) -> None:
    """Refuse a network that answers the fixed images otherwise than the one that was saved.

    Raises:
        ModelError: it does.
    """
    found = probe(classifier, shape, levels)
    wanted, given = np.array(kept), np.array(found)
    if wanted.shape != given.shape or np.abs(wanted - given).max() > TOLERANCE * np.ptp(wanted) + 1e-6:
        raise ModelError(
            f"{classifier.reference} is not the network of this bundle: with its weights it answers a few fixed "
            "images otherwise than when the bundle was made. Give the code that was certified."
        )


def _images(classifier: Classifier, shape: tuple[int, int, int], levels: int) -> NDArray[np.float32]:
    """Images of many grey values, normalised: each a different ramp through the whole range."""
    count = int(np.prod(shape))
    steps = np.array([1, 7, 31, 101])[:, None]
    pixels = (np.arange(count) * steps * levels // max(count - 1, 1) % (levels + 1)).reshape(IMAGES, *shape) / levels
    mean, std = (np.reshape(column, (1, -1, 1, 1)) for column in (classifier.mean or (0.0,), classifier.std or (1.0,)))
    normalised: NDArray[np.float32] = ((pixels - mean) / std).astype(np.float32)
    return normalised


@dataclass(frozen=True)
class Loaded:
    """A bundle that was read and checked.

    Attributes:
        bundle: its record.
        classifier: the base classifier.
        options: settings of the smoothed classifier: noise, precision, batch size, compilation, bound and n0.
    """

    bundle: Bundle
    classifier: Classifier
    options: dict[str, Any]

    def warnings(self, recipe: Recipe) -> tuple[str, ...]:
        """Return in words where a machine's recipe is not the one it was certified with, or saved with."""
        certified = self.bundle.certified
        before, when = (certified.recipe, "certified") if certified else (self.bundle.recipe, "saved")
        return tuple(unlike_recipe(recipe, before, when))


def load_bundle(path: Path, model: nn.Module | None = None) -> Loaded:
    """Load a bundle after checking every file of it.

    Args:
        path: the bundle directory.
        model: for a network that is not one of ours: a module of the same architecture, whose state dict is replaced.

    Raises:
        EvidenceError: a file was changed, or the bundle is not the object its run certified.
        ModelError: the network's code is needed and was not given, or is other code.
    """
    bundle = read_bundle(path)
    _refuse_uncertified(path, bundle)
    classifier = _own(path, bundle) if model is None else _given(path, bundle, model)
    return Loaded(bundle, classifier, _options(bundle))


def _refuse_uncertified(path: Path, bundle: Bundle) -> None:
    """Refuse a bundle whose parts are not those its own record says were certified."""
    certified = bundle.certified
    found = [] if certified is None else list(unlike(bundle, certified))
    if tie_of((path / WEIGHTS).read_bytes(), (certified or bundle).model) == "other weights":
        found.append(f"{WEIGHTS} does not hold the weights {bundle.model.sha256[:19]}...")
    if found:
        raise EvidenceError(
            f"{path} is not the object that was certified: {'; '.join(found)}. "
            "Make the bundle anew from its run with `smoothcert bundle`."
        )


def _options(bundle: Bundle) -> dict[str, Any]:
    recipe = bundle.recipe
    return {
        "precision": recipe.precision,
        "batch_size": recipe.batch_size,
        "compile": recipe.compiled,
        "noise": "gaussian" if bundle.noise == "float" else "grid",
        "bound": bundle.bound,
        "n0": bundle.n0,
    }


def _own(path: Path, bundle: Bundle) -> Classifier:
    """Rebuild one of our own networks."""
    arch = bundle.model.arch
    if arch is None:
        raise ModelError(
            f"{path}: its network is not one of smoothcert's own, so its code must be given: --model "
            "package.module:factory, or load(DIR, model=...) in Python. A bundle never runs code that it names itself."
        )
    options = ModelOptions(arch=arch, num_classes=len(bundle.class_names), in_channels=bundle.shape[0])
    return _settled(path, bundle, load_built_in(str(path / WEIGHTS), options))


def _given(path: Path, bundle: Bundle, model: nn.Module) -> Classifier:
    """Put the bundle's weights into a module of the user's."""
    if bundle.model.arch is not None:
        raise ModelError(f"{path}: its network is {bundle.model.arch}, which is rebuilt; leave out the model.")
    if not isinstance(model, nn.Module):
        raise ModelError(f"{path}: a torch.nn.Module is expected as model, got {type(model).__name__}.")
    weights = read_weights(path / WEIGHTS)
    load_state(model, weights.state, str(path / WEIGHTS))
    declared = getattr(model, "smoothcert", None)
    card = weights.card if declared is None else card_from_values(declared, type(model).__name__)
    classifier = replace(classifier_of(model, card, weights.sha256, type(model).__name__), built_in=bundle.model.own)
    settled = _settled(path, bundle, classifier)
    check_probe(settled, bundle.shape, bundle.levels, bundle.probe)
    return settled


def _settled(path: Path, bundle: Bundle, classifier: Classifier) -> Classifier:
    """Compare what was loaded with the record, and name it as the record does."""
    if classifier.sha256 != bundle.file_sha256:
        raise EvidenceError(f"{path / WEIGHTS} was changed while it was read. Load the bundle again.")
    if not classifier.mean:  # it was stated when the run was certified, not declared
        classifier = replace(classifier, mean=bundle.mean, std=bundle.std)
    for word, mine, theirs in (
        ("normalisation mean", classifier.mean, bundle.mean),
        ("normalisation std", classifier.std, bundle.std),
    ):
        if mine != theirs:
            raise EvidenceError(
                f"{path}: the network declares the {word} {mine}, but the bundle was made with {theirs}. "
                "Give the network that was certified."
            )
    return replace(classifier, reference=bundle.model.reference, sha256=bundle.model.sha256)
