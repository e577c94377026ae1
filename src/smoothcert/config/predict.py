"""What a person asks of a bundle: the settings of `smoothcert predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from smoothcert.config.values import Floats, Frozen


class PredictSettings(Frozen):
    """What a person asks of a bundle."""

    k: int = 1
    """Answer with the k most probable classes."""
    n: int | None = None
    """Noisy copies an image at most (left out: the bundle's)."""
    alpha: float | None = None
    """Probability, at most, that one answer is not the smoothed classifier's (left out: the bundle's)."""
    certify: bool = False
    """Certify each image: class, abstention and radius from one procedure, wrong together with probability at most
    alpha. Takes more copies."""
    radius: Floats = ()
    """L2 radii to decide with --certify, in units of the [0, 1] range (left out: the certification run's)."""
    n_max: int | None = None
    """Noisy copies an image at most with --certify, after selection (left out: the certification run's)."""
    out: Path | None = None
    """File to write instead of printing a table, .csv or .json. An existing file is never overwritten."""
    format: Literal["csv", "json"] | None = None
    """Form of what is printed or written (left out: a table, or what --out is called)."""
    model: str | None = None
    """package.module:factory (your own code, it is run) that builds the network, where it is not one of smoothcert's
    own; its weights come from the bundle."""
    device: Literal["auto", "cpu", "cuda"] | None = None
    """Where the classifier runs (left out: as certified)."""
