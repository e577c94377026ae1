"""The directive `public-api`: documents every name that a module exports, from its docstring, in the module's order."""

import re
from collections.abc import Sequence
from importlib import import_module
from inspect import isclass, ismodule, isroutine
from types import ModuleType
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


def public_names(module: ModuleType) -> list[str]:
    """Return what a module exports: `__all__`, or, without one, the classes it defines."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not name.startswith("_")]
    return [name for name, value in vars(module).items() if isclass(value) and value.__module__ == module.__name__]


def entries(name: str, first: Sequence[str] = ()) -> list[str]:
    """Return the lines of reStructuredText that document one module's exported names, each on one page only.

    Modules have pages of their own, and what the package itself exports is on its page.
    """
    module, lines = import_module(name), []
    above = public_names(import_module("smoothcert")) if name != "smoothcert" else []
    for each in dict.fromkeys([*first, *public_names(module)]):
        value = getattr(module, each)
        if not ismodule(value) and each not in above:
            lines += [*_entry(f"{name}.{each}", value), ""]
    return lines


def _entry(name: str, value: Any) -> list[str]:
    if isclass(value):
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
        return [f".. {kind}:: {name}", "   :members:"]
    if isroutine(value):
        return [f".. autofunction:: {name}"]
    return [f".. py:data:: {name}", f"   :value: {value!r}"]


class PublicApi(SphinxDirective):
    """`public-api MODULE`: see above; the option `first` lists names that come before the others."""

    required_arguments = 1
    option_spec: ClassVar = {"first": str.split}

    def run(self) -> list[nodes.Node]:
        """Return the documentation of the module's names."""
        text = ["```{eval-rst}", *entries(self.arguments[0], self.options.get("first", ())), "```"]
        return self.parse_text_to_nodes("\n".join(text), allow_section_headings=False)


def prepared(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Link arXiv numbers, and keep napoleon from reading what stands before a colon in a property as its type."""
    lines[:] = [re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", line) for line in lines]
    if what == "property":
        lines.insert(0, "")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("public-api", PublicApi)
    app.connect("autodoc-process-docstring", prepared, priority=400)
    return {"parallel_read_safe": True}
