"""``module:factory``: the user's own code, importable from the working directory, and who may say that it is run.

A run directory, a settings file or a bundle is data: it never names code that is run. Consent is given by a person, on
the command line or in Python, each time.
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
"""How such a function is named."""
DATA_FOLDERS = {"run": ("spec.json", "events.jsonl"), "bundle": ("bundle.json", "SHA256SUMS")}
"""Folders of data, and the files by which each is known."""


@dataclass(frozen=True)
class Consent:
    """What a person allows to be run; nothing by default.

    Attributes:
        model: the person named the classifier, so its `module:factory` is imported.
        data: the person named the images, so their `module:factory` is imported.
        trust: `--trust-model`: files that are code are run too, and so is a `module:factory` that only a file names.
    """

    model: bool = False
    data: bool = False
    trust: bool = False


NO_CONSENT = Consent()


def not_named(reference: str, error: type[InputError]) -> InputError:
    """Return the refusal, as an error of that kind, of code that only a file names."""
    return error(
        f"{printable(reference)} is code, and only a file names it (spec.json or --config). A file never decides what "
        "is run: if you trust this code, name it on the command line (--model, --data), or add --trust-model."
    )


@contextmanager
def working_directory_importable() -> Iterator[None]:
    """Let modules beside the user be imported while the block runs."""
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)


def import_factory(module: str, factory: str, flag: str, error: type[InputError]) -> Callable[..., Any]:
    """Import a user's function; call it inside `working_directory_importable`.

    Nothing is imported, and none of its packages either, where the working directory or the module lies in a run
    directory or a bundle.

    Args:
        module: importable name.
        factory: name of a callable in it.
        flag: the flag that named them, for messages.
        error: the error to raise.

    Raises:
        InputError: of the kind asked for; the import fails, the module has no such function, or it lies in a folder of
            data.
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
            f"({type(cause).__name__}: {cause})."
        ) from cause
    found = getattr(imported, factory, None)
    if not callable(found):
        known = [name for name in vars(imported) if not name.startswith("_")]
        raise error(f"{module} has no function {factory!r}; it has {', '.join(known[:6]) or 'nothing public'}.")
    result: Callable[..., Any] = found
    return result


def source_sha256(module: str) -> str | None:
    """Return the hash ("sha256:...") of the source file of an imported module; None where it has none."""
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        return None if file is None else f"sha256:{hashlib.sha256(Path(file).read_bytes()).hexdigest()}"
    except OSError:
        return None


def data_folder(path: str | os.PathLike[str]) -> tuple[str, Path] | None:
    """Return the run directory or bundle in which a path lies, through links too: what it is, and where."""
    for place in (Path(path).absolute(), Path(path).resolve()):
        for folder in (place, *place.parents):
            for kind, marks in DATA_FOLDERS.items():
                if all((folder / mark).exists() for mark in marks):
                    return kind, folder
    return None


def _refuse_data_folders(module: str, flag: str, error: type[InputError]) -> None:
    """Refuse a module in a run directory or a bundle before it, or a package that holds it, is run."""
    places = [os.getcwd()]
    names = module.split(".")
    for depth in range(len(names) + 1):
        for place in places:
            if (found := data_folder(place)) is not None:
                raise error(
                    f"{flag} {module}: it would be imported from {printable(str(found[1]))}, which is a {found[0]} "
                    "directory, and data is never run. Work in the folder of your own code."
                )
        if depth < len(names):
            spec = importlib.util.find_spec(".".join(names[: depth + 1]))  # runs the packages looked at before
            places = [] if spec is None else [*(spec.submodule_search_locations or ())]
            places += [spec.origin] if spec is not None and spec.has_location and spec.origin else []
