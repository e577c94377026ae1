"""MedMNIST: ``medmnist:NAME``, and the class names that its ``.npz`` files leave out.

The package `medmnist` depends on torchvision, which a CPU build of torch often cannot load. Its catalogue is a plain
dictionary in one of its files, so that file is read as data: nothing of the package is imported or run, and
``pip install --no-deps medmnist`` is enough.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import urllib.request
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smoothcert.errors import DataError

if TYPE_CHECKING:
    from smoothcert.data.dataset import ImageSet
    from smoothcert.data.options import DataOptions

_FILE = re.compile(r"(?P<flag>[a-z]+mnist(?:3d)?)(?P<size>_[0-9]+)?")


def read_medmnist(name: str, split: str, options: DataOptions) -> ImageSet:
    """One split of a MedMNIST set, from ``~/.medmnist/NAME.npz``, which is downloaded where it is not there.

    Args:
        name: a name of the catalogue, such as bloodmnist, or with a size, such as bloodmnist_64.
        split: train, val or test.
        options: how to read it.

    Raises:
        DataError: no such set, 3-D volumes or several findings an image, or the file is neither there nor to be had.
    """
    from smoothcert.data.npz import read_npz

    if "3d" in name:
        raise DataError(f"medmnist:{name} holds 3-D volumes, and only 2-D images can be certified; choose another set.")
    path = Path.home() / ".medmnist" / f"{name}.npz"
    if not path.is_file():
        _download(name, path)
    return read_npz(path, split, options)


def class_names_of(path: Path) -> tuple[str, ...]:
    """The class names of a MedMNIST file, by its name; none where it is no such file or the package is not there."""
    found = _FILE.fullmatch(path.stem)
    entry = catalogue().get(found["flag"], {}) if found else {}
    label = entry.get("label")
    if not isinstance(label, dict) or "multi-label" in entry.get("task", ""):
        return ()
    return tuple(str(label[key]) for key in sorted(label, key=int))


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """The catalogue of the installed package `medmnist` by name of the set; empty where it is not installed."""
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
    """Fetch a file to where the package keeps it, and compare its MD5 with the catalogue's."""
    found = _FILE.fullmatch(name)
    known = catalogue()
    if not known:
        raise DataError(
            f"medmnist:{name}: there is no {path}, and without the package medmnist it is not known where to find it; "
            "put the file there, or: pip install --no-deps medmnist."
        )
    entry = known.get(found["flag"], {}) if found else {}
    size = (found["size"] or "") if found else ""
    if f"url{size}" not in entry:
        flat = ", ".join(each for each in known if "3d" not in each)
        raise DataError(f"medmnist:{name}: no such set; there are {flat}, and with _64, _128 or _224 larger images.")
    url, md5 = str(entry[f"url{size}"]), str(entry[f"MD5{size}"])
    try:
        fetched = _fetched(url, path.with_name(f"{path.name}.{os.getpid()}.part"))
    except OSError:
        raise DataError(f"medmnist:{name}: the download failed; fetch {url} and put it at {path}.") from None
    if hashlib.md5(fetched.read_bytes(), usedforsecurity=False).hexdigest() != md5:
        fetched.unlink()
        raise DataError(f"medmnist:{name}: what was downloaded is not the published file; fetch {url} as {path}.")
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
