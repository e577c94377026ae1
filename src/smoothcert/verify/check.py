"""`verify`: recompute everything a run says from its stored votes, and name what does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from smoothcert.errors import EvidenceError, SpecError
from smoothcert.evidence import FINISHED, Event, Ledger, RunDirectory, Verdict, cells, verdicts
from smoothcert.spec import Spec
from smoothcert.verify.recompute import Recomputed, check_numbers, check_plan, check_results
from smoothcert.verify.structure import check_events, check_lines, check_seal

NOT_SHOWN = (
    "that the counts came from these weights and images, that the labels are right, that the images are independent, "
    "or who ran it"
)
_NAMED_AT_MOST = 20


@dataclass(frozen=True)
class Report:
    """What verify found.

    Attributes:
        lines: ledger lines checked.
        missing: (sigma, image) pairs without a line.
        bounds: confidence bounds checked by evaluating the binomial tail in plain Python.
        decisions: decisions at a radius taken by both implementations.
        sealed: whether the run is finished and sealed.
        faults: what does not hold, in words (the first 20); empty where everything does.
        criteria: the acceptance criteria of the spec, judged; empty where faults were found or none were fixed.
    """

    lines: int
    missing: int
    bounds: int
    decisions: int
    sealed: bool
    faults: tuple[str, ...]
    criteria: tuple[Verdict, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no fault was found."""
        return not self.faults


def verify(path: Path) -> Report:
    """Check a run directory from its votes alone; writes nothing, needs no torch, no model and no image.

    Args:
        path: the run directory.

    Returns:
        A report; its `faults` name everything that does not hold.

    Raises:
        EvidenceError: there is no run there.
    """
    run = RunDirectory(path)
    try:
        spec = run.read_spec()
        return _check(run, spec, run.read_events(), run.read_ledger())
    except SpecError as error:
        return _unreadable(f"spec.json: {error}")
    except EvidenceError as error:
        if not run.spec.exists():
            raise
        return _unreadable(str(error))


def _check(run: RunDirectory, spec: Spec, events: tuple[Event, ...], ledger: Ledger) -> Report:
    sealed = any(event.event == FINISHED for event in events)
    faults = [*check_events(run, spec, events), *check_seal(events, ledger), *check_plan(spec)]
    faults += check_lines(spec, ledger, sealed)
    numbers: list[Recomputed] = []
    if not faults:
        numbers = [
            check_numbers(spec, ledger.at(sigma), sigma, k) for sigma in spec.request.sigma for k in spec.request.k
        ]
        faults = [fault for part in numbers for fault in part.faults]
        faults += check_results(run, spec, ledger)
    return Report(
        lines=len(ledger.lines),
        missing=_missing(spec, ledger),
        bounds=sum(part.bounds for part in numbers),
        decisions=sum(part.decisions for part in numbers),
        sealed=sealed,
        faults=tuple(faults[:_NAMED_AT_MOST]),
        criteria=() if faults else tuple(verdicts(spec, cells(spec, ledger))),
    )


def _missing(spec: Spec, ledger: Ledger) -> int:
    return max(0, len(spec.request.sigma) * spec.data.images - len(ledger.lines))


def _unreadable(fault: str) -> Report:
    return Report(0, 0, 0, 0, False, (fault,))
