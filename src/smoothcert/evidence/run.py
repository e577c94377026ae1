"""A finished, running or interrupted run, opened for reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothcert.config import Spec
from smoothcert.evidence.directory import RunDirectory
from smoothcert.evidence.events import LEVEL, Change, Clean, Event, Rates, changes_of, clean_of, rates_of
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.outcomes import Outcomes, outcomes_by_k, pairwise_probabilities
from smoothcert.evidence.results import entries
from smoothcert.formats.results import Entry
from smoothcert.stats.rounding import scientific_up


@dataclass(frozen=True)
class Run:
    """Spec and ledger of a run directory; everything else is derived on demand."""

    directory: RunDirectory
    spec: Spec
    ledger: Ledger

    @property
    def expected(self) -> int:
        """Number of results of a complete run: one per (sigma, image)."""
        return self.spec.expected

    @property
    def missing(self) -> int:
        """Number of (sigma, image) pairs without a line."""
        return self.expected - len(self.ledger.lines)

    @cached_property
    def images(self) -> int:
        """Number of images of this directory: all of the spec, or those of its shard."""
        share = self.directory.share
        return self.spec.data.images if share is None else len(share.part(self.spec.indices))

    @cached_property
    def unsampled(self) -> int:
        """Number of (sigma, image) pairs of this directory without a line."""
        return len(self.spec.request.sigma) * self.images - len(self.ledger.lines)

    @cached_property
    def done(self) -> bool:
        """Whether nothing is left to sample and an event vouches for the lines: a sealed run or a finished shard."""
        return self.unsampled == 0 and self.directory.vouched() is not None

    @cached_property
    def sealed(self) -> bool:
        """Whether a finish event vouches for the ledger."""
        return self.directory.seal() is not None

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The event log."""
        return self.directory.read_events()

    def clean(self, sigma: float) -> Clean | None:
        """Return the clean accuracy of the base classifier of one noise level; None if it was not recorded."""
        return clean_of(self.events, float(sigma))

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """L2 norms of simple perturbations of the images; empty if they were not measured."""
        return changes_of(self.events)

    @cached_property
    def rates(self) -> Rates | None:
        """Noise samples per second in each precision; None if they were not measured."""
        return rates_of(self.events)

    @cached_property
    def arithmetic(self) -> str:
        """Whether the certificates cover floating-point arithmetic, as text."""
        levels = [event for event in self.events if event.event == LEVEL]
        if self.spec.request.noise == "float":
            return "not covered (ordinary floating-point noise)"
        if not levels:
            return "not tested yet (no image has been sampled)"
        tests = [event.facts.get("self_test") for event in levels]
        if not all(isinstance(test, dict) and test.get("bit_equal") is True for test in tests):
            return "not covered (self-test: the logits of a noise sample depend on the other rows of its batch)"
        worst = max(model.eta for model in self.spec.models)
        step = f"1/{self.spec.data.levels}"
        return (
            f"covered (integer noise in steps of {step}, within {scientific_up(worst)} of Gaussian in total variation)"
        )

    @property
    def arithmetic_covered(self) -> bool:
        """Whether the certificates cover floating-point arithmetic."""
        return self.arithmetic.startswith("covered")

    def results(self, radii: Sequence[float] = ()) -> Sequence[Entry]:
        """Return the results table, one entry per (sigma, k, r); see `entries`."""
        return entries(self.spec, self.ledger, radii, self.certificates)

    def certificates(self, sigma: float, k: int = 1) -> Outcomes:
        """Return the certificates of one noise level and k; those of all k of the spec are derived together, once."""
        level, ks = float(sigma), self.spec.request.k
        if (level, k) not in self._known:
            by_k = outcomes_by_k(self.spec, self.ledger.at(level), level, ks if k in ks else (k,))
            self._known.update({(level, each): outcomes for each, outcomes in by_k.items()})
        return self._known[level, k]

    def pairwise_probabilities(self, sigma: float) -> NDArray[np.float64]:
        """Return the pairwise probability of the two leading classes of each image; see `pairwise_probabilities`."""
        if float(sigma) not in self._pairwise:
            self._pairwise[float(sigma)] = pairwise_probabilities(self.ledger.at(sigma))
        return self._pairwise[float(sigma)]

    @cached_property
    def _pairwise(self) -> dict[float, NDArray[np.float64]]:
        return {}

    @cached_property
    def _known(self) -> dict[tuple[float, int], Outcomes]:
        return {}


def open_run(path: str | Path) -> Run:
    """Open a run directory for reading; torch is not needed.

    Args:
        path: the run directory.

    Raises:
        EvidenceError: the path is not a run, or its ledger is damaged.
        SpecError: its spec is damaged.
    """
    directory = RunDirectory(Path(path))
    spec = directory.read_spec()
    return Run(directory, spec, directory.read_ledger(spec))
