"""The frozen classifiers for which a denoiser is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from smoothcert.data.dataset import ImageSet
from smoothcert.errors import ModelError, SpecError
from smoothcert.models import Classifier
from smoothcert.models.adapters import frozen
from smoothcert.models.heads import LOOK, resolve_head
from smoothcert.models.resnet import fold
from smoothcert.training.settings import DenoiserSettings


@dataclass(frozen=True)
class Target:
    """A frozen classifier for which a denoiser is trained.

    Args:
        module: takes float (n, C, H, W), normalised; returns logits (n, c).
        mean: Tensor (C, 1, 1), subtracted from images in [0, 1].
        std: Tensor (C, 1, 1), by which they are then divided.
        differentiable: whether gradients with respect to its input exist.
        origin: its name, and the hash of its weights.
    """

    module: nn.Module
    mean: Tensor
    std: Tensor
    differentiable: bool
    origin: dict[str, str]

    @classmethod
    def of(cls, classifier: Classifier, device: str = "cpu") -> Target:
        """Return a classifier as a target: frozen, in evaluation mode, on the device."""
        module = fold(classifier.module) if classifier.built_in else frozen(classifier.module)
        normalisation = (classifier.mean or (0.0,), classifier.std or (1.0,))
        mean, std = (torch.tensor(values, device=device)[:, None, None] for values in normalisation)
        origin = {"model": classifier.reference, "sha256": classifier.sha256}
        return cls(module.requires_grad_(False).to(device), mean, std, classifier.runtime is None, origin)

    def logits(self, images: Tensor) -> Tensor:
        """Return logits (n, c) of images in [0, 1], float (n, C, H, W)."""
        logits: Tensor = self.module((images - self.mean) / self.std)
        return logits.float()


@contextmanager
def left_as_found(classifiers: Sequence[Classifier]) -> Iterator[None]:
    """Restore, after the block, mode, gradients and device of the networks, which their owner may go on using."""
    modules = [each.module for each in classifiers]
    modes = [(part, part.training) for module in modules for part in module.modules()]
    tensors = [(tensor, tensor.requires_grad) for module in modules for tensor in module.parameters()]
    places = [(module, tensor.device) for module in modules for tensor in islice(module.parameters(), 1)]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
        for tensor, gradient in tensors:
            tensor.requires_grad_(gradient)
        for module, device in places:
            module.to(device)


def targets_of(classifiers: Sequence[Classifier], images: ImageSet, settings: DenoiserSettings) -> list[Target]:
    """Return the classifiers as targets, after they classified a few images.

    Raises:
        ModelError: a classifier is normalised for images of other channels.
        SpecError: the objective needs gradients, and no classifier has any.
    """
    few = torch.from_numpy(np.stack([images.pixels(i) for i in range(min(LOOK, len(images)))]) / images.levels)
    for each in classifiers:
        if len(each.mean) > 1 and len(each.mean) != images.shape[0]:
            raise ModelError(
                f"--for: {each.reference} is normalised with mean and std of {len(each.mean)} channels, but the images "
                f"have {images.shape[0]}. Use images like those the classifier was made for.",
                code="E-MODEL-134",
            )
    targets = [Target.of(resolve_head(each, few), settings.device) for each in classifiers]
    if settings.objective != "mse" and not any(each.differentiable for each in targets):
        names = ", ".join(each.origin["model"] for each in targets) or "none"
        raise SpecError(
            f"training: the objective {settings.objective!r} needs a classifier with gradients, got {names}. Name a "
            "torch network for the same task as well (--for), or use --objective mse.",
            code="E-SPEC-130",
        )
    return targets
