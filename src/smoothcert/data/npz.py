"""NumPy archives: `images`/`labels`, or `<split>_images`/`<split>_labels` as MedMNIST has them."""

import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from smoothcert.data.dataset import ImageSet
from smoothcert.data.quantise import integers_of
from smoothcert.errors import DataError

MAX_RATIO = 400
"""Above this compression an array of more than a GiB is taken for a decompression bomb."""


def read_npz(path: str | os.PathLike[str], split: str | None = None, quantise: int | None = None) -> ImageSet:
    """Images and labels of a ``.npz`` archive.

    Args:
        path: an archive with `images` (n, H, W) or (n, H, W, C) and `labels` (n,) or (n, 1), or the same
            keys behind ``<split>_``; optionally `groups`, `class_names` and `levels` (255, 4095, 65535).
        split: the prefix of the keys, such as "val", or None for plain keys.
        quantise: bits to snap the images to (8, 12, 16), or None.

    Raises:
        DataError: the file is missing or damaged, lacks a key, holds objects, or holds unusable arrays.
    """
    path = Path(path)
    reference = f"{path}#{split}" if split else str(path)
    arrays = _read_arrays(path, split)
    try:
        images, levels, done = integers_of(arrays["images"], _declared_levels(arrays), quantise)
        return ImageSet(
            reference=reference,
            images=images[..., None] if images.ndim == 3 else images,
            labels=_flat_labels(arrays["labels"]),
            class_names=_texts(arrays, "class_names") or (),
            groups=_texts(arrays, "groups"),
            levels=levels,
            preprocessing=done,
        )
    except DataError as error:
        raise DataError(_named(reference, str(error))) from None


def _named(reference: str, message: str) -> str:
    return message if message.startswith(reference) else f"{reference}: {message}"


def _read_arrays(path: Path, split: str | None) -> dict[str, npt.NDArray[Any]]:
    """The arrays this reader knows, under their names without the split."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; give the path of a .npz archive.")
    try:
        with zipfile.ZipFile(path) as archive:
            keys = _keys(path, archive, split)
            return {name: _read_member(path, archive, key) for name, key in keys.items()}
    except DataError:
        raise
    except Exception as error:  # damaged bytes make zipfile, zlib and numpy raise nearly anything
        raise DataError(
            f"{path}: a readable .npz archive is expected, but it is damaged or something else "
            f"({type(error).__name__}); save it again with numpy.savez."
        ) from error


def _keys(path: Path, archive: zipfile.ZipFile, split: str | None) -> dict[str, str]:
    present = {name.removesuffix(".npy") for name in archive.namelist()}
    prefix = f"{split}_" if split else ""
    if not {f"{prefix}images", f"{prefix}labels"} <= present:
        raise DataError(_what_exists(path, present, split))
    keys = {"images": f"{prefix}images", "labels": f"{prefix}labels"}
    if f"{prefix}groups" in present:
        keys["groups"] = f"{prefix}groups"
    return keys | {name: name for name in ("class_names", "levels") if name in present}


def _what_exists(path: Path, present: set[str], split: str | None) -> str:
    wanted = f"{split}_images and {split}_labels" if split else "images and labels"
    splits = sorted(
        key.removesuffix("_images")
        for key in present
        if key.endswith("_images") and key.removesuffix("_images") + "_labels" in present
    )
    if splits:
        return f"{path}: no {wanted}; it has the splits {', '.join(splits)}: write {path.name}#{splits[0]}."
    if {"images", "labels"} <= present:
        return f"{path}: no {wanted}; it has one set without a split: leave out #{split}."
    return f"{path}: no {wanted}; it has {', '.join(sorted(present)[:8]) or 'no arrays'}: rename its arrays."


def _read_member(path: Path, archive: zipfile.ZipFile, key: str) -> npt.NDArray[Any]:
    info = archive.getinfo(f"{key}.npy")
    with archive.open(info) as member:
        _check_header(path, key, member, info)
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _check_header(path: Path, key: str, member: IO[bytes], info: zipfile.ZipInfo) -> None:
    """Refuse before a byte of the array is read what would execute code or fill the memory."""
    version = np.lib.format.read_magic(member)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(member)
    if dtype.hasobject:
        raise DataError(
            f"{path}: {key} holds Python objects, which only unpickling can read and which could run code; "
            "save plain numbers and strings."
        )
    size = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
    bomb = size > 2**30 and size > MAX_RATIO * max(info.compress_size, 1)
    if size > _memory_limit() or size > info.file_size or bomb:
        raise DataError(
            f"{path}: {key} claims {size:,} bytes, but the archive holds {info.file_size:,} "
            f"({info.compress_size:,} compressed) and {_memory_limit():,} fit here; it is damaged or too large."
        )


def _memory_limit() -> int:
    """Half of the machine's memory, bytes; 16 GiB where the machine does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 2**34


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
        raise DataError(f"one label an image is needed, got labels {labels.shape}; choose one column (finding).")
    return labels


def _texts(arrays: dict[str, npt.NDArray[Any]], name: str) -> tuple[str, ...] | None:
    array = arrays.get(name)
    if array is None:
        return None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise DataError(f"{name} must be a list of strings or integers, got {array.dtype} {array.shape}.")
    if array.dtype.kind == "S":
        return tuple(value.decode("utf-8", "replace") for value in array.tolist())
    return tuple(str(value) for value in array.tolist())
