"""Files that people write by hand: size, encoding and syntax checked at the door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smoothcert.errors import InputError


def read_text(path: Path, largest: int) -> str:
    """Read a text file.

    Args:
        path: the file.
        largest: bytes it may have.

    Raises:
        InputError: it cannot be read, is too large, or is not UTF-8.
    """
    try:
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


def _repeated(node: Any) -> str | None:
    """Return a key that one mapping holds twice, or None."""
    pairs = getattr(node, "value", None)
    if not isinstance(pairs, list):
        return None
    if node.id != "mapping":
        return next((found for child in pairs if (found := _repeated(child))), None)
    keys = [str(key.value) for key, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    return twice or next((found for _, child in pairs if (found := _repeated(child))), None)


def parse_yaml(text: str, name: str) -> Any:
    """Read YAML: plain values, no tags, no references to other parts.

    Raises:
        InputError: the text is not YAML, or uses anchors.
    """
    import yaml

    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise InputError(f"{name}: YAML aliases (*name) are not read here; write the text out.")
        if twice := _repeated(yaml.compose(text, Loader=yaml.SafeLoader)):
            raise InputError(f"{name}: `{twice}` is there twice; say it once.")
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        where = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{name}: expected YAML, got a mistake{where}: {error.problem}.") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InputError(f"{name}: expected YAML, got text that cannot be read as YAML.") from None
