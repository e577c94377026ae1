"""Ensembles: several classifiers whose logits are averaged are again a classifier, which can be certified.

Averaging reduces the variance under noise, so more votes agree (Horvath, Mueller, Fischer and Vechev, ICLR 2022,
arXiv:2106.06946). Every forward pass costs as much as those of all members together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.models.classifier import Classifier, Denoiser
from smoothcert.models.denoisers.pipeline import Denoised


class Ensemble(nn.Module):
    """The mean of the logits of several classifiers; takes images in [0, 1], float (n, C, H, W), not normalised.

    Returned by a ``module:factory`` it is certified like any classifier. Each member may have a denoiser of its own.

    Args:
        members: loaded classifiers (`smoothcert.models.load_classifier`) with the same classes; each with its own
            normalisation.
        denoisers: one for each member, or none.
        sigma: noise level, in units of the [0, 1] range; needed with denoisers.

    Raises:
        ModelError: there are fewer than two members, their numbers of classes differ, a member runs in another library
            than torch, or denoisers and members do not match.

    Example:
        >>> from smoothcert.models.resnet import build
        >>> members = [Classifier(build("resnet8", 4, 3).eval(), 4, None, (0.5,), (0.5,), "", "", True, None, None)] * 2
        >>> Ensemble(members)(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 4])
    """

    def __init__(
        self, members: Sequence[Classifier], denoisers: Sequence[Denoiser] = (), sigma: float | None = None
    ) -> None:
        super().__init__()
        if len(members) < 2:
            raise ModelError(f"expected an ensemble of 2 classifiers or more, got {len(members)}.", code="E-MODEL-136")
        classes = {each.num_classes for each in members}
        if len(classes) != 1 or any(each.runtime is not None for each in members):
            raise ModelError(
                "expected torch networks with the same number of classes in an ensemble, got "
                f"{', '.join(f'{each.reference} ({each.num_classes})' for each in members)}.",
                code="E-MODEL-137",
            )
        if denoisers and (len(denoisers) != len(members) or sigma is None):
            raise ModelError(
                f"expected one denoiser for each of {len(members)} classifiers and a sigma, got {len(denoisers)} "
                f"denoisers and sigma {sigma}.",
                code="E-MODEL-138",
            )
        before = denoisers or [Denoiser(_Nothing(), "", "none")] * len(members)
        pairs = zip(members, before, strict=True)
        self.members = nn.ModuleList(Denoised(member, denoiser, sigma or 0.0) for member, denoiser in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """Return mean logits (n, classes)."""
        return torch.stack([member(x) for member in self.members]).mean(0)


def noise_levels_inside(module: nn.Module) -> list[float]:
    """Return the noise levels that are given to denoisers inside a classifier, such as those of an `Ensemble`."""
    found = (each for each in module.modules() if isinstance(each, Denoised))
    return sorted({each.sigma for each in found if not isinstance(each.denoiser, _Nothing)})


def other_levels(module: nn.Module, sigma: float) -> str:
    """Return in words that denoisers inside a classifier are given another noise level; "" if none is."""
    levels = [level for level in noise_levels_inside(module) if abs(level - sigma) > 1e-9]
    if not levels:
        return ""
    shown = ", ".join(f"{level:g}" for level in levels)
    return f"denoisers inside this classifier are given sigma {shown}, not {sigma:g}: build the ensemble for {sigma:g}."


class _Nothing(nn.Module):
    """Returns noisy images as they are."""

    def forward(self, x: Tensor, sigma: float) -> Tensor:
        return x
