"""``.pt2`` files of torch.export and TorchScript archives. Both are code, whatever their author put in."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.formats.card import Card
from smoothcert.models.adapters import Wrapper, assembled, still
from smoothcert.models.checkpoints import read_bytes, sha256_of
from smoothcert.models.classifier import Classifier, ModelOptions, stated


def read_exported(path: str, options: ModelOptions) -> Classifier:
    """The module of a ``.pt2`` file, which was exported in eval mode or cannot be changed to it.

    Raises:
        ModelError: without `trust_model`, with `arch` or `weights`, or if the file cannot be loaded.
    """
    if options.arch is not None or options.weights is not None:
        raise ModelError(f"{path} holds its own architecture and weights; leave out --arch and --weights.")
    if not options.trust_model:
        raise ModelError(
            f"{path}: a .pt2 file is code, not data: loading it can run anything its author wrote into it. "
            "If you trust its origin add --trust-model; else ask for the weights as safetensors."
        )
    data = read_bytes(Path(path))
    return assembled(_load_exported(data, path), stated(Card(), options, path), sha256_of(data), path)


def _load_exported(data: bytes, path: str) -> torch.nn.Module:
    try:
        return torch.export.load(io.BytesIO(data)).module()
    except Exception as error:  # damaged bytes make the reader raise nearly anything
        raise ModelError(
            f"{path}: a file written by torch.export.save is expected, but it cannot be loaded "
            f"({type(error).__name__}); export the model again with this torch."
        ) from error


class Steady(Wrapper):
    """A TorchScript network run as it was saved: else it rewrites itself after the first passes, and rounds anew."""

    def forward(self, x: torch.Tensor) -> Any:
        """What the network returns."""
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return self.inner(x)


def is_script(path: str) -> bool:
    """Whether a file is a TorchScript archive, by the names inside it; nothing of it is loaded."""
    if not Path(path).is_file():  # a pipe would never end
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.partition("/")[2] == "constants.pkl" for name in archive.namelist())
    except Exception:  # damaged bytes make the reader raise nearly anything; the next reader says what is wrong
        return False


def read_script(path: str, options: ModelOptions) -> Classifier:
    """The network of a TorchScript archive, in evaluation mode.

    Raises:
        ModelError: without `trust_model`, with `arch` or `weights`, or if the file cannot be loaded.
    """
    if options.arch is not None or options.weights is not None:
        raise ModelError(
            f"{path} is a TorchScript archive with its own architecture and weights; leave out --arch and --weights."
        )
    if not options.trust_model:
        raise ModelError(
            f"{path}: a TorchScript archive is code, not data: running it runs what its author wrote into it. "
            "If you trust its origin add --trust-model; else ask for the weights as safetensors."
        )
    return scripted(path, Card(), options, path)


def scripted(path: str, card: Card, options: ModelOptions, reference: str) -> Classifier:
    """The network of a trusted TorchScript archive.

    Args:
        path: of the archive.
        card: what is declared about it elsewhere.
        options: what the user says.
        reference: its name.

    Raises:
        ModelError: it cannot be loaded, or the user states something else than is declared.
    """
    data = read_bytes(Path(path))
    module = Steady(still(_load_script(data, path)))
    return assembled(module, stated(card, options, reference), sha256_of(data), reference)


def _load_script(data: bytes, path: str) -> nn.Module:
    try:
        with warnings.catch_warnings():  # torch advises authors to export otherwise; the user has only the file
            warnings.filterwarnings("ignore", r".*torch\.jit\.load", DeprecationWarning)
            module: nn.Module = torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:  # damaged bytes make the reader raise nearly anything
        raise ModelError(
            f"{path}: a TorchScript archive is expected, but it cannot be loaded ({type(error).__name__}); save it "
            "again with torch.jit.save."
        ) from error
    return module
