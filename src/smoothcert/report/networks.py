"""The networks that a run tests, in the order in which they are applied.

Per noise level a classifier, or a denoiser and the classifier behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from smoothcert.config import DenoiserFacts, ModelFacts, Spec
from smoothcert.config.spec import NOTHING
from smoothcert.errors import printable
from smoothcert.report.results_table import Table
from smoothcert.stats.rounding import full

DENOISER, CLASSIFIER = "denoiser", "classifier"
NO_STEPS = "none recorded by this tool"
"""Of the preprocessing: images may have been prepared before they were read."""


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


def network_table(spec: Spec) -> Table:
    """Return the networks of a run with a denoiser, one row each, with their hashes."""
    rows, records = [], []
    for each in networks(spec):
        weights = bare(each.facts.sha256) if has_weights(spec, each.facts) else "none: code alone"
        hashes = {"sha256": weights, "source_sha256": bare(each.facts.source_sha256 or "")}
        name, arch = printable(each.facts.reference), each.facts.arch or "custom"
        rows.append((full(each.sigma), each.part, name, arch, each.trained or "not recorded", *hashes.values()))
        records.append({"sigma": float(each.sigma), "part": each.part, "reference": each.facts.reference, **hashes})
    return Table(HEADINGS, tuple(rows), tuple(records))


HEADINGS = (
    *("sigma", "part of the pipeline", "file or name", "architecture", "trained with sigma", "weights SHA-256"),
    "code SHA-256",
)


def bare(sha: str) -> str:
    """Return a hash without its prefix."""
    return sha.removeprefix("sha256:")


def has_weights(spec: Spec, facts: DenoiserFacts | ModelFacts) -> bool:
    """Return whether a network has weights, so that their hash says something.

    Documents of runs that earlier versions began print the hash of nothing, and keep it.
    """
    return facts.sha256 != NOTHING or spec.minor < 3


def denoiser_code(spec: Spec) -> list[tuple[str, str]]:
    """Return what each piece of code that builds denoisers is called, with its hash ("sha256:...").

    The noise levels are named if they do not share one.
    """
    sigmas: dict[str, list[str]] = {}
    for each in spec.models:
        if each.denoiser is not None and each.denoiser.source_sha256 is not None:
            sigmas.setdefault(each.denoiser.source_sha256, []).append(full(each.sigma))
    named = {sha: f", sigma {', '.join(levels)}" for sha, levels in sigmas.items()} if len(sigmas) > 1 else {}
    return [(f"code of the denoiser{named.get(sha, '')}", sha) for sha in sigmas]


def _levels(denoiser: DenoiserFacts) -> str | None:
    low, high = denoiser.trained_low, denoiser.trained_sigma
    if high is None:
        return None
    return full(high) if low in (None, high) else f"{full(low)} to {full(high)}"
