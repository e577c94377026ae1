"""The memo's citations: a reviewed file, each with its exact title, its status and the date it was checked."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from smoothcert.handwritten import parse_yaml

FILE = "references.yaml"


@cache
def references() -> tuple[str, ...]:
    """Return the citations as printed, in the order of their numbers; a draft is always called draft."""
    text = files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    return tuple(_printed(entry) for entry in parse_yaml(text, FILE))


def _printed(entry: dict[str, object]) -> str:
    status = "" if entry["status"] == "published" else f" ({entry['status']})"
    return f"[{entry['number']}] {entry['text']}{status}"
