"""Every place that could run code from a file, or unpack one, is known: a new one must be judged and added here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import smoothcert

ROOT = Path(smoothcert.__file__).parent
MODULES = {
    *("pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "runpy", "code", "pickletools"),
    *(
        "subprocess",
        "pty",
        "ctypes",
        "cffi",
        "tarfile",
        "zipfile",
        "gzip",
        "bz2",
        "lzma",
        "zlib",
        "ruamel",
        "yaml",
        "urllib",
    ),
    *("http", "requests", "xml", "pydicom", "PIL", "onnxruntime", "monai", "timm", "safetensors", "nbclient", "typst"),
}
CALLS = {"eval", "exec", "compile", "__import__", "import_module", "literal_eval", "system", "popen"}
LOADS = {"torch.load", "np.load", "numpy.load", "torch.jit.load", "torch.export.load", "np.fromfile", "np.memmap"}
WATCHED = MODULES | CALLS | LOADS

KNOWN = {
    "PIL": {
        "data/image_file.py",
        "data/transforms.py",
        "data/image_header.py",
        "data/inspection.py",
        "report/notebook/facts.py",
    },
    "compile": {"report/documents/notebook.py"},  # cells of the package's own template
    "ctypes": {"sampling/sampler.py"},
    "exec": {"report/documents/notebook.py"},
    "gzip": {"evidence/ledger.py"},
    "import_module": {
        *("__init__.py", "sampling/__init__.py", "engine/measure.py"),
        "import_factory.py",  # module:factory, the user's own code
    },
    "literal_eval": {"data/npz.py"},
    "monai": {"models/hubs.py"},
    "nbclient": {"report/notebook/build.py"},
    "onnxruntime": {"models/onnx_server.py"},
    "pickletools": {"models/checkpoints.py"},
    "pydicom": {"data/dicom.py"},
    "safetensors": {"models/checkpoints.py", "sampling/bundled_parts.py"},
    "subprocess": {"evidence/seal.py", "models/onnx.py"},
    "timm": {"models/hubs.py"},
    "torch.export.load": {"models/torchscript.py"},
    "torch.jit.load": {"models/torchscript.py"},
    "torch.load": {"models/checkpoints.py"},
    "typst": {"report/memo/pdftext.py", "report/memo/build.py"},
    "urllib": {"data/npz.py"},
    "ruamel": {"yaml_files.py"},
    "xml": {"report/word/read.py"},  # without document types, from parts of bounded size
    "zipfile": {
        *("data/npz.py", "models/torchscript.py", "models/checkpoints.py"),
        *("report/word/package.py", "report/word/read.py"),
    },
    "zlib": {"evidence/ledger.py", "report/html_report/images.py", "report/word/read.py"},
}
"""What -> the files that use it, each read with hostile input in mind; SECURITY.md says what came of it."""


def found() -> Iterator[tuple[str, str, ast.AST]]:
    """What could run or unpack something, and where."""
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _named(node):
                yield name, place, node


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield str(node.module).partition(".")[0]
    elif isinstance(node, ast.Call):
        told = ast.unparse(node.func)
        if told in LOADS or (isinstance(node.func, ast.Name) and told in CALLS):
            yield told
        if isinstance(node.func, ast.Attribute) and node.func.attr in CALLS - {
            "compile",
            "eval",
        }:  # re.compile, net.eval
            yield node.func.attr


def test_nothing_that_runs_or_unpacks_files_is_new():
    strangers = {(name, place) for name, place, _ in found() if name in WATCHED and place not in KNOWN.get(name, ())}
    assert not strangers, f"judge these with hostile input in mind, then add them to KNOWN: {sorted(strangers)}"


def test_the_list_is_up_to_date():
    there = {(name, place) for name, place, _ in found()}
    gone = {(name, place) for name, places in KNOWN.items() for place in places if (name, place) not in there}
    assert not gone


def _keywords(node: ast.AST) -> dict[str, str]:
    return {word.arg or "**": ast.unparse(word.value) for word in node.keywords} if isinstance(node, ast.Call) else {}


def test_torch_never_unpickles_objects():
    calls = [node for name, _, node in found() if name == "torch.load"]
    assert calls
    assert all(_keywords(node).get("weights_only") == "True" for node in calls)


@pytest.mark.parametrize("name", ["load", "read_array", "read_arrays", "savez", "save"])
def test_numpy_never_unpickles_objects(name):
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            told = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if told.startswith(("np.", "numpy.")) and told.endswith(f".{name}"):
                assert _keywords(node).get("allow_pickle") == "False", f"{path}: {told}"


def test_yaml_never_builds_objects():
    for path in ROOT.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert text.count("YAML(") == text.count('YAML(typ="safe"'), path
        for word in ("yaml.unsafe", "UnsafeLoader", "FullLoader", "CLoader"):
            assert word not in text, f"{path}: {word}"


def test_no_template_runs_or_marks_safe_what_it_prints():
    for path in (each for ending in ("j2", "html", "typ", "js") for each in ROOT.rglob(f"*.{ending}")):
        text = path.read_text(encoding="utf-8")
        assert "eval(" not in text.replace("retrieval(", ""), path
        assert "autoescape false" not in text, path
        assert ".innerHTML" not in text, path
        assert "document.write" not in text, path
