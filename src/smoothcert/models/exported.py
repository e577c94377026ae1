"""``.pt2`` files of torch.export, which are code: loading one can run whatever its author put into it."""

import io
from pathlib import Path

import torch

from smoothcert.errors import ModelError
from smoothcert.formats.card import Card
from smoothcert.models.adapters import assembled
from smoothcert.models.classifier import Classifier, ModelOptions
from smoothcert.models.inputs import stated
from smoothcert.models.weights import read_bytes, sha256_of


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
    return assembled(_loaded(data, path), stated(Card(), options, path), sha256_of(data), path)


def _loaded(data: bytes, path: str) -> torch.nn.Module:
    try:
        return torch.export.load(io.BytesIO(data)).module()
    except Exception as error:  # damaged bytes make the reader raise nearly anything
        raise ModelError(
            f"{path}: a file written by torch.export.save is expected, but it cannot be loaded "
            f"({type(error).__name__}); export the model again with this torch."
        ) from error
