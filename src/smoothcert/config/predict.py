"""`PredictSettings`: the settings of `smoothcert predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from smoothcert.config.values import Alpha, Floats, Frozen


class PredictSettings(Frozen):
    """What a person asks of a bundle."""

    k: int = 1
    """Number of classes in an answer. The k most probable ones."""
    n: int | None = None
    """Maximum samples per image. Default: that of the bundle."""
    alpha: Alpha | None = None
    """Error probability of an answer. The probability that an answer is not the smoothed classifier's is at most alpha.
    Default: that of the bundle."""
    certify: bool = False
    """Certify each image. One procedure gives class, abstention and radius, wrong together with probability at most
    alpha; it takes more samples."""
    radius: Floats = ()
    """L2 radii to decide with --certify. In units of the [0, 1] range. Default: those of the certification run."""
    n_max: int | None = None
    """Maximum samples per image with --certify. After those that select the class. Default: that of the certification
    run."""
    out: Path | None = None
    """Write to this file, .csv or .json. Instead of printing a table. An existing file is never overwritten."""
    format: Literal["csv", "json"] | None = None
    """Output format. Default: a table, or the format of --out."""
    model: str | None = None
    """Code that builds the network, if not built in. package.module:factory (your own code, which is run); the weights
    come from the bundle."""
    denoiser: str | None = None
    """Code that builds the denoiser, if not built in. package.module:factory (your own code, which is run) or
    diffusers:FOLDER; the weights come from the bundle."""
    device: Literal["auto", "cpu", "cuda"] | None = None
    """Where the classifier runs. Default: as certified."""
