"""What holds of every line of the source."""

import ast
from pathlib import Path

import smoothcert


def test_no_check_is_an_assert():
    """Python leaves asserts out under -O and PYTHONOPTIMIZE."""
    files = sorted(Path(smoothcert.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    for path in files:
        found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        assert not [node.lineno for node in found if isinstance(node, ast.Assert)], path
