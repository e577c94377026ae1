"""Writes docs/error-codes.md: every code that the source raises, with its message.

python docs/error_codes.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "error-codes.md"
HEAD = """# Error codes

<!-- written by docs/error_codes.py -->

Refusals of smoothcert have one sentence and a code: `[E-DATA-012]` at the end of the line in a terminal,
`error.code` in Python. A code names the cause and stays when the words change. In the messages below, `…` stands for
what is filled in.

| letters | about |
|---|---|
| DATA | images and labels |
| MODEL | classifiers |
| SPEC | settings |
| RECIPE | the numeric recipe |
| RUN | run directories, ledgers, bundles |
| FILE | files that cannot be read, and code of the user's own |
| INPUT | flags of the command line, settings files |
| WORKER | results of workers |
| EXTRA | an optional package is missing |
"""


class Raised(NamedTuple):
    """A code and the message it stands for."""

    code: str
    message: str


def raised() -> Iterator[Raised]:
    """Yield every error of the source that has a code of its own."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            for keyword in node.keywords:
                if keyword.arg == "code" and isinstance(keyword.value, ast.Constant) and keyword.value.value:
                    yield Raised(str(keyword.value.value), _template(node.args[0]))


def _template(node: ast.expr) -> str:
    """Return a message with … for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp):
        return _template(node.left) + _template(node.right)
    return "…"


def page() -> str:
    """Return the page."""
    parts, area = [HEAD], ""
    for each in sorted(set(raised())):
        letters = each.code.split("-")[1]
        if letters != area:
            area = letters
            parts.append(f"\n## {area}\n\n| code | message |\n|---|---|\n")
        text = re.sub(r"\s+", " ", each.message).replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")
        parts.append(f"| `{each.code}` | {text.replace('`', '')} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
