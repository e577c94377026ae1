"""Loading base classifiers: one reference in, one `Classifier` out. Torch is imported only when a model is loaded."""

from collections.abc import Callable
from dataclasses import replace

from smoothcert.errors import ModelError, is_text, printable
from smoothcert.import_factory import FACTORY, not_named
from smoothcert.models.classifier import Classifier, Denoiser, ModelOptions

__all__ = ["Classifier", "Denoiser", "ModelOptions", "at_sigma", "load_classifier", "read_built_in"]


def _built_in(path: str, options: ModelOptions) -> Classifier:
    from smoothcert.models.resnet import load_built_in

    return load_built_in(path, options)


def _state_dict_or_script(path: str, options: ModelOptions) -> Classifier:
    """Load a state dict or a TorchScript archive, which have the same suffixes."""
    from smoothcert.models.torchscript import is_script

    return (_script if is_script(path) else _built_in)(path, options)


def _onnx(path: str, options: ModelOptions) -> Classifier:
    from smoothcert.models.onnx import read_onnx

    return read_onnx(path, options)


def _exported(path: str, options: ModelOptions) -> Classifier:
    from smoothcert.models.torchscript import read_exported

    return read_exported(path, options)


def _script(path: str, options: ModelOptions) -> Classifier:
    from smoothcert.models.torchscript import read_script

    return read_script(path, options)


def _timm(name: str, options: ModelOptions) -> Classifier:
    from smoothcert.models.hubs import read_timm

    return read_timm(name, options)


def _monai(folder: str, options: ModelOptions) -> Classifier:
    from smoothcert.models.hubs import read_monai

    return read_monai(folder, options)


def _demo(name: str, options: ModelOptions) -> Classifier:
    from importlib.resources import as_file, files

    with as_file(files("smoothcert.models") / "shipped" / "demo.safetensors") as path:
        return replace(_built_in(str(path), options), reference=name)


Loader = Callable[[str, ModelOptions], Classifier]

SUFFIXES: dict[str, Loader] = {
    "safetensors": _built_in,
    **dict.fromkeys(("pt", "pth", "bin", "ckpt", "tar"), _state_dict_or_script),
    "onnx": _onnx,
    "pt2": _exported,
    "ts": _script,
}
"""Loaders of files, by suffix."""

HUBS: dict[str, Loader] = {"timm": _timm, "monai": _monai}
"""Loaders of ``PREFIX:NAME``, by prefix."""

FORMS = (
    "FILE.safetensors",
    "FILE.pt|.pth|.bin|.ckpt|.tar --arch NAME",
    "FILE.onnx",
    "FILE.pt2 --trust-model",
    "FILE.ts|.pt|.pth --trust-model (TorchScript)",
    "timm:HUB:NAME",
    "timm:NAME [--weights FILE]",
    "monai:FOLDER --trust-model",
    "module:factory [--weights FILE]",
    "demo",
)
"""The forms of `--model`, as messages list them."""


def read_built_in(model: str, options: ModelOptions) -> Classifier:
    """Load a built-in architecture from a safetensors file, or the bundled one; no other form is accepted.

    Args:
        model: ``FILE.safetensors`` or ``demo``.
        options: further settings.

    Raises:
        ModelError: another form, or a model that cannot be used.
    """
    if model == "demo":
        return _demo(model, options)
    if not model.endswith(".safetensors"):
        raise ModelError(f"{printable(model)}: expected FILE.safetensors or demo.", code="E-MODEL-022")
    return _built_in(model, options)


def load_classifier(model: str, options: ModelOptions | None = None) -> Classifier:
    """Load the base classifier of a reference.

    Args:
        model: ``FILE.safetensors``, a state dict (``.pt``, ``.pth``, ``.bin``, ``.ckpt``, ``.tar``), ``FILE.onnx``,
            ``FILE.pt2``, a TorchScript archive (``.ts``, ``.pt``, ``.pth``), ``timm:NAME``, ``monai:FOLDER``,
            ``module:factory``, or ``demo`` (bundled, for synthetic images); without ``{sigma}`` (see `at_sigma`).
        options: further settings.

    Raises:
        ModelError: an unknown form, a model that cannot be used, or code that was named by a file.
        MissingExtraError: the package that reads this form is not installed.

    >>> load_classifier("net.h5")
    Traceback (most recent call last):
    smoothcert.errors.ModelError: 'net.h5' is not a supported model reference; --model takes FILE.safetensors or ...
    """
    from smoothcert.models.state import with_state

    return with_state(_loaded(model, options or ModelOptions()))


def _loaded(model: str, options: ModelOptions) -> Classifier:
    if not is_text(model):
        raise ModelError(
            f"{printable(model)}: a model reference must be Unicode text; rename the file in UTF-8.", code="E-MODEL-023"
        )
    prefix, _, name = model.partition(":")
    stem, _, suffix = model.rpartition(".")
    if model == "demo":
        return _demo(model, options)
    if prefix in HUBS and name:
        if prefix == "timm" and ":" in name[1:] and not options.named:  # another hub: its configuration names code
            raise not_named(model, ModelError)
        return HUBS[prefix](name, options)
    if prefix not in HUBS and stem and suffix in SUFFIXES:
        return SUFFIXES[suffix](model, options)
    if factory := FACTORY.fullmatch(model):
        from smoothcert.models.factory import read_factory

        if not options.named:
            raise not_named(model, ModelError)
        return read_factory(factory["module"], factory["factory"], options)
    raise ModelError(
        f"{model!r} is not a supported model reference; --model takes {' or '.join(FORMS)}.", code="E-MODEL-024"
    )


def at_sigma(reference: str, sigma_text: str) -> str:
    """Return the name of a model or weights file with ``{sigma}`` replaced by the noise level as the user wrote it.

    >>> at_sigma("weights/r20_{sigma}.safetensors", "0.50")
    'weights/r20_0.50.safetensors'
    """
    return reference.replace("{sigma}", sigma_text)
