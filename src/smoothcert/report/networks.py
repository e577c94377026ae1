"""The networks that a run tests, in the order in which they are applied.

Per noise level a classifier, or a denoiser and the classifier behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from smoothcert.config import DenoiserFacts, ModelFacts, Spec
from smoothcert.stats.rounding import full

DENOISER, CLASSIFIER = "denoiser", "classifier"


@dataclass(frozen=True)
class Network:
    """A network of one noise level.

    Attributes:
        sigma: the noise level.
        part: `DENOISER` or `CLASSIFIER`.
        facts: what `spec.json` says about it.
        trained: noise levels of its training as text, or None if they are not recorded.
    """

    sigma: float
    part: str
    facts: DenoiserFacts | ModelFacts
    trained: str | None


def networks(spec: Spec) -> list[Network]:
    """Return the networks of a run, by noise level."""
    found = []
    for model in spec.models:
        if model.denoiser is not None:
            found.append(Network(model.sigma, DENOISER, model.denoiser, _levels(model.denoiser)))
        trained = None if model.trained_sigma is None else full(model.trained_sigma)
        found.append(Network(model.sigma, CLASSIFIER, model, trained))
    return found


def denoiser_code(spec: Spec) -> list[str]:
    """Return the hashes ("sha256:...") of the source files that build the denoisers, each once."""
    hashes = (each.denoiser.source_sha256 for each in spec.models if each.denoiser is not None)
    return list(dict.fromkeys(each for each in hashes if each is not None))


def _levels(denoiser: DenoiserFacts) -> str | None:
    low, high = denoiser.trained_low, denoiser.trained_sigma
    if high is None:
        return None
    return full(high) if low in (None, high) else f"{full(low)} to {full(high)}"
