"""``module:factory``: a function of the user's code, importable from the working directory, returns the network."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from smoothcert.errors import ModelError
from smoothcert.formats.card import Card, card_from_values, refuse_unknown_keys
from smoothcert.import_factory import FACTORY, import_factory, source_sha256, working_directory_importable
from smoothcert.models.adapters import classifier_of
from smoothcert.models.checkpoints import read_weights
from smoothcert.models.classifier import Classifier, ModelOptions, card_with_options
from smoothcert.models.state import load_state


def read_factory(module_name: str, factory_name: str, options: ModelOptions) -> Classifier:
    """Return the classifier that a user's function builds, with the weights of `options.weights` if given.

    The function is called without arguments, except that `num_classes` and `in_channels` are passed if it has these
    parameters and the values are known. The returned module may have a dictionary attribute ``smoothcert`` with fields
    of `smoothcert.formats.card.Card` (such as ``{"mean": [0.5], "std": [0.5]}``).

    Raises:
        ModelError: the import or the call fails, the function does not return an `nn.Module`, the weights do not match,
            or the options contradict the card.
    """
    reference = f"{module_name}:{factory_name}"
    if options.arch is not None:
        raise ModelError(f"{reference} defines the architecture; leave out --arch {options.arch}.", code="E-MODEL-042")
    sizes = {"num_classes": options.num_classes, "in_channels": options.in_channels}
    with working_directory_importable():
        module = call_factory(module_name, factory_name, "--model", sizes)
    declared = getattr(module, "smoothcert", None)
    refuse_unknown_keys(Card, declared, reference)
    card = Card() if declared is None else card_from_values(declared, reference)
    sha256 = None
    if options.weights is not None:
        weights = read_weights(options.weights)
        load_state(module, weights.state, options.weights)
        card = weights.card if declared is None else card
        sha256 = weights.sha256
    found = classifier_of(module, card_with_options(card, options, reference), sha256, reference)
    return replace(found, source_sha256=source_sha256(module_name))


def custom_network(reference: str, num_classes: int, in_channels: int) -> nn.Module:
    """Return the network of a user's function ``module:factory``, for weights that a bundle holds.

    Raises:
        ModelError: another form, or as for `read_factory`.
    """
    match = FACTORY.fullmatch(reference)
    if match is None:
        raise ModelError(
            f"--model: expected package.module:factory, got {reference!r}; the weights come from the bundle.",
            code="E-MODEL-001",
        )
    options = ModelOptions(num_classes=num_classes, in_channels=in_channels)
    return read_factory(match["module"], match["factory"], options).module


def call_factory(module_name: str, factory_name: str, flag: str, sizes: dict[str, int | None]) -> nn.Module:
    """Import a function of the user and return the module it builds; call it inside `working_directory_importable`.

    Args:
        module_name: importable name.
        factory_name: name of a callable in it.
        flag: the flag that named them, for messages.
        sizes: keyword arguments; those that are known and that it takes are passed.

    Raises:
        ModelError: the import or the call fails, or it does not return an `nn.Module`.
    """
    reference = f"{module_name}:{factory_name}"
    factory = import_factory(module_name, factory_name, flag, ModelError)
    try:
        module = factory(**_taken(factory, sizes))
    except Exception as error:  # the user's code may raise anything
        raise ModelError(
            f"{reference}() failed to return a network ({type(error).__name__}: {error}); correct the function.",
            code="E-MODEL-043",
        ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"{reference} must return a torch.nn.Module, got {type(module).__name__}.", code="E-MODEL-044")
    return module


def _taken(factory: Callable[..., Any], sizes: dict[str, int | None]) -> dict[str, int]:
    try:
        taken = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some built-in callables have no signature
        return {}
    return {name: value for name, value in sizes.items() if value is not None and name in taken}
