"""How the pages are set: paragraphs in lines of equal width, tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import fill

from smoothcert.report import Table


def text(parts: Sequence[str]) -> str:
    """Parts of a page, each paragraph set."""
    return "\n\n".join(_wrapped(paragraph) for part in parts for paragraph in part.strip("\n").split("\n\n")) + "\n"


def _wrapped(paragraph: str) -> str:
    """A paragraph or a list of them, set anew once its figures are in; anything else as it is."""
    if paragraph[:1] in "#|<`!":
        return paragraph
    items = [" ".join(item.split()) for item in re.split(r"\n(?=\* )", paragraph)]
    return "\n".join(_set(item) for item in items)


def _set(item: str) -> str:
    """A paragraph in lines of at most 140 characters; a list's own are indented."""
    indent = "  " * item.startswith("* ")
    return fill(item, 140, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def table(headings: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table as Markdown."""
    return Table(headings, tuple(rows), ()).render("md") + "\n"
