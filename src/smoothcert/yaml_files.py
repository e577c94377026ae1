"""Files that people write by hand: size, encoding and syntax checked at the door."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from smoothcert.errors import InputError

DEEPEST = 32
"""Levels of nesting in YAML: more than settings or a sponsor's file need, and few enough for any parser."""


def read_text(path: Path, largest: int) -> str:
    """Read a text file.

    Args:
        path: the file.
        largest: bytes it may have.

    Raises:
        InputError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would never end
            raise InputError(f"{path}: expected a regular file, got a pipe or a device.")
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from None
    if len(data) > largest:
        raise InputError(f"{path}: expected at most {largest:,} bytes of text, got more.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected UTF-8 text, got other bytes. Save the file as UTF-8.") from None


def parse_yaml(text: str, name: str) -> Any:
    """Read YAML: plain values, no tags, no references to other parts, no key twice, nothing nested deep.

    Args:
        text: the YAML.
        name: what messages call it.

    Raises:
        InputError: the text is not YAML, or not plain.
    """
    import yaml

    try:
        _check_plain(yaml.parse(text, Loader=yaml.SafeLoader), name)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if _merges(root):
            raise InputError(f"{name}: merge keys (<<) are not read here; write the text out.")
        if twice := _repeated(root):
            raise InputError(f"{name}: `{twice}` is there twice; say it once.")
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{name}: expected YAML, got a mistake{where}: {error.problem}.") from None
    except (yaml.YAMLError, ValueError):
        raise InputError(f"{name}: expected YAML, got text that cannot be read as YAML.") from None


def _check_plain(events: Iterable[Any], name: str) -> None:
    """Stop at the first alias, and where nesting goes deep: what a parser does there takes long, or all the stack."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise InputError(f"{name}: YAML aliases (*name) are not read here; write the text out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise InputError(f"{name}: expected lists and mappings nested at most {DEEPEST} deep, got more.")


def _merges(node: Any) -> bool:
    """Whether a mapping takes keys from another by `<<`, which may say a key twice unseen."""
    if getattr(node, "tag", None) == "tag:yaml.org,2002:merge":
        return True
    value = getattr(node, "value", None)
    children = value if isinstance(value, list) else []
    return any(_merges(part) for child in children for part in (child if isinstance(child, tuple) else (child,)))


def _repeated(node: Any) -> str | None:
    """Return a key that one mapping holds twice, or None."""
    pairs = getattr(node, "value", None)
    if not isinstance(pairs, list):
        return None
    if node.id != "mapping":
        return next((found for child in pairs if (found := _repeated(child))), None)
    keys = Counter(str(key.value) for key, _ in pairs)
    twice = next((key for key, times in keys.items() if times > 1), None)
    return twice or next((found for _, child in pairs if (found := _repeated(child))), None)
