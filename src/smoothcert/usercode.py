"""``module:factory``: the user's own code, importable from the working directory. It is run and may fail in any way."""

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from smoothcert.errors import InputError

FACTORY = re.compile(r"(?P<module>[^\W\d][\w.]*):(?P<factory>[^\W\d]\w*)")
"""How such a function is named."""


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

    Args:
        module: importable name.
        factory: name of a callable in it.
        flag: the flag that named them, for messages.
        error: the error to raise.

    Raises:
        InputError: of the kind asked for; the import fails, or the module has no such function.
    """
    importlib.invalidate_caches()
    try:
        imported = importlib.import_module(module)
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
