"""The workload of Python objects: a model and a data set in memory, recognised by their hashes.

A model is recognised by its state, its structure, the attributes of its modules and the source of their classes, and by
the logits of a few fixed images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from smoothcert.config import Request
from smoothcert.config.request import IN_MEMORY
from smoothcert.data import DataOptions, ImageSet
from smoothcert.data.torch_dataset import read_dataset
from smoothcert.engine.workload import Workload, workload_of
from smoothcert.errors import DataError, ModelError
from smoothcert.formats.spec import MINOR
from smoothcert.models import Classifier, Denoiser
from smoothcert.models.denoisers.adapt import denoiser_of, hash_of
from smoothcert.models.state import as_it_is, state_sha256
from smoothcert.progress import interactive
from smoothcert.sampling.base_model import (
    DenoiserModel,
    Model,
    as_classifier,
    check_is_denoiser,
    check_parameters,
    code_sha256,
    device_of_module,
    evaluating,
)

Models = Model | Mapping[float, Model]
"""One base classifier for all noise levels, or one for each, by sigma."""


Denoisers = DenoiserModel | Mapping[float, DenoiserModel]
"""One denoiser for all noise levels, or one for each, by sigma."""


def workload_in_memory(
    request: Request,
    models: Models,
    dataset: Any,
    class_names: Sequence[str] = (),
    denoisers: Denoisers | None = None,
    minor: int = MINOR,
) -> Workload:
    """Return the workload of a model and a data set in memory.

    Args:
        request: the settings, with `IN_MEMORY` for model, data and denoiser.
        models: base classifiers: modules, or callables that map a batch to logits.
        denoisers: modules before them, or None.
        dataset: see `images_of`.
        class_names: one per class, or () for those of the data set.
        minor: minor version of the spec to which the code of the models is compared.

    Raises:
        DataError: images or labels cannot be used.
        ModelError: a model cannot be used, or nothing identifies it.
        RecipeError: the numeric recipe cannot be run here.
    """
    for name in ("weights", "denoiser_weights"):
        if getattr(request, name) is not None:
            raise ModelError(
                f"{name}: a file was named beside Python objects, which have their weights; load them into the module, "
                f"and leave out {name}.",
                code="E-MODEL-152",
            )
    given = _by_level(request, models, "model")
    models_by_id = {id(model): model for model in given.values()}  # one may serve several noise levels
    known = {key: classifier_of(model, minor) for key, model in models_by_id.items()}
    classifiers = {sigma: known[id(model)] for sigma, model in given.items()}
    device = device_of_module(next(iter(classifiers.values())).module)
    if request.device == "auto":
        request = request.model_copy(update={"device": device.type})
    before = {} if denoisers is None else _by_level(request, denoisers, "denoiser")
    denoisers_by_id = {id(each): _denoiser_of(each, request, device, minor) for each in before.values()}
    found = {sigma: denoisers_by_id[id(each)] for sigma, each in before.items()}
    modules = [*(each.module for each in classifiers.values()), *(each.module for each in found.values())]
    with evaluating(*modules):
        return workload_of(request, images_of(dataset, request, class_names), classifiers, found)


def _by_level(request: Request, given: Any, what: str) -> dict[float, Any]:
    """Return what was given for each noise level, in their order."""
    levels = [float(sigma) for sigma in request.sigma]
    if not isinstance(given, Mapping):
        return dict.fromkeys(sorted(levels), given)
    if {float(sigma) for sigma in given} != set(levels):
        raise ModelError(
            f"Expected one {what} per noise level {sorted(levels)}, got {what}s for {sorted(map(float, given))}.",
            code="E-MODEL-020",
        )
    return {sigma: given[sigma] for sigma in sorted(levels)}


def _denoiser_of(model: DenoiserModel, request: Request, device: torch.device, minor: int) -> Denoiser:
    """Return a denoiser in memory, in the value range of the request, with a hash by which it is recognised."""
    span = request.denoiser_range
    if isinstance(model, Denoiser):
        if span is not None:
            raise ModelError(
                f"denoiser_range: expected none with {model.reference}, which is loaded and has its value range, got "
                f"{span}; leave it out, or give it to load_denoiser.",
                code="E-MODEL-199",
            )
        found = as_it_is(model)
    else:
        check_is_denoiser(model)
        found = denoiser_of(model, type(model).__name__, None if span is None else (span[0], span[1]))
    if found.sha256:
        return found
    found.module.to(device)
    reference, source = f"{IN_MEMORY} ({found.reference})", code_sha256(found.module, minor)
    return replace(found, reference=reference, sha256=hash_of(found), source_sha256=source)


def classifier_of(model: Model, minor: int = MINOR) -> Classifier:
    """Return a model in memory as a classifier with a hash by which it is recognised.

    Args:
        model: the model.
        minor: minor version of the spec to which its code is compared.

    Raises:
        ModelError: it is not callable, on another device than CPU or CUDA, not in float32, or cannot be recognised.
    """
    classifier = as_classifier(model)
    check_parameters(classifier)
    if classifier.sha256:
        return classifier
    name, state = f"{IN_MEMORY} ({classifier.reference})", state_sha256(classifier.module)
    if state is None:
        raise ModelError(
            f"{classifier.reference}: expected a state dict of plain tensors, to be hashed, got another. Use an "
            "unquantised network.",
            code="E-MODEL-111",
        )
    return replace(classifier, reference=name, sha256=state, source_sha256=code_sha256(classifier.module, minor))


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
