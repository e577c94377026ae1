"""Training small classifiers under Gaussian noise, and saving them with what a certification must know."""

from typing import TYPE_CHECKING

from smoothcert.training.settings import EpochReport, TrainingSettings

if TYPE_CHECKING:
    from smoothcert.training.checkpoint import save
    from smoothcert.training.trainer import train

__all__ = ["EpochReport", "TrainingSettings", "save", "train"]


def __getattr__(name: str) -> object:
    """Import torch only when training is asked for (PEP 562)."""
    if name == "train":
        from smoothcert.training.trainer import train

        return train
    if name == "save":
        from smoothcert.training.checkpoint import save

        return save
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
