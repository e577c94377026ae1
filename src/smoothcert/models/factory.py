"""``module:factory``: the user's own code, importable from the working directory, builds the network."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from smoothcert.errors import ModelError
from smoothcert.formats.card import Card, card_from_values
from smoothcert.import_factory import import_factory, source_sha256, working_directory_importable
from smoothcert.models.adapters import assembled, still
from smoothcert.models.checkpoints import read_weights
from smoothcert.models.classifier import Classifier, ModelOptions, stated
from smoothcert.models.state import load_state, state_sha256


def read_factory(module_name: str, factory_name: str, options: ModelOptions) -> Classifier:
    """The classifier a user's function builds, with the weights of `options.weights` if given.

    The function is called without arguments, except that `num_classes` and `in_channels` are passed where it
    takes them and they are known. It may declare facts in a dictionary attribute ``smoothcert`` of the module
    it returns, with the fields of `smoothcert.formats.card.Card` (such as ``{"mean": [0.5], "std": [0.5]}``).

    Raises:
        ModelError: the import or the call fails, no `nn.Module` comes back, the weights do not fit, or the user states
            something else than is declared.
    """
    reference = f"{module_name}:{factory_name}"
    if options.arch is not None:
        raise ModelError(f"{reference} builds its own architecture; leave out --arch {options.arch}.")
    with working_directory_importable():
        factory = import_factory(module_name, factory_name, "--model", ModelError)
        module = _called(factory, reference, options)
    declared = getattr(module, "smoothcert", None)
    card = Card() if declared is None else card_from_values(declared, reference)
    sha256 = None
    if options.weights is not None:
        weights = read_weights(options.weights)
        load_state(module, weights.state, options.weights)
        card = weights.card if declared is None else card
        sha256 = weights.sha256
    found = classifier_of(module, stated(card, options, reference), sha256, reference)
    return replace(found, source_sha256=source_sha256(module_name))


def classifier_of(module: nn.Module, card: Card, sha256: str | None, reference: str) -> Classifier:
    """A user's module as a classifier, on the processor, in float32 and evaluation mode.

    Args:
        module: with its weights; changed in place.
        card: what is declared about it.
        sha256: hash ("sha256:...") of its weights file, or None where it came without one.
        reference: its name.

    Raises:
        ModelError: it came without a weights file, and its state is no plain tensors, by which it could be known.
    """
    module = still(module)
    known = sha256 or state_sha256(module)
    if known is None:
        raise ModelError(f"{reference}: its state dict must hold plain tensors only, so that it can be hashed.")
    return assembled(module, card, known, reference)


def _called(factory: Callable[..., Any], reference: str, options: ModelOptions) -> nn.Module:
    try:
        module = factory(**_arguments(factory, options))
    except Exception as error:  # the user's own code may fail in any way
        raise ModelError(
            f"{reference} was called to build a network and failed ({type(error).__name__}: {error})."
        ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"{reference} must return a torch.nn.Module, got {type(module).__name__}.")
    return module


def _arguments(factory: Callable[..., Any], options: ModelOptions) -> dict[str, int]:
    try:
        taken = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature
        return {}
    known = {"num_classes": options.num_classes, "in_channels": options.in_channels}
    return {name: value for name, value in known.items() if value is not None and name in taken}
