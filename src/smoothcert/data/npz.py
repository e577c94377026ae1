"""NumPy archives: `images`/`labels`, or `<split>_images`/`<split>_labels`; MedMNIST (``medmnist:NAME``) among them.

Archives are read without running code and within a memory limit. The package `medmnist` depends on torchvision, which
a CPU build of torch often cannot load. Its catalogue is a plain dictionary in one of its files, which is read as data:
the package is not imported, and ``pip install --no-deps medmnist`` is enough.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import urllib.request
import zipfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from smoothcert.data.checks import check_shape, listed, memory_limit, quoted_name
from smoothcert.data.dataset import DataOptions, ImageSet
from smoothcert.data.transforms import fitted_all, fitting_steps, integers_of
from smoothcert.errors import DataError

MAX_RATIO = 400
"""An array of more than 1 GiB with a higher compression ratio is treated as a decompression bomb."""

Array = npt.NDArray[Any]


def read_arrays(path: Path, choose: Callable[[set[str]], dict[str, str]]) -> dict[str, Array]:
    """Read some arrays of a ``.npz`` archive.

    Args:
        path: the archive.
        choose: maps the names of all arrays to the arrays to read: {name to return: name in the archive}.

    Raises:
        DataError: the file is missing or damaged, or an array contains objects or declares an impossible size.
    """
    if path.is_dir():
        raise DataError(
            f"{path}: expected a .npz archive, got a folder; end its name with / if it contains one folder per class.",
            code="E-DATA-094",
        )
    if not path.is_file():
        raise DataError(f"{path}: no such file; use the path of a .npz archive.", code="E-DATA-095")
    try:
        with zipfile.ZipFile(path) as archive:
            keys = choose({name.removesuffix(".npy") for name in archive.namelist()})
            return {name: _read_member(path, archive, key) for name, key in keys.items()}
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise many kinds of errors on damaged files
        raise DataError(
            f"{path}: expected a .npz archive, got a damaged file or another kind ({type(error).__name__}); save it "
            "again with numpy.savez.",
            code="E-DATA-096",
        ) from error


def _read_member(path: Path, archive: zipfile.ZipFile, key: str) -> npt.NDArray[Any]:
    info = archive.getinfo(f"{key}.npy")
    with archive.open(info) as member:
        _check_header(path, key, member, info)
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _check_header(path: Path, key: str, member: IO[bytes], info: zipfile.ZipInfo) -> None:
    """Raise DataError, before the array is read, if it could execute code or fill the memory."""
    version = np.lib.format.read_magic(member)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(member)
    if dtype.hasobject:
        raise DataError(
            f"{path}: {key} contains pickled Python objects, which could run code when loaded; save plain numbers and "
            "strings.",
            code="E-DATA-097",
        )
    size = int(np.prod([int(side) for side in shape], dtype=object)) * dtype.itemsize
    bomb = size > 2**30 and size > MAX_RATIO * max(info.compress_size, 1)
    if size > memory_limit() or size > info.file_size or bomb:
        raise DataError(
            f"{path}: {key} declares {size:,} bytes, but the archive contains {info.file_size:,} "
            f"({info.compress_size:,} compressed) and the limit is {memory_limit():,}; it is damaged or too large.",
            code="E-DATA-098",
        )


_COLUMN = "column "
MOST_NAMES = 1_000_000


def read_npz(path: str | os.PathLike[str], split: str | None = None, options: DataOptions | None = None) -> ImageSet:
    """Read images and labels of a ``.npz`` archive.

    Args:
        path: an archive with `images` (n, H, W) or (n, H, W, C) and `labels` (n,) or (n, 1), or the same keys with
            the prefix ``<split>_``; optionally `groups`, `class_names` and `levels` (255, 4095, 65535). Without
            `class_names`, a file named like a MedMNIST set gets the names of that set if `medmnist` is installed.
        split: prefix of the keys, such as "val", or None for keys without prefix.
        options: how to read them; each subgroup is an array (n,), with the prefix if there is a split.

    Raises:
        DataError: the file is missing or damaged, lacks a key, contains objects, or has unusable arrays.
    """
    path, options = Path(path), options or DataOptions()
    reference = f"{path}#{split}" if split else str(path)
    arrays = read_arrays(path, lambda present: _keys(path, present, split, options.subgroups))
    try:
        return _image_set(reference, arrays, path, options)
    except DataError as error:
        raise DataError(_named(reference, str(error)), code=error.code) from None


def _image_set(reference: str, arrays: dict[str, npt.NDArray[Any]], path: Path, options: DataOptions) -> ImageSet:
    if options.window is not None:
        raise DataError("--window is for DICOM images; leave it out.", code="E-DATA-099")
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
    """Raise DataError if a list is too long, before it is converted to text, which could fill the memory."""
    for name, array in arrays.items():
        most = MOST_NAMES if name == "class_names" else count
        if name not in ("images", "labels", "levels") and array.ndim and len(array) > most:
            what = "class names" if name == "class_names" else f"values (one per image) in {name.removeprefix(_COLUMN)}"
            raise DataError(f"expected at most {most:,} {what}, got {len(array):,}.", code="E-DATA-100")


def _named(reference: str, message: str) -> str:
    return message if message.startswith(reference) else f"{reference}: {message}"


def _keys(path: Path, present: set[str], split: str | None, columns: tuple[str, ...]) -> dict[str, str]:
    """Return the keys of the arrays to read by their names without the split."""
    prefix = f"{split}_" if split else ""
    if not {f"{prefix}images", f"{prefix}labels"} <= present:
        raise DataError(_what_exists(path, present, split), code="E-DATA-101")
    keys = {"images": f"{prefix}images", "labels": f"{prefix}labels"}
    if f"{prefix}groups" in present:
        keys["groups"] = f"{prefix}groups"
    for name in columns:
        if f"{prefix}{name}" not in present:
            known = listed(sorted(present))
            raise DataError(
                f"{path}: no array {prefix}{name} for --subgroup {name}; available: {known}.", code="E-DATA-102"
            )
        keys[f"{_COLUMN}{name}"] = f"{prefix}{name}"
    return keys | {name: name for name in ("class_names", "levels") if name in present}


def _what_exists(path: Path, present: set[str], split: str | None) -> str:
    expected = f"{split}_images and {split}_labels" if split else "images and labels"
    splits = sorted(
        key.removesuffix("_images")
        for key in present
        if key.endswith("_images") and key.removesuffix("_images") + "_labels" in present
    )
    if splits:
        return f"{path}: no {expected}; it has the splits {listed(splits)}: write {path.name}#{quoted_name(splits[0])}."
    if {"images", "labels"} <= present:
        return f"{path}: no {expected}; it has one set without a split: leave out #{split}."
    return f"{path}: no {expected}; it has {listed(sorted(present), 'no arrays')}: rename its arrays."


def _declared_levels(arrays: dict[str, npt.NDArray[Any]]) -> int | None:
    levels = arrays.get("levels")
    if levels is None:
        return None
    if levels.size != 1 or not np.issubdtype(levels.dtype, np.integer):
        raise DataError(
            f"levels must be one integer (255, 4095 or 65535), got {levels.dtype} {levels.shape}.", code="E-DATA-103"
        )
    return int(levels.reshape(())[()])


def _flat_labels(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim == 2:
        raise DataError(
            f"expected one label per image, got labels of shape {labels.shape}; several findings per image cannot be "
            "certified at once: choose one column (finding) and save it as labels.",
            code="E-DATA-104",
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
            f"{name.removeprefix(_COLUMN)} must be a list of strings or integers, got {array.dtype} {array.shape}.",
            code="E-DATA-105",
        )
    try:
        values = array.tolist()
    except (SystemError, ValueError):  # NumPy accepts any 32 bits as a character
        raise DataError(
            f"{name.removeprefix(_COLUMN)} contains invalid characters; save it again.", code="E-DATA-106"
        ) from None
    return tuple(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values)


_FILE = re.compile(r"(?P<flag>[a-z]+mnist(?:3d)?)(?P<size>_[0-9]+)?")


def read_medmnist(name: str, split: str, options: DataOptions) -> ImageSet:
    """Read one split of a MedMNIST set from ``~/.medmnist/NAME.npz``, which is downloaded if it does not exist.

    Args:
        name: a name of the catalogue, such as bloodmnist, or with a size, such as bloodmnist_64.
        split: train, val or test.
        options: how to read it.

    Raises:
        DataError: no such set, 3-D volumes, several findings per image, or the download failed.
    """
    if "3d" in name:
        raise DataError(
            f"medmnist:{name}: only 2-D images can be certified, got 3-D volumes; choose another set.",
            code="E-DATA-107",
        )
    path = Path.home() / ".medmnist" / f"{name}.npz"
    if not path.is_file():
        _download(name, path)
    return read_npz(path, split, options)


def class_names_of(path: Path) -> tuple[str, ...]:
    """Return the class names of a MedMNIST file by its name; () for other files, or if `medmnist` is not installed."""
    found = _FILE.fullmatch(path.stem)
    entry = catalogue().get(found["flag"], {}) if found else {}
    label = entry.get("label")
    if not isinstance(label, dict) or "multi-label" in entry.get("task", ""):
        return ()
    return tuple(str(label[key]) for key in sorted(label, key=int))


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """Return the catalogue of the installed package `medmnist` by name of the set; empty if it is not installed."""
    package = find_spec("medmnist")
    if package is None or not package.submodule_search_locations:
        return {}
    try:
        tree = ast.parse((Path(package.submodule_search_locations[0]) / "info.py").read_text(encoding="utf-8"))
        values = [node.value for node in tree.body if isinstance(node, ast.Assign) and _names(node) == ["INFO"]]
        return dict(ast.literal_eval(values[0]))
    except (OSError, ValueError, SyntaxError, IndexError):
        return {}


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def _download(name: str, path: Path) -> None:
    """Download a file to the folder of the package, and compare its MD5 with the catalogue."""
    found = _FILE.fullmatch(name)
    known = catalogue()
    if not known:
        raise DataError(
            f"medmnist:{name}: {path} does not exist, and its URL is not known without the package medmnist; put the "
            "file there, or: pip install --no-deps medmnist.",
            code="E-DATA-108",
        )
    entry = known.get(found["flag"], {}) if found else {}
    size = (found["size"] or "") if found else ""
    if f"url{size}" not in entry:
        flat = ", ".join(each for each in known if "3d" not in each)
        raise DataError(
            f"medmnist:{name}: no such set; available: {flat}, with _64, _128 or _224 for larger images.",
            code="E-DATA-109",
        )
    url, md5 = str(entry[f"url{size}"]), str(entry[f"MD5{size}"])
    try:
        fetched = _fetched(url, path.with_name(f"{path.name}.{os.getpid()}.part"))
    except OSError:
        raise DataError(
            f"medmnist:{name}: the download failed; download {url} and save it as {path}.", code="E-DATA-110"
        ) from None
    if hashlib.md5(fetched.read_bytes(), usedforsecurity=False).hexdigest() != md5:
        fetched.unlink()
        raise DataError(
            f"medmnist:{name}: the MD5 of the download differs from the published one; download {url} and save it as "
            f"{path}.",
            code="E-DATA-111",
        )
    fetched.replace(path)


def _fetched(url: str, part: Path) -> Path:
    try:
        with urllib.request.urlopen(url, timeout=30) as source:
            part.parent.mkdir(exist_ok=True)
            with part.open("wb") as file:
                shutil.copyfileobj(source, file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return part
