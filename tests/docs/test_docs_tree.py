"""The tree in the README is the tree of the package."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))

from tree import with_tree  # noqa: E402


def test_the_readme_names_every_module_with_its_own_first_sentence():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_tree(readme) == readme, "the tree is out of date: make tree"
