"""``.pt2`` files of torch.export and TorchScript archives. Both are code: loading one can run anything in it."""

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
from smoothcert.models.adapters import Wrapper, assembled, frozen
from smoothcert.models.checkpoints import read_bytes, sha256_of
from smoothcert.models.classifier import Classifier, ModelOptions, card_with_options


def read_exported(path: str, options: ModelOptions) -> Classifier:
    """Load a ``.pt2`` file; the module stays in the mode in which it was exported.

    Raises:
        ModelError: without `trust_model`, with `arch` or `weights`, or if the file cannot be loaded.
    """
    if options.arch is not None or options.weights is not None:
        raise ModelError(
            f"{path} contains architecture and weights; leave out --arch and --weights.", code="E-MODEL-070"
        )
    if not options.trust_model:
        raise ModelError(
            f"{path}: a .pt2 file is code, and loading it can run anything. If you trust its origin, add "
            "--trust-model; otherwise ask for the weights as safetensors.",
            code="E-MODEL-085",
        )
    data = read_bytes(Path(path))
    return assembled(_load_exported(data, path), card_with_options(Card(), options, path), sha256_of(data), path)


def _load_exported(data: bytes, path: str) -> torch.nn.Module:
    try:
        return torch.export.load(io.BytesIO(data)).module()
    except Exception as error:  # the reader raises many kinds of errors on damaged files
        raise ModelError(
            f"{path}: expected a file written by torch.export.save, got one that cannot be loaded "
            f"({type(error).__name__}); export the model again with this version of torch.",
            code="E-MODEL-086",
        ) from error


class Unoptimized(Wrapper):
    """A TorchScript network without optimised execution, which would change its rounding after the first passes."""

    def forward(self, x: torch.Tensor) -> Any:
        """Return the output of the network."""
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return self.inner(x)


def is_script(path: str) -> bool:
    """Return whether a file is a TorchScript archive, by the names in it; nothing is loaded."""
    if not Path(path).is_file():  # a pipe would never end
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.partition("/")[2] == "constants.pkl" for name in archive.namelist())
    except Exception:  # damaged files raise many kinds of errors; the next reader reports them
        return False


def read_script(path: str, options: ModelOptions) -> Classifier:
    """Load a TorchScript archive, in evaluation mode.

    Raises:
        ModelError: without `trust_model`, with `arch` or `weights`, or if the file cannot be loaded.
    """
    if options.arch is not None or options.weights is not None:
        raise ModelError(
            f"{path} is a TorchScript archive, which has architecture and weights; leave out --arch and --weights.",
            code="E-MODEL-087",
        )
    if not options.trust_model:
        raise ModelError(
            f"{path}: a TorchScript archive is code, and running it can run anything. If you trust its origin, add "
            "--trust-model; otherwise ask for the weights as safetensors.",
            code="E-MODEL-088",
        )
    return scripted(path, Card(), options, path)


def scripted(path: str, card: Card, options: ModelOptions, reference: str) -> Classifier:
    """Load a trusted TorchScript archive.

    Args:
        path: of the archive.
        card: declared for it elsewhere.
        options: set by the user.
        reference: its name.

    Raises:
        ModelError: it cannot be loaded, or the options contradict the card.
    """
    data = read_bytes(Path(path))
    module = Unoptimized(frozen(_load_script(data, path)))
    return assembled(module, card_with_options(card, options, reference), sha256_of(data), reference)


def _load_script(data: bytes, path: str) -> nn.Module:
    try:
        with warnings.catch_warnings():  # torch.jit is deprecated, but the user has only the file
            warnings.filterwarnings("ignore", r".*torch\.jit\.load", DeprecationWarning)
            module: nn.Module = torch.jit.load(io.BytesIO(data), map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as error:  # the reader raises many kinds of errors on damaged files
        raise ModelError(
            f"{path}: expected a TorchScript archive, got one that cannot be loaded ({type(error).__name__}); save it "
            "again with torch.jit.save.",
            code="E-MODEL-089",
        ) from error
    return module
