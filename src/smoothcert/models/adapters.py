"""From a network and its card to a `Classifier`: input normalisation, channel order and layout as the card declares."""

from contextlib import suppress
from typing import Any

import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.formats.card import Card
from smoothcert.models.classifier import Classifier, unit_normalisation
from smoothcert.models.state import state_sha256


class Wrapper(nn.Module):
    """A network with a step before or after it; its state dict is that of the network."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.training = False  # does not change the mode of `inner`; programs of torch.export cannot change it
        self.register_load_state_dict_pre_hook(_of_inner)  # type: ignore[no-untyped-call]

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the state dict of the network."""
        return self.inner.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load a state dict of the network."""
        return self.inner.load_state_dict(*args, **kwargs)


def _of_inner(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Rename the keys of a network for the wrapper around it, where a module that contains the wrapper is loaded."""
    for key in [key for key in state if key.startswith(prefix)]:
        state[f"{prefix}inner.{key.removeprefix(prefix)}"] = state.pop(key)


class Arranged(Wrapper):
    """A network that expects BGR images or channels last; takes float (n, C, H, W), RGB."""

    def __init__(self, inner: nn.Module, bgr: bool, last: bool) -> None:
        super().__init__(inner)
        self.bgr, self.last = bgr, last

    def forward(self, x: torch.Tensor) -> Any:
        """Return the output of the network."""
        x = x.flip(1) if self.bgr else x
        return self.inner(x.permute(0, 2, 3, 1).contiguous() if self.last else x)


def assembled(module: nn.Module, card: Card, sha256: str, reference: str, arch: str | None = None) -> Classifier:
    """Return a network as a classifier of images in [0, 1], RGB, channels first.

    Args:
        module: in evaluation mode.
        card: declared for it or set by the user; mean and std in the channel order it expects.
        sha256: hash ("sha256:...") of its weights.
        reference: its name.
        arch: a built-in architecture, or None; with rearranged images the network no longer counts as built-in.
    """
    words = _words(card)
    mean, std = unit_normalisation(card)
    return Classifier(
        module=Arranged(module, card.channels == "BGR", card.layout == "NHWC") if words else module,
        num_classes=card.num_classes,
        input_shape=card.input_shape,
        mean=mean,
        std=std,
        sha256=sha256,
        reference=reference,
        built_in=arch is not None and not words,
        arch=None if words else arch,
        sigma=card.sigma,
        class_names=card.class_names,
        adapted=words,
        output=card.output,
        trained_behind=card.trained_behind,
    )


def frozen(module: nn.Module) -> nn.Module:
    """Move a module to the CPU, in float32 and evaluation mode, without gradients, and return it."""
    module = module.cpu().float()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    with suppress(NotImplementedError):  # modules of torch.export stay in the mode of the export
        module.eval()
    return module


def classifier_of(module: nn.Module, card: Card, sha256: str | None, reference: str) -> Classifier:
    """Return a user's module as a classifier, on the CPU, in float32 and evaluation mode.

    Args:
        module: with its weights; changed in place.
        card: declared for it.
        sha256: hash ("sha256:...") of its weights file, or None to hash its state dict.
        reference: its name.

    Raises:
        ModelError: there is no weights file, and the state dict is not plain tensors, so it cannot be hashed.
    """
    module = frozen(module)
    known = sha256 or state_sha256(module)
    if known is None:
        raise ModelError(
            f"{reference}: the state dict must contain only plain tensors, to be hashed; use an unquantised network.",
            code="E-MODEL-025",
        )
    return assembled(module, card, known, reference)


def _words(card: Card) -> tuple[str, ...]:
    bgr = ("colours in the order BGR",) if card.channels == "BGR" else ()
    return bgr + (("channels last (NHWC)",) if card.layout == "NHWC" else ())
