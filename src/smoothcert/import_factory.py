"""``module:factory``: importing the user's own code from the working directory, and consent to run it.

Run directories, settings files and bundles are data and never name code that is run. The user consents each time, on
the command line or in Python.
"""

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smoothcert.errors import InputError, printable

FACTORY = re.compile(r"(?P<module>[^\W\d][\w.]*):(?P<factory>[^\W\d]\w*)")
"""The form of a reference to code."""
DATA_FOLDERS = {"run": ("spec.json", "events.jsonl"), "bundle": ("bundle.json", "SHA256SUMS")}
"""Folders of data, and the files that identify each."""


@dataclass(frozen=True)
class Consent:
    """Which code the user allows to run; none by default.

    Attributes:
        model: the user named the classifier, so its `module:factory` may be imported.
        data: the user named the images, so their `module:factory` may be imported.
        denoiser: the user named the denoiser, so its `module:factory` may be imported.
        trust: `--trust-model`: also model files that are code, and a `module:factory` that only a file names.
    """

    model: bool = False
    data: bool = False
    trust: bool = False
    denoiser: bool = False


NO_CONSENT = Consent()


def not_named(reference: str, error: type[InputError]) -> InputError:
    """Return the error, of the given class, for code that only a file names."""
    return error(
        f"{printable(reference)} is code that only a file names (spec.json or --config), and a file never decides what "
        "is run. If you trust this code, name it on the command line (--model, --data, --denoiser), or add "
        "--trust-model.",
        code="E-FILE-007",
    )


@contextmanager
def working_directory_importable() -> Iterator[None]:
    """Put the working directory on the import path while the block runs."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def import_factory(module: str, factory: str, flag: str, error: type[InputError]) -> Callable[..., Any]:
    """Import a function of the user; call it inside `working_directory_importable`.

    Neither the module nor its packages are imported if the working directory or the module is in a run directory or a
    bundle.

    Args:
        module: importable name.
        factory: name of a callable in it.
        flag: the flag that named them, for messages.
        error: the class of the error to raise.

    Raises:
        InputError: of that class: the import fails, the module has no such function, or it is in a folder of data.
    """
    importlib.invalidate_caches()
    try:
        _refuse_data_folders(module, flag, error)
        imported = importlib.import_module(module)
    except error:
        raise
    except Exception as cause:
        raise error(
            f"{flag} {module}:{factory}: importing {module} from {os.getcwd()} failed "
            f"({type(cause).__name__}: {cause}).",
            code="E-FILE-008",
        ) from cause
    found = getattr(imported, factory, None)
    if not callable(found):
        known = [name for name in vars(imported) if not name.startswith("_")]
        raise error(
            f"{module} has no function {factory!r}; it has {', '.join(known[:6]) or 'no public names'}.",
            code="E-FILE-009",
        )
    result: Callable[..., Any] = found
    return result


def source_sha256(module: str) -> str | None:
    """Return the hash ("sha256:...") of the source file of an imported module, or None if it has no file."""
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        return None if file is None else f"sha256:{hashlib.sha256(Path(file).read_bytes()).hexdigest()}"
    except OSError:
        return None


def data_folder(path: str | os.PathLike[str]) -> tuple[str, Path] | None:
    """Return the run directory or bundle that contains a path, links resolved: its kind and its path; or None."""
    for place in (Path(path).absolute(), Path(path).resolve()):
        for folder in (place, *place.parents):
            for kind, marks in DATA_FOLDERS.items():
                if all((folder / mark).exists() for mark in marks):
                    return kind, folder
    return None


def _refuse_data_folders(module: str, flag: str, error: type[InputError]) -> None:
    """Refuse a module in a run directory or bundle before it, or one of its packages, is executed."""
    places = [os.getcwd()]
    names = module.split(".")
    for depth in range(len(names) + 1):
        for place in places:
            if (found := data_folder(place)) is not None:
                raise error(
                    f"{flag} {module}: it would be imported from {printable(str(found[1]))}, which is a {found[0]} "
                    "directory; data is never run. Change to the folder of your own code.",
                    code="E-FILE-010",
                )
        if depth < len(names):
            spec = importlib.util.find_spec(".".join(names[: depth + 1]))  # runs the packages looked at before
            places = [] if spec is None else [*(spec.submodule_search_locations or ())]
            places += [spec.origin] if spec is not None and spec.has_location and spec.origin else []
