"""Loading classifiers: one name in, one `Classifier` out. Torch is imported only when a model is loaded."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from smoothcert.errors import ModelError
from smoothcert.models.classifier import Classifier, ModelOptions
from smoothcert.usercode import FACTORY

__all__ = ["Classifier", "ModelOptions", "at_sigma", "load_classifier"]


@dataclass(frozen=True)
class _Form:
    """One way to name a model: how it is written, what matches it, who reads it."""

    written: str
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str], ModelOptions], Classifier]


def _read_own(match: re.Match[str], options: ModelOptions) -> Classifier:
    from smoothcert.models.files import read_own

    return read_own(match[0], options)


def _read_exported(match: re.Match[str], options: ModelOptions) -> Classifier:
    from smoothcert.models.exported import read_exported

    return read_exported(match[0], options)


def _read_factory(match: re.Match[str], options: ModelOptions) -> Classifier:
    from smoothcert.models.factory import read_factory

    return read_factory(match["module"], match["factory"], options)


def _read_demo(match: re.Match[str], options: ModelOptions) -> Classifier:
    from dataclasses import replace
    from importlib.resources import as_file, files

    from smoothcert.models.files import read_own

    with as_file(files("smoothcert.models") / "shipped" / "demo.safetensors") as path:
        return replace(read_own(str(path), options), reference=match[0])


FORMS = (
    _Form("FILE.safetensors", re.compile(r".+\.safetensors", re.S), _read_own),
    _Form("FILE.pt|.pth|.bin --arch NAME", re.compile(r".+\.(pt|pth|bin)", re.S), _read_own),
    _Form("FILE.pt2 --trust-model", re.compile(r".+\.pt2", re.S), _read_exported),
    _Form("module:factory [--weights FILE]", FACTORY, _read_factory),
    _Form("demo", re.compile(r"demo"), _read_demo),
)
"""The forms of `--model`, tried in order; a new kind of model is one more line."""


def load_classifier(model: str, options: ModelOptions | None = None) -> Classifier:
    """The classifier a name stands for.

    Args:
        model: ``FILE.safetensors``, a state dict (``.pt``, ``.pth``, ``.bin``), ``FILE.pt2``,
            ``module:factory``, or ``demo`` (shipped, for synthetic images); without ``{sigma}`` (see `at_sigma`).
        options: what else the user says about it.

    Raises:
        ModelError: an unknown form, or a model that cannot be used.

    >>> load_classifier("net.h5")
    Traceback (most recent call last):
    smoothcert.errors.ModelError: 'net.h5' is not a known form of model; --model takes FILE.safetensors or ...
    """
    for form in FORMS:
        match = form.pattern.fullmatch(model)
        if match:
            return form.read(match, options or ModelOptions())
    known = " or ".join(form.written for form in FORMS)
    raise ModelError(f"{model!r} is not a known form of model; --model takes {known}.")


def at_sigma(reference: str, sigma_text: str) -> str:
    """A model's or weights file's name with ``{sigma}`` filled in as the user wrote it.

    >>> at_sigma("weights/r20_{sigma}.safetensors", "0.50")
    'weights/r20_0.50.safetensors'
    """
    return reference.replace("{sigma}", sigma_text)
