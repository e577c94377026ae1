"""Write the tree of the package into README.md, a line a file: the first sentence of each module's docstring.

python docs/tree.py          rewrites the block between the two markers of README.md
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "smoothcert"
BEGIN, END = "<!-- tree: python docs/tree.py -->", "<!-- /tree -->"
OTHERS = {
    "tests/": "mirror the folders; golden/ published numbers, validity/ failure rates, crash/ kill -9, browser/",
    "benchmarks/": "what `make bench` measures, and its page",
    "examples/": "the evidence of runs on real images, for anyone to check",
    "docs/": "design/ (why), the deliverables, this tree, the pictures",
}


def tree() -> str:
    """Return the tree as text."""
    lines = [f"src/smoothcert/{' ' * 14}{_sentence(PACKAGE / '__init__.py')}", *_folder(PACKAGE, 1)]
    return "\n".join([*lines, *(f"{name:<29}{what}" for name, what in OTHERS.items())])


def _folder(folder: Path, depth: int) -> Iterator[str]:
    files = [path for path in sorted(folder.iterdir()) if path.suffix == ".py" and path.name != "__init__.py"]
    rooms = [path for path in sorted(folder.iterdir()) if (path / "__init__.py").is_file()]
    for path in files:
        yield _line(path.name, _sentence(path), depth)
    for room in rooms:
        yield _line(f"{room.name}/", _sentence(room / "__init__.py"), depth)
        yield from _folder(room, depth + 1)


def _line(name: str, what: str, depth: int) -> str:
    return f"{'  ' * depth + name:<29}{what}"


def _sentence(path: Path) -> str:
    """Return the first sentence of a module's docstring, up to its colon's end."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first = " ".join(text.split("\n\n")[0].split())
    sentence, _, rest = first.partition(". ")
    return sentence.rstrip(".") if rest else first.rstrip(".")


def with_tree(readme: str) -> str:
    """Return a README text with its tree made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n```text\n{tree()}\n```\n\n{END}{after}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(with_tree(readme.read_text(encoding="utf-8")), encoding="utf-8")
