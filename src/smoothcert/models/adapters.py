"""From a network and its card to a classifier: what it expects of its input is brought about before it."""

from contextlib import suppress
from typing import Any

import torch
from torch import nn

from smoothcert.formats.card import Card
from smoothcert.models.classifier import Classifier, unit_normalisation


class Wrapper(nn.Module):
    """A network with something before or after it; its weights are those of the network, under the same names."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.training = False  # the network keeps the mode it is in; a program of torch.export cannot change it

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The network's own."""
        return self.inner.state_dict(*args, **kwargs)


class Arranged(Wrapper):
    """A network that expects colours in the order BGR, or channels last; takes float (n, C, H, W), RGB."""

    def __init__(self, inner: nn.Module, bgr: bool, last: bool) -> None:
        super().__init__(inner)
        self.bgr, self.last = bgr, last

    def forward(self, x: torch.Tensor) -> Any:
        """What the network returns."""
        x = x.flip(1) if self.bgr else x
        return self.inner(x.permute(0, 2, 3, 1).contiguous() if self.last else x)


def assembled(module: nn.Module, card: Card, sha256: str, reference: str, arch: str | None = None) -> Classifier:
    """A network as a classifier: normalisation for images in [0, 1], order of colours and layout taken care of.

    Args:
        module: in evaluation mode.
        card: what is declared and stated about it; mean and std in the order of colours it expects.
        sha256: hash ("sha256:...") of its weights.
        reference: its name.
        arch: one of our architectures, or None; a network of ours that needs rearranged images is no longer ours.
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
        own=arch is not None and not words,
        arch=None if words else arch,
        sigma=card.sigma,
        class_names=card.class_names,
        adapted=words,
        output=card.output,
    )


def still(module: nn.Module) -> nn.Module:
    """The module itself, on the processor, in float32 and evaluation mode, without gradients."""
    module = module.cpu().float()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    with suppress(NotImplementedError):  # a module of torch.export stays in the mode it was exported in
        module.eval()
    return module


def _words(card: Card) -> tuple[str, ...]:
    bgr = ("colours in the order BGR",) if card.channels == "BGR" else ()
    return bgr + (("channels last (NHWC)",) if card.layout == "NHWC" else ())
