"""Denoisers of users: modules that take images of another range, with or without the noise level."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.formats.card import DenoiserCard, adaptation, denoiser_card_from_values, refuse_unknown_keys
from smoothcert.models.adapters import Wrapper
from smoothcert.models.classifier import UNIT, Denoiser
from smoothcert.models.state import state_sha256

SIGMA_NAMES = ("sigma", "noise_level", "sigmas", "noise")
"""Names of a parameter that takes the noise level."""
RANGES = (UNIT, (-1.0, 1.0))
"""Usual ranges of pixel values."""


def denoiser_of(
    module: nn.Module,
    reference: str,
    value_range: tuple[float, float] | None = None,
    card: DenoiserCard | None = None,
) -> Denoiser:
    """Return a user's module as a denoiser without a hash; the module is not changed.

    Its forward method takes the images, or images and noise level: a parameter named as in `SIGMA_NAMES`, else a second
    one that is required. Both are in units of its value range, so that the noise level doubles for images from -1 to 1.
    An attribute ``smoothcert`` of the module may declare fields of `smoothcert.formats.card.DenoiserCard`, such as
    ``{"value_range": [-1, 1]}``.

    Args:
        module: with its weights.
        reference: its name.
        value_range: lowest and highest pixel value of the images it takes and returns; None: as declared, else [0, 1].
        card: of its weights file, or None; the module's attribute counts more.

    Raises:
        ModelError: the declarations contradict each other, or one is unknown.
    """
    declared = getattr(module, "smoothcert", None)
    refuse_unknown_keys(DenoiserCard, declared, reference)
    card = (card or DenoiserCard()) if declared is None else denoiser_card_from_values(declared, reference)
    stated = card.value_range != UNIT or (declared or {}).get("value_range") is not None
    if stated and value_range not in (None, card.value_range):
        raise ModelError(
            f"{reference} declares images from {card.value_range[0]:g} to {card.value_range[1]:g}, but "
            f"--denoiser-range is {','.join(f'{each:g}' for each in value_range or ())}; leave it out, or correct the "
            "declaration.",
            code="E-MODEL-124",
        )
    takes = _sigma_of(module) is not None if card.takes_sigma is None else card.takes_sigma
    adapted = Adapted(module, value_range or card.value_range, takes)
    return Denoiser(adapted, "", reference, None, card.sigma_low, card.sigma, adapted.words)


def hash_of(denoiser: Denoiser) -> str:
    """Return the hash ("sha256:...") of a denoiser's state dict.

    Raises:
        ModelError: it is not plain tensors.
    """
    known = state_sha256(denoiser.module)
    if known is None:
        raise ModelError(
            f"{denoiser.reference}: expected a denoiser whose state dict is plain tensors, to be hashed, got other "
            "values; use an unquantised network.",
            code="E-MODEL-133",
        )
    return known


def value_range_of(denoiser: Denoiser) -> tuple[tuple[float, float], bool]:
    """Return the range of the images that the network of a denoiser takes, and whether it takes the noise level."""
    module = denoiser.module
    return (module.value_range, module.takes_sigma) if isinstance(module, Adapted) else (UNIT, True)


def in_other_ranges(denoiser: Denoiser) -> Iterator[tuple[tuple[float, float], nn.Module]]:
    """Yield usual value ranges that a user's network is not used with, each with the network used that way."""
    module = denoiser.module
    if isinstance(module, Adapted):
        for span in RANGES:
            if span != module.value_range:
                yield span, Adapted(module.inner, span, module.takes_sigma)


class Adapted(Wrapper):
    """A network that takes images of another range, or no noise level, as a denoiser of images in [0, 1]."""

    def __init__(self, inner: nn.Module, value_range: tuple[float, float], takes_sigma: bool) -> None:
        super().__init__(inner)
        self.value_range = value_range
        self.low, self.span = value_range[0], value_range[1] - value_range[0]
        self.takes_sigma = takes_sigma
        self.keyword = (_sigma_of(inner) or "") if takes_sigma else ""

    def forward(self, x: Tensor, sigma: float) -> Any:
        """Return the denoised images, in [0, 1]; anything that is not a tensor is returned as it is."""
        scaled = x * self.span + self.low
        if not self.takes_sigma:
            images = self.inner(scaled)
        elif self.keyword:
            images = self.inner(scaled, **{self.keyword: sigma * self.span})
        else:
            images = self.inner(scaled, sigma * self.span)
        return (images - self.low) / self.span if isinstance(images, Tensor) else images

    @property
    def words(self) -> tuple[str, ...]:
        """The steps around the network, in words."""
        return adaptation(self.value_range, self.takes_sigma)


def _sigma_of(module: nn.Module) -> str | None:
    """Return how the forward method takes the noise level: a keyword, "" for the second place, or None for not at all.

    >>> class Guided(nn.Module):
    ...     def forward(self, x, mask=None, *, sigma):
    ...         return x
    >>> _sigma_of(Guided())
    'sigma'
    """
    try:
        found = list(inspect.signature(module.forward).parameters.values())[1:]
    except (TypeError, ValueError):
        return None
    second = found[0] if found and found[0].kind in (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD) else None
    if second is not None and second.name in SIGMA_NAMES:
        return ""
    keywords = [each.name for each in found if each.kind in (_Kind.POSITIONAL_OR_KEYWORD, _Kind.KEYWORD_ONLY)]
    named = next((name for name in SIGMA_NAMES if name in keywords), None)
    return named or ("" if second is not None and second.default is second.empty else None)


_Kind = inspect.Parameter
