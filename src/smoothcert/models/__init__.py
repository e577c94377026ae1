"""Loading classifiers: one name in, one `Classifier` out. Torch is imported only when a model is loaded."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module

from smoothcert.errors import ModelError, is_text, printable
from smoothcert.models.classifier import Classifier, ModelOptions
from smoothcert.usercode import FACTORY, not_named

__all__ = ["Classifier", "ModelOptions", "at_sigma", "load_classifier", "read_built_in"]


@dataclass(frozen=True)
class _Form:
    """One way to name a model: how it is written, what matches it, who reads it; `code`: only a person may name it."""

    written: str
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str], ModelOptions], Classifier]
    code: bool = False


def _lazy(module: str, function: str, *parts: str | int) -> Callable[[re.Match[str], ModelOptions], Classifier]:
    """A reader of parts of the name, which is imported, and torch with it, when it is needed."""

    def read(match: re.Match[str], options: ModelOptions) -> Classifier:
        reader = getattr(import_module(f"smoothcert.models.{module}"), function)
        found: Classifier = reader(*(match[part] for part in parts or (0,)), options)
        return found

    return read


def _read_either(match: re.Match[str], options: ModelOptions) -> Classifier:
    """State dict or TorchScript: files of both kinds are called the same."""
    from smoothcert.models.files import read_own
    from smoothcert.models.script import is_script, read_script

    return (read_script if is_script(match[0]) else read_own)(match[0], options)


def _read_demo(name: str, options: ModelOptions) -> Classifier:
    from importlib.resources import as_file, files

    from smoothcert.models.files import read_own

    with as_file(files("smoothcert.models") / "shipped" / "demo.safetensors") as path:
        return replace(read_own(str(path), options), reference=name)


def read_built_in(model: str, options: ModelOptions) -> Classifier:
    """A classifier of one of our architectures, from a safetensors file or shipped; no other form is known here.

    Args:
        model: ``FILE.safetensors`` or ``demo``.
        options: what else is known about it.

    Raises:
        ModelError: another form, or a model that cannot be used.
    """
    if model == "demo":
        return _read_demo(model, options)
    if not model.endswith(".safetensors"):
        raise ModelError(f"{printable(model)}: expected FILE.safetensors or demo.")
    from smoothcert.models.files import read_own

    return read_own(model, options)


def _file(*endings: str) -> re.Pattern[str]:
    return re.compile(rf"(?!timm:|monai:).+\.({'|'.join(endings)})", re.S)


FORMS = (
    _Form("FILE.safetensors", _file("safetensors"), _lazy("files", "read_own")),
    _Form("FILE.pt|.pth|.bin|.ckpt|.tar --arch NAME", _file("pt", "pth", "bin", "ckpt", "tar"), _read_either),
    _Form("FILE.onnx", _file("onnx"), _lazy("onnxfile", "read_onnx")),
    _Form("FILE.pt2 --trust-model", _file("pt2"), _lazy("exported", "read_exported")),
    _Form("FILE.ts|.pt|.pth --trust-model (TorchScript)", _file("ts"), _lazy("script", "read_script")),
    _Form(
        "timm:HUB:NAME", re.compile("timm:(?P<name>[^:]+:.+)", re.S), _lazy("timmhub", "read_timm", "name"), code=True
    ),
    _Form("timm:NAME [--weights FILE]", re.compile("timm:(?P<name>.+)", re.S), _lazy("timmhub", "read_timm", "name")),
    _Form("monai:FOLDER --trust-model", re.compile("monai:(.+)", re.S), _lazy("monaihub", "read_monai", 1)),
    _Form("module:factory [--weights FILE]", FACTORY, _lazy("factory", "read_factory", "module", "factory"), code=True),
    _Form("demo", re.compile("demo"), lambda match, options: _read_demo(match[0], options)),
)
"""The forms of `--model`, tried in order; a new kind of model is one more line."""


def load_classifier(model: str, options: ModelOptions | None = None) -> Classifier:
    """The classifier a name stands for.

    Args:
        model: ``FILE.safetensors``, a state dict (``.pt``, ``.pth``, ``.bin``, ``.ckpt``, ``.tar``), ``FILE.onnx``,
            ``FILE.pt2``, a TorchScript archive (``.ts``, ``.pt``, ``.pth``), ``timm:NAME``, ``monai:FOLDER``,
            ``module:factory``, or ``demo`` (shipped, for synthetic images); without ``{sigma}`` (see `at_sigma`).
        options: what else the user says about it.

    Raises:
        ModelError: an unknown form, a model that cannot be used, or code that no person named.
        MissingExtraError: what reads this form is not installed.

    >>> load_classifier("net.h5")
    Traceback (most recent call last):
    smoothcert.errors.ModelError: 'net.h5' is not a known form of model; --model takes FILE.safetensors or ...
    """
    if not is_text(model):
        raise ModelError(f"{printable(model)}: a name of a model must be Unicode text; rename the file, in UTF-8.")
    for form in FORMS:
        match = form.pattern.fullmatch(model)
        if match:
            if form.code and not (options or ModelOptions()).named:
                raise not_named(model, ModelError)
            return form.read(match, options or ModelOptions())
    known = " or ".join(form.written for form in FORMS)
    raise ModelError(f"{model!r} is not a known form of model; --model takes {known}.")


def at_sigma(reference: str, sigma_text: str) -> str:
    """A model's or weights file's name with ``{sigma}`` filled in as the user wrote it.

    >>> at_sigma("weights/r20_{sigma}.safetensors", "0.50")
    'weights/r20_0.50.safetensors'
    """
    return reference.replace("{sigma}", sigma_text)
