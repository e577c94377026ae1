"""`verify`: recompute all results of a run from its stored votes and report every fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from smoothcert.config import Spec
from smoothcert.errors import EvidenceError, SpecError
from smoothcert.evidence import Run, RunDirectory, open_run
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.results import Certificates, Verdict, entries, verdicts
from smoothcert.evidence.seal import fingerprint
from smoothcert.verify.chains import check_shards, log_notes
from smoothcert.verify.recompute import NAMED_AT_MOST, Recomputed, check_level, check_plan, check_results
from smoothcert.verify.structure import check_lines, damage
from smoothcert.verify.table import check_measures, check_repeats, check_table, claims_of

NOT_SHOWN = (
    "that the counts came from these weights and images, that the labels are correct, that the images are independent, "
    "that no earlier result on them was seen or discarded, or who ran it"
)


@dataclass(frozen=True)
class Report:
    """The result of verifying a run.

    Attributes:
        lines: number of ledger lines checked.
        missing: number of (sigma, image) pairs without a line.
        bounds: number of confidence bounds on votes, checked by evaluating the binomial tail in plain Python; with
            betting, of tests of a radius, checked by betting again.
        decisions: number of decisions at a radius, made by both implementations.
        sealed: whether the run is sealed.
        faults: the first 20 faults, as text; empty if there are none.
        criteria: verdicts on the acceptance criteria of the spec; empty if there are faults or no criteria.
        radii: number of certified radii R, one per image and k, checked by the margins just below and above each.
        claims: number of intervals and bounds over the data set, checked by summing the binomial tail at each.
        notes: what was not checked and why, and remarks; they do not decide whether a run passes.
        fingerprint: evidence fingerprint, 64 hex digits; None if the run is not sealed.
        run: the run that was checked; None if it could not be read to the end.
    """

    lines: int
    missing: int
    bounds: int
    decisions: int
    sealed: bool
    faults: tuple[str, ...]
    criteria: tuple[Verdict, ...] = ()
    radii: int = 0
    claims: int = 0
    notes: tuple[str, ...] = ()
    fingerprint: str | None = None
    run: Run | None = field(default=None, repr=False, compare=False)

    @property
    def tested(self) -> str:
        """What `bounds` counts, as text."""
        betting = self.run is not None and self.run.spec.request.bound == "betting"
        return "tests by betting" if betting else "confidence bounds"

    @property
    def passed(self) -> bool:
        """Whether there are no faults."""
        return not self.faults


def verify(path: Path, opened: Run | None = None) -> Report:
    """Verify a run from its votes alone; writes nothing and needs no torch, no model and no images.

    Args:
        path: the run directory.
        opened: the same run, if it is open already, so that its ledger is not scanned again.

    Returns:
        A report; `faults` is empty if everything holds.

    Raises:
        EvidenceError: the path is not a run.
    """
    try:
        return _check(opened or open_run(path))
    except SpecError as error:
        return _unreadable(f"spec.json: {error}")
    except EvidenceError as error:
        if not RunDirectory(path).spec.exists():
            raise
        return _unreadable(str(error))


def _check(opened: Run) -> Report:
    run, spec, ledger = opened.directory, opened.spec, opened.ledger
    sealed = run.seal() is not None
    faults = [*damage(opened), *check_shards(run), *check_plan(spec)]
    faults += islice(check_lines(spec, ledger, sealed), NAMED_AT_MOST)
    levels: dict[float, Recomputed] = {}
    for sigma in map(float, spec.request.sigma):
        levels[sigma] = check_level(spec, ledger.at(sigma), sigma, sound=not faults)
        faults += levels[sigma].faults
    certificates: Certificates = lambda sigma, k: levels[float(sigma)].outcomes[k]  # noqa: E731
    table = [] if faults else entries(spec, ledger, certificates=certificates)
    if not faults:
        faults += check_table(spec, ledger, table, certificates)
        faults += check_repeats(opened.events, spec, ledger)
        faults += check_measures(opened.events, spec)
    if not faults:
        faults += check_results(run, spec, ledger, certificates)
    return Report(
        lines=len(ledger.lines),
        missing=_missing(spec, ledger),
        bounds=sum(part.bounds for part in levels.values()),
        decisions=sum(part.decisions for part in levels.values()),
        sealed=sealed,
        faults=tuple(faults[:NAMED_AT_MOST]),
        criteria=() if faults else tuple(verdicts(spec, table)),
        radii=sum(part.radii for part in levels.values()),
        claims=claims_of(table),
        notes=() if faults else tuple(islice(log_notes(opened), NAMED_AT_MOST)),
        fingerprint=fingerprint(run),
        run=opened,
    )


def _missing(spec: Spec, ledger: Ledger) -> int:
    return max(0, spec.expected - len(ledger.lines))


def _unreadable(fault: str) -> Report:
    return Report(0, 0, 0, 0, False, (fault,))
