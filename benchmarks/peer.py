"""The peer: randomized smoothing in the Adversarial Robustness Toolbox (ART, PyPI adversarial-robustness-toolbox)."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

PACKAGES = ("adversarial-robustness-toolbox", "packaging", "statsmodels")
MISSING = f"ART is not installed and its rows stay empty; for them: pip install {' '.join(PACKAGES)}"


def installed() -> str | None:
    """Return ART's version, or None where it or a package its smoothing needs is missing."""
    try:
        return {name: version(name) for name in PACKAGES}[PACKAGES[0]]
    except PackageNotFoundError:
        return None


def estimator(base: nn.Module, shape: tuple[int, int, int], classes: int, sigma: float, alpha: float, n0: int) -> Any:
    """Return ART's smoothed classifier; its `certify(x, n, batch_size)` draws n0 + n noise samples of each image.

    Normalisation stays inside the classifier: ART's own option would copy all n noisy images at once.
    """
    loss = import_module("torch.nn").CrossEntropyLoss()  # asked for, and not used here
    module = import_module("art.estimators.certification.randomized_smoothing")
    return module.PyTorchRandomizedSmoothing(
        model=base,
        loss=loss,
        input_shape=shape,
        nb_classes=classes,
        device_type="cpu",
        sample_size=n0,
        scale=sigma,
        alpha=alpha,
    )
