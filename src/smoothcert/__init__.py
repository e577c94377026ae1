"""Certified robustness of image classifiers by randomized smoothing, re-checkable from stored votes.

Importing the package does no work: every name below is loaded when it is first used, and torch only when sampling.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from smoothcert.version import __version__

if TYPE_CHECKING:
    from smoothcert import errors, stats
    from smoothcert.api import Results, Run, certify, open_run, resume
    from smoothcert.sampling import Certificates, Predictions, SmoothedClassifier
    from smoothcert.stats import Certificate

__all__ = [
    "Certificate",
    "Certificates",
    "Predictions",
    "Results",
    "Run",
    "SmoothedClassifier",
    "__version__",
    "certify",
    "errors",
    "open_run",
    "resume",
    "stats",
]

_HOMES = {
    "Certificate": "smoothcert.stats",
    "Certificates": "smoothcert.sampling",
    "Predictions": "smoothcert.sampling",
    "Results": "smoothcert.api",
    "Run": "smoothcert.api",
    "SmoothedClassifier": "smoothcert.sampling",
    "certify": "smoothcert.api",
    "open_run": "smoothcert.api",
    "resume": "smoothcert.api",
}


def __getattr__(name: str) -> Any:
    if name in ("errors", "stats"):
        return import_module(f"smoothcert.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'smoothcert' has no attribute {name!r}")
