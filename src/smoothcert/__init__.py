"""Certified robustness of image classifiers by randomized smoothing, re-checkable from stored votes.

Importing the package does no work: every name below is loaded when it is first used, and torch only when sampling.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from smoothcert.version import __version__

if TYPE_CHECKING:
    from smoothcert import stats
    from smoothcert.evidence import Run, open_run
    from smoothcert.sampling import SmoothedClassifier
    from smoothcert.stats import Certificate

__all__ = ["Certificate", "Run", "SmoothedClassifier", "__version__", "open_run", "stats"]

_HOMES = {
    "Certificate": "smoothcert.stats",
    "Run": "smoothcert.evidence",
    "SmoothedClassifier": "smoothcert.sampling",
    "open_run": "smoothcert.evidence",
}


def __getattr__(name: str) -> Any:
    if name == "stats":
        return import_module("smoothcert.stats")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'smoothcert' has no attribute {name!r}")
