"""The workload of Python objects: a model and a data set in memory, recognised by their hashes.

A model is recognised by its state, its structure, the plain attributes of its modules and the source of their classes.
"""

from __future__ import annotations

import hashlib
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import DataLoader

from smoothcert.config import Request
from smoothcert.config.request import IN_MEMORY
from smoothcert.data import DataOptions, ImageSet
from smoothcert.data.torch_dataset import read_dataset
from smoothcert.engine.workload import Workload, workload_of
from smoothcert.errors import DataError, ModelError
from smoothcert.models import Classifier
from smoothcert.models.state import state_sha256, tensors_sha256
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
    levels = [float(sigma) for sigma in request.sigma]
    given = models if isinstance(models, Mapping) else dict.fromkeys(levels, models)
    if {float(sigma) for sigma in given} != set(levels):
        raise ModelError(
            f"Expected one model per noise level {sorted(levels)}, got models for {sorted(map(float, given))}.",
            code="E-MODEL-020",
        )
    models_by_id = {id(model): model for model in given.values()}  # one may serve several noise levels
    known = {key: classifier_of(model) for key, model in models_by_id.items()}
    classifiers = {sigma: known[id(given[sigma])] for sigma in sorted(levels)}
    if request.device == "auto":
        device = device_of_module(next(iter(classifiers.values())).module).type
        request = request.model_copy(update={"device": device})
    return workload_of(request, images_of(dataset, request, class_names), classifiers)


def classifier_of(model: Model) -> Classifier:
    """Return a model in memory as a classifier with a hash by which it is recognised.

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
    is_function = isinstance(classifier.module, Function)
    code = _function_code(classifier) if is_function else _module_code(classifier.module)
    digest = hashlib.sha256("\n".join(code).encode()).hexdigest()
    return replace(classifier, reference=name, sha256=state, source_sha256=f"sha256:{digest}")


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


def _function_code(classifier: Classifier) -> Iterator[str]:
    """Yield the source of a function that computes with its argument and imported modules alone."""
    function: Any = classifier.module.function
    if inspect.isfunction(function) and not function.__defaults__ and not function.__kwdefaults__:
        used = inspect.getclosurevars(function)
        with suppress(OSError):
            if not used.nonlocals and all(map(inspect.ismodule, used.globals.values())):
                yield textwrap.dedent(inspect.getsource(function))
                return
    raise ModelError(
        f"{classifier.reference}: expected a torch.nn.Module, or a function with source code that uses nothing but its "
        "argument and imported modules, so that the model can be recognised when the run is resumed. Put what it "
        "computes into the forward method of a torch.nn.Module, with its networks as submodules.",
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
