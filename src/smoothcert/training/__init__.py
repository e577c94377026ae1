"""Training small classifiers under Gaussian noise, and saving them with the card that a certification needs."""

from typing import TYPE_CHECKING

from smoothcert.training.settings import EpochReport, TrainingSettings

if TYPE_CHECKING:
    from smoothcert.training.checkpoint import save
    from smoothcert.training.trainer import train

__all__ = ["EpochReport", "TrainingSettings", "save", "train"]


def __getattr__(name: str) -> object:
    """Import torch on first use of `train` or `save` (PEP 562)."""
    if name == "train":
        from smoothcert.training.trainer import train

        return train
    if name == "save":
        from smoothcert.training.checkpoint import save

        return save
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
