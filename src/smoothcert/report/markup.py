"""Escape names and texts for Markdown, LaTeX and CSV: always text, never markup, a formula or a line break."""

from __future__ import annotations

import re

from smoothcert.errors import printable

_NAMED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_ESCAPED = str.maketrans({**{special: f"\\{special}" for special in "%_&#${}"}, **_NAMED})
_MARKDOWN = re.compile(
    r"[\\`|*]|~(?=~)|\$|<(?=[A-Za-z/!?])|(?<=\])[(\[]|&(?=#?\w+;)"  # code, a table cell, emphasis, a tag, a link
    r"|(?<![^\W_])_|_(?![^\W_])"  # at the edge of a word; inside one an underscore is a letter
)
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Characters that a spreadsheet may take for the start of a formula, in Latin and full width."""
_CELL = re.compile(rf"""((?:^|[;|])[\s"]*)(?=[{re.escape("".join(FORMULA))}])""")
"""The start of a cell in a spreadsheet that splits at commas, semicolons or bars; tabs are written as escapes."""


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters; a longer one ends in an ellipsis.

    >>> cut("one two three", 9)
    'one two …'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def visible(text: str) -> str:
    """Return a text in which every control, bidi or invisible character except line breaks is an escape.

    >>> visible("a\\x1b\\nb")
    'a\\\\x1b\\nb'
    """
    return "\n".join(map(printable, text.split("\n")))


def markdown(text: str) -> str:
    """Return a text for a cell of a Markdown table; only tables of the notebook have cells of several lines.

    >>> markdown("a|b <i> [0, 1] n_max")
    'a\\\\|b \\\\<i> [0, 1] n_max'
    """
    return _MARKDOWN.sub(r"\\\g<0>", visible(text))


def tex(text: str) -> str:
    r"""Return a text for a cell of a LaTeX table; a leading bracket cannot become an option of the row before.

    >>> tex("50 % [x]"), tex("[x]")
    ('50 \\% [x]', '{}[x]')
    """
    shown = printable(text).translate(_ESCAPED).replace(">=", r"$\geq$")
    return "{}" + shown if shown.startswith(("[", "*")) else shown


def inert(value: object) -> object:
    """Return printable text for a CSV cell; an apostrophe precedes what a spreadsheet would take for a formula.

    This holds for every separator: a semicolon or a bar inside a text may start a cell too.

    >>> inert("=1+1"), inert(-1), inert("a\\x1b"), inert("a; -b")
    ("'=1+1", -1, 'a\\\\x1b', "a; '-b")
    """
    return _CELL.sub(r"\1'", printable(value)) if isinstance(value, str) else value
