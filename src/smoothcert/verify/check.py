"""`verify`: recompute everything a run says from its stored votes, and name what does not hold."""

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
from smoothcert.verify.table import check_repeats, check_table, claims_of

NOT_SHOWN = (
    "that the counts came from these weights and images, that the labels are right, that the images are independent, "
    "that no earlier result on them was seen or discarded, or who ran it"
)


@dataclass(frozen=True)
class Report:
    """What verify found.

    Attributes:
        lines: ledger lines checked.
        missing: (sigma, image) pairs without a line.
        bounds: confidence bounds on votes, checked by evaluating the binomial tail in plain Python.
        decisions: decisions at a radius taken by both implementations.
        sealed: whether the run is finished and sealed.
        faults: what does not hold, in words (the first 20); empty where everything does.
        criteria: the acceptance criteria of the spec, judged; empty where faults were found or none were fixed.
        radii: certified radii R, one an image and k, checked by comparing the probabilities on both sides of each.
        claims: intervals and bounds over the data set, checked by adding up the binomial tail at each.
        notes: what was not checked and why, and what a reader should know; they never decide whether a run passed.
        fingerprint: of the evidence, 64 hex digits; None where the run is not sealed.
        run: the run that was checked; None where it could not be opened.
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
    def passed(self) -> bool:
        """Whether no fault was found."""
        return not self.faults


def verify(path: Path, opened: Run | None = None) -> Report:
    """Check a run directory from its votes alone; writes nothing, needs no torch, no model and no image.

    Args:
        path: the run directory.
        opened: that run, where it is open already: its ledger is not gone through once more to find its lines.

    Returns:
        A report; its `faults` name everything that does not hold.

    Raises:
        EvidenceError: there is no run there.
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
