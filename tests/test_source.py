"""What holds of every line of the source."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import smoothcert


def test_no_check_is_an_assert():
    """Python leaves asserts out under -O and PYTHONOPTIMIZE."""
    files = sorted(Path(smoothcert.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    for path in files:
        found = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        assert not [node.lineno for node in found if isinstance(node, ast.Assert)], path


SOURCE = Path(smoothcert.__file__).parent


def test_no_import_goes_in_a_circle():
    """Imports inside functions count; those for type checkers alone do not."""
    graph = {name: set(_imports(name, tree)) for name, tree in MODULES.items()}
    left = dict(graph)
    while free := [name for name, targets in left.items() if not targets & left.keys() - {name}]:
        for name in free:
            del left[name]
    assert not left, f"these modules import each other: {sorted(left)}"


def test_a_folder_has_at_most_14_modules_and_a_module_at_most_400_lines():
    """The notebook's cells are one document."""
    folders = Counter(path.parent for path in SOURCE.rglob("*.py"))
    assert not {str(folder): count for folder, count in folders.items() if count > 14}
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    long = {path.name: lines for path, lines in lengths.items() if lines > 400 and path.name != "certification.py"}
    assert not long


def _name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")}


def _imports(module: str, tree: ast.AST) -> Iterator[str]:
    """Yield the modules that a module imports; a name that a package re-exports counts as its home."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield from (_home(node.module, each.name) for each in node.names)
        else:
            yield from _imports(module, node)


def _home(package: str, name: str) -> str:
    if f"{package}.{name}" in MODULES:
        return f"{package}.{name}"
    for node in MODULES[package].body:
        if isinstance(node, ast.ImportFrom) and node.module in MODULES and name in [each.name for each in node.names]:
            return _home(node.module, name)
    return package
