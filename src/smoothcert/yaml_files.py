"""Text and YAML files written by users: size, encoding and syntax are checked."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

from smoothcert.errors import InputError

DEEPEST = 32
"""Maximum nesting depth of YAML."""
_MERGE = "tag:yaml.org,2002:merge"


def read_text(path: Path, largest: int) -> str:
    """Read a text file.

    Args:
        path: the file.
        largest: maximum size in bytes.

    Raises:
        InputError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # reading a pipe may never end
            raise InputError(f"{path}: expected a regular file, got a pipe or a device.", code="E-INPUT-042")
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.", code="E-INPUT-043") from None
    if len(data) > largest:
        raise InputError(f"{path}: expected at most {largest:,} bytes of text, got more.", code="E-INPUT-044")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{path}: expected UTF-8 text, got other bytes. Save the file as UTF-8.", code="E-INPUT-045"
        ) from None


def parse_yaml(text: str, name: str) -> Any:
    """Parse YAML 1.2 of plain values: no tags, aliases, merge keys or duplicate keys, nested at most 32 deep.

    Args:
        text: the YAML.
        name: its name in messages.

    Raises:
        InputError: the text is not YAML, or not plain.
    """
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        _check_plain(_yaml().parse(text), name)
        return _yaml().load(text)
    except DuplicateKeyError as error:
        key = str(error.problem).split('"')[1]
        line = error.problem_mark.line + 1
        raise InputError(
            f"{name}: duplicate key `{key}` in line {line}; remove one of them.", code="E-INPUT-046"
        ) from None
    except MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{name}: expected YAML, got an error{where}: {error.problem}.", code="E-INPUT-047") from None
    except (YAMLError, ValueError, LookupError, AttributeError, TypeError):  # a tag that the value does not fit
        raise InputError(f"{name}: expected YAML, got text that cannot be read as YAML.", code="E-INPUT-048") from None


def write_yaml(values: dict[str, Any]) -> str:
    """Return plain values as YAML, in their order."""
    text = StringIO()
    _yaml().dump(values, text)
    return text.getvalue()


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    yaml.default_flow_style = yaml.sort_base_mapping_type_on_output = yaml.allow_unicode = False
    yaml.width = sys.maxsize  # a folded line may be read with other spaces
    return yaml


def _check_plain(events: Iterable[Any], name: str) -> None:
    """Raise at the first alias, merge key or deep nesting, before a parser needs long or overflows its stack."""
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

    depth = 0
    for event in events:
        if isinstance(event, AliasEvent):
            raise InputError(f"{name}: YAML aliases (*name) are not supported; repeat the value.", code="E-INPUT-049")
        if isinstance(event, ScalarEvent) and ((event.value == "<<" and event.implicit[0]) or event.tag == _MERGE):
            raise InputError(f"{name}: YAML merge keys (<<) are not supported; repeat the values.", code="E-INPUT-050")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > DEEPEST:
            raise InputError(
                f"{name}: expected lists and mappings nested at most {DEEPEST} deep, got more.", code="E-INPUT-051"
            )
