"""The workload of Python objects: a model and a data set in memory, known again by their hashes."""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import DataLoader

from smoothcert.config import Request
from smoothcert.data import DataOptions, ImageSet
from smoothcert.data.torch_dataset import read_dataset
from smoothcert.engine.workload import IN_MEMORY, Workload, workload_of
from smoothcert.errors import DataError, ModelError
from smoothcert.models import Classifier
from smoothcert.models.state import state_sha256
from smoothcert.progress import interactive
from smoothcert.sampling.base_model import Function, Model, as_classifier, check_parameters, device_of_module

Models = Model | Mapping[float, Model]
"""One base classifier for all noise levels, or one for each, by sigma."""


def workload_in_memory(request: Request, models: Models, dataset: Any, class_names: Sequence[str] = ()) -> Workload:
    """Return the workload of a model and a data set in memory.

    Args:
        request: the settings, with `IN_MEMORY` for model and data.
        models: base classifiers: modules, or callables that map a batch to logits.
        dataset: see `images_of`.
        class_names: one per class, or () for those of the data set.

    Raises:
        DataError: images or labels cannot be used.
        ModelError: a model cannot be used, or nothing identifies it.
        RecipeError: the numeric recipe cannot be run here.
    """
    given = models if isinstance(models, Mapping) else dict.fromkeys(map(float, request.sigma), models)
    levels = {float(sigma) for sigma in request.sigma}
    if {float(sigma) for sigma in given} != levels:
        raise ModelError(
            f"Expected one model per noise level {sorted(levels)}, got models for {sorted(map(float, given))}.",
            code="E-MODEL-020",
        )
    classifiers = {float(sigma): classifier_of(given[sigma]) for sigma in sorted(given)}
    device = device_of_module(next(iter(classifiers.values())).module).type
    request = request.model_copy(update={"device": device})
    return workload_of(request, images_of(dataset, request, class_names), classifiers)


def classifier_of(model: Model) -> Classifier:
    """Return a model in memory as a classifier with a hash: of its state, or of its source where it has no state.

    Raises:
        ModelError: it is not callable, on another device than CPU or CUDA, not in float32, or has neither a state nor
            source code.
    """
    classifier = as_classifier(model)
    check_parameters(classifier)
    if classifier.sha256:
        return classifier
    name = f"{IN_MEMORY} ({classifier.reference})"
    return replace(classifier, reference=name, sha256=_identity(classifier.module, classifier.reference))


def _identity(module: nn.Module, name: str) -> str:
    """Return what identifies a model when it comes back."""
    state = state_sha256(module)
    if state is not None and next(iter(module.state_dict()), None) is not None:
        return state
    code: Any = module.function if isinstance(module, Function) else type(module)
    with suppress(OSError, TypeError):
        return f"sha256:{hashlib.sha256(textwrap.dedent(inspect.getsource(code)).encode()).hexdigest()}"
    raise ModelError(
        f"{name} has neither tensors nor source code by which it could be recognised when the run is resumed. Pass a "
        "torch.nn.Module with its weights as parameters or buffers.",
        code="E-MODEL-021",
    )


def images_of(dataset: Any, request: Request, class_names: Sequence[str] = ()) -> ImageSet:
    """Return a data set in memory as labelled images on a grid.

    Args:
        dataset: items (image, label) or (image, label, group), as of torchvision or MedMNIST; a pair of arrays or
            tensors (images (m, C, H, W), labels (m,)); a DataLoader, whose data set is read in its own order; or an
            `ImageSet`.
        request: `limit`, `quantise`, `resize`, `crop` and `subgroup` apply.
        class_names: one per class, or () for those of the data set.

    Raises:
        DataError: images or labels cannot be used.
    """
    items = dataset.dataset if isinstance(dataset, DataLoader) else dataset
    if isinstance(items, ImageSet):
        images = items
    else:
        if isinstance(items, tuple) and len(items) == 2 and all(hasattr(part, "ndim") for part in items):
            items = _pairs(*items)
        options = DataOptions.of(request, request.subgroup, named=True)
        with interactive("reading images", len(items) if hasattr(items, "__len__") else None) as show:
            images = read_dataset(items, IN_MEMORY, options, lambda done, _: show(done))
    if class_names:
        images = replace(images, class_names=tuple(map(str, class_names)))
    return images.first(request.limit) if request.limit else images


def _pairs(images: Any, labels: Any) -> list[tuple[Any, int]]:
    if len(images) != len(labels) or labels.ndim not in (1, 2):
        raise DataError(
            f"Expected images (m, C, H, W) and labels (m,), got {tuple(images.shape)} and {tuple(labels.shape)}.",
            code="E-DATA-149",
        )
    flat = labels.reshape(len(labels), -1)
    if flat.shape[1] != 1:
        raise DataError(f"Expected one label per image, got labels of shape {tuple(labels.shape)}.", code="E-DATA-150")
    plain = flat.cpu().numpy() if isinstance(flat, Tensor) else np.asarray(flat)
    if not np.issubdtype(plain.dtype, np.integer):
        raise DataError(f"Expected integer labels 0..c-1, got {plain.dtype}.", code="E-DATA-151")
    return list(zip(images, plain[:, 0].tolist(), strict=True))
