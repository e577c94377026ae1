"""Sampling: noise samples in fixed-size batches, votes counted on the device. Torch is loaded on first use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smoothcert.sampling.certificates import Certificates, Predictions
    from smoothcert.sampling.smoothed import SmoothedClassifier

__all__ = ["Certificates", "Predictions", "SmoothedClassifier"]

_HOMES = {"Certificates": "certificates", "Predictions": "certificates", "SmoothedClassifier": "smoothed"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"smoothcert.sampling.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'smoothcert.sampling' has no attribute {name!r}")
