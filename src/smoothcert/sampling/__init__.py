"""Sampling: noisy copies in fixed-size batches, votes counted where the classifier runs. Torch is loaded on use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smoothcert.sampling.smoothed import SmoothedClassifier

__all__ = ["SmoothedClassifier"]


def __getattr__(name: str) -> Any:
    if name == "SmoothedClassifier":
        return import_module("smoothcert.sampling.smoothed").SmoothedClassifier
    raise AttributeError(f"module 'smoothcert.sampling' has no attribute {name!r}")
