"""NumPy archives: `images`/`labels`, or `<split>_images`/`<split>_labels` as MedMNIST has them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from smoothcert.data.archive import read_arrays
from smoothcert.data.checks import check_shape
from smoothcert.data.dataset import ImageSet
from smoothcert.data.fit import fitted_all, fitting_steps
from smoothcert.data.medmnist import class_names_of
from smoothcert.data.names import listed, shown
from smoothcert.data.options import DataOptions
from smoothcert.data.quantise import integers_of
from smoothcert.data.stored import RefusedError
from smoothcert.errors import DataError

_COLUMN = "column "
MOST_NAMES = 1_000_000


def read_npz(path: str | os.PathLike[str], split: str | None = None, options: DataOptions | None = None) -> ImageSet:
    """Images and labels of a ``.npz`` archive.

    Args:
        path: an archive with `images` (n, H, W) or (n, H, W, C) and `labels` (n,) or (n, 1), or the same
            keys behind ``<split>_``; optionally `groups`, `class_names` and `levels` (255, 4095, 65535). Without
            `class_names`, a file with the name of a MedMNIST set has its names where the package is installed.
        split: the prefix of the keys, such as "val", or None for plain keys.
        options: how to read them; each of its subgroups is an array (n,), behind ``<split>_`` with a split.

    Raises:
        DataError: the file is missing or damaged, lacks a key, holds objects, or holds unusable arrays.
    """
    path, options = Path(path), options or DataOptions()
    reference = f"{path}#{split}" if split else str(path)
    arrays = read_arrays(path, lambda present: _keys(path, present, split, options.subgroups))
    try:
        return _image_set(reference, arrays, path, options)
    except (DataError, RefusedError) as error:
        raise DataError(_named(reference, str(error))) from None


def _image_set(reference: str, arrays: dict[str, npt.NDArray[Any]], path: Path, options: DataOptions) -> ImageSet:
    if options.window is not None:
        raise DataError("--window is for DICOM images; leave it out.")
    images = arrays["images"][..., None] if arrays["images"].ndim == 3 else arrays["images"]
    check_shape(reference, images)
    _check_lists(arrays, len(images))
    images, levels, done = integers_of(images, _declared_levels(arrays), options.quantise)
    return ImageSet(
        reference=reference,
        images=fitted_all(images, options, levels),
        labels=_flat_labels(arrays["labels"]),
        class_names=_texts(arrays, "class_names") or class_names_of(path),
        groups=_texts(arrays, "groups"),
        levels=levels,
        preprocessing=(*done, *fitting_steps(options, levels)),
        subgroups={name: _texts(arrays, f"{_COLUMN}{name}") or () for name in options.subgroups},
    )


def _check_lists(arrays: dict[str, npt.NDArray[Any]], count: int) -> None:
    """Refuse lists of another length while they are arrays: as texts they could fill the memory."""
    for name, array in arrays.items():
        most = MOST_NAMES if name == "class_names" else count
        if name not in ("images", "labels", "levels") and array.ndim and len(array) > most:
            what = "class names" if name == "class_names" else f"values, one an image, in {name.removeprefix(_COLUMN)}"
            raise DataError(f"at most {most:,} {what} are expected, got {len(array):,}.")


def _named(reference: str, message: str) -> str:
    return message if message.startswith(reference) else f"{reference}: {message}"


def _keys(path: Path, present: set[str], split: str | None, columns: tuple[str, ...]) -> dict[str, str]:
    """The arrays this reader knows, under their names without the split."""
    prefix = f"{split}_" if split else ""
    if not {f"{prefix}images", f"{prefix}labels"} <= present:
        raise DataError(_what_exists(path, present, split))
    keys = {"images": f"{prefix}images", "labels": f"{prefix}labels"}
    if f"{prefix}groups" in present:
        keys["groups"] = f"{prefix}groups"
    for name in columns:
        if f"{prefix}{name}" not in present:
            known = listed(sorted(present))
            raise DataError(f"{path}: no array {prefix}{name} for --subgroup {name}; it has {known}.")
        keys[f"{_COLUMN}{name}"] = f"{prefix}{name}"
    return keys | {name: name for name in ("class_names", "levels") if name in present}


def _what_exists(path: Path, present: set[str], split: str | None) -> str:
    wanted = f"{split}_images and {split}_labels" if split else "images and labels"
    splits = sorted(
        key.removesuffix("_images")
        for key in present
        if key.endswith("_images") and key.removesuffix("_images") + "_labels" in present
    )
    if splits:
        return f"{path}: no {wanted}; it has the splits {listed(splits)}: write {path.name}#{shown(splits[0])}."
    if {"images", "labels"} <= present:
        return f"{path}: no {wanted}; it has one set without a split: leave out #{split}."
    return f"{path}: no {wanted}; it has {listed(sorted(present), 'no arrays')}: rename its arrays."


def _declared_levels(arrays: dict[str, npt.NDArray[Any]]) -> int | None:
    levels = arrays.get("levels")
    if levels is None:
        return None
    if levels.size != 1 or not np.issubdtype(levels.dtype, np.integer):
        raise DataError(f"levels must be one integer (255, 4095 or 65535), got {levels.dtype} {levels.shape}.")
    return int(levels.reshape(())[()])


def _flat_labels(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim == 2:
        raise DataError(
            f"one label an image is needed, got labels {labels.shape}; several findings an image cannot be certified "
            "at once: choose one column (finding) and save it as labels."
        )
    return labels


def _texts(arrays: dict[str, npt.NDArray[Any]], name: str) -> tuple[str, ...] | None:
    array = arrays.get(name)
    if array is None:
        return None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise DataError(
            f"{name.removeprefix(_COLUMN)} must be a list of strings or integers, got {array.dtype} {array.shape}."
        )
    try:
        values = array.tolist()
    except (SystemError, ValueError):  # NumPy stores any 32 bits as a character
        raise DataError(f"{name.removeprefix(_COLUMN)} holds characters that do not exist; save it again.") from None
    return tuple(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values)
