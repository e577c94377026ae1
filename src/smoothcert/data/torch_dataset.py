"""``module:factory``: a torch-style Dataset returned by the user's code, read item by item into one array."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.data.dataset import DataOptions, ImageSet
from smoothcert.data.folder import Progress
from smoothcert.data.stack import Items
from smoothcert.errors import DataError
from smoothcert.import_factory import import_factory, source_sha256, working_directory_importable

Array = npt.NDArray[Any]


def read_factory(
    module_name: str, factory_name: str, options: DataOptions | None = None, progress: Progress | None = None
) -> ImageSet:
    """Read every item of the dataset that a user's function returns.

    An item is (image, label) or (image, label, group). An image is a PIL image, a torch tensor (C, H, W), or
    an array (C, H, W), (H, W, C) or (H, W); its values are uint8, uint16, or floats in [0, 1] on a grid. The
    dataset may have the attributes `class_names` (or `classes`), `levels` (255, 4095, 65535) and `subgroups` (a
    dictionary of columns with one value per item).

    Args:
        module_name: importable, also from the working directory.
        factory_name: a function without required arguments.
        options: how to read them. Integer images may differ in size before resizing and cropping; float images must
            have one size.
        progress: called after each item with the number read and the total.

    Raises:
        DataError: the import, the call or an item fails, or the arrays cannot be used.
    """
    reference, options = f"{module_name}:{factory_name}", options or DataOptions()
    try:
        with working_directory_importable():
            dataset = _made(module_name, factory_name, reference)
            found = read_dataset(dataset, reference, options, progress)
            return replace(found, source_sha256=source_sha256(module_name))
    except DataError as error:
        text = str(error)
        raise DataError(
            text if text.startswith((reference, "--data")) else f"{reference}: {text}", code=error.code
        ) from error.__cause__


def read_dataset(dataset: Any, reference: str, options: DataOptions, progress: Progress | None) -> ImageSet:
    """Return every item of a torch-style Dataset; see `read_factory` for what an item and a data set may be.

    Raises:
        DataError: an item cannot be read, or the images cannot be used.
    """
    if options.window is not None:
        raise DataError("--window is for DICOM images; leave it out.", code="E-DATA-099")
    levels, count = _levels(dataset), _length(dataset, reference)
    pixels, labels, groups = Items(count, options, levels), [], []
    for i in range(count):
        image, label, group = _item(dataset, i, reference)
        pixels.put(image, f"item {i}")
        labels.append(label)
        groups.append(group)
        if progress is not None:
            progress(i + 1, count)
    images, found, done = pixels.finish()
    return ImageSet(
        reference=reference,
        images=images,
        labels=np.array(labels, np.int64),
        class_names=_class_names(dataset),
        groups=_groups(groups),
        levels=found,
        preprocessing=done,
        subgroups=_subgroups(dataset, options.subgroups),
    )


def _made(module_name: str, factory_name: str, reference: str) -> Any:
    factory = import_factory(module_name, factory_name, "--data", DataError)
    try:
        return factory()
    except Exception as error:  # the user's code may raise anything
        raise DataError(
            f"{reference}() failed to return a dataset ({type(error).__name__}: {error}); correct the function.",
            code="E-DATA-123",
        ) from error


def _length(dataset: Any, reference: str) -> int:
    try:
        length = len(dataset)
    except Exception:
        raise DataError(
            f"{reference} must return a dataset with len() and [i], got {type(dataset).__name__}.", code="E-DATA-124"
        ) from None
    if length < 1 or not hasattr(dataset, "__getitem__"):
        raise DataError(
            f"{reference} must return a dataset of at least one image with len() and [i], got {length}.",
            code="E-DATA-125",
        )
    return length


def _item(dataset: Any, i: int, reference: str) -> tuple[Array, int, str | None]:
    """Return (image (H, W, C), label, group or None) of one item."""
    try:
        item = dataset[i]
    except Exception as error:  # the user's code may raise anything
        raise DataError(
            f"{reference}: item {i} cannot be read ({type(error).__name__}: {error}).", code="E-DATA-126"
        ) from error
    if not isinstance(item, tuple | list) or len(item) not in (2, 3):
        raise DataError(
            f"{reference}: item {i} must be (image, label) or (image, label, group), got {type(item).__name__}.",
            code="E-DATA-127",
        )
    where = f"{reference}: item {i}"
    return _channels_last(item[0], where), _label(item[1], where), str(item[2]) if len(item) == 3 else None


def _label(label: Any, where: str) -> int:
    value = np.asarray(label)
    if value.size != 1 or not np.issubdtype(value.dtype, np.integer):
        raise DataError(
            f"{where}: the label must be one integer 0..c-1, got {value.dtype} {value.shape}.", code="E-DATA-128"
        )
    return int(value.reshape(-1)[0])


def _channels_last(image: Any, where: str) -> Array:
    if hasattr(image, "getbands"):  # a PIL image
        return _pillow(image, where)
    torch = sys.modules.get("torch")  # a tensor can only exist if torch has been imported
    tensor = torch is not None and isinstance(image, torch.Tensor)
    array = image.detach().cpu().numpy() if tensor else np.asarray(image)
    if array.ndim == 2:
        return array[..., None]
    if array.ndim == 3 and array.shape[0] in (1, 3):
        return array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] in (1, 3) and not tensor:
        return array
    raise DataError(
        f"{where}: the image must have shape (C, H, W) with 1 or 3 channels, got {array.shape}.", code="E-DATA-129"
    )


def _pillow(image: Any, where: str) -> Array:
    if image.mode not in ("L", "RGB", "P", "I;16"):
        raise DataError(
            f"{where}: the image must be grey (L, I;16) or RGB, got mode {image.mode}; convert it.", code="E-DATA-130"
        )
    array = np.asarray(image.convert("RGB") if image.mode == "P" else image)
    return array[..., None] if array.ndim == 2 else array


def _levels(dataset: Any) -> int | None:
    levels = getattr(dataset, "levels", None)
    if levels is not None and (isinstance(levels, bool) or not isinstance(levels, int)):
        raise DataError(f"the dataset's levels must be 255, 4095 or 65535, got {levels!r}.", code="E-DATA-131")
    return levels


def _class_names(dataset: Any) -> tuple[str, ...]:
    names = getattr(dataset, "class_names", None) or getattr(dataset, "classes", None) or ()
    return tuple(str(name) for name in names)


def _groups(groups: list[str | None]) -> tuple[str, ...] | None:
    known = tuple(group for group in groups if group is not None)
    if known and len(known) != len(groups):
        raise DataError(
            f"either every item or none must have a group, but {len(groups) - len(known)} items have none.",
            code="E-DATA-132",
        )
    return known or None


def _subgroups(dataset: Any, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    columns = getattr(dataset, "subgroups", {})
    missing = [name for name in names if name not in columns]
    if missing:
        raise DataError(
            f"no column {missing[0]} for --subgroup; the attribute `subgroups` of the dataset has "
            f"{', '.join(map(str, columns)) or 'no columns'}.",
            code="E-DATA-133",
        )
    return {name: tuple(str(value) for value in columns[name]) for name in names}
