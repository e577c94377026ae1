"""The end of a run of which nothing is missing: its results, and the event that vouches for its ledger."""

from __future__ import annotations

from smoothcert.evidence.derived import write_json
from smoothcert.evidence.directory import RunDirectory
from smoothcert.evidence.events import FINISHED, append_event
from smoothcert.evidence.ledger import Ledger
from smoothcert.evidence.results import results_record
from smoothcert.spec import Spec


def seal_run(run: RunDirectory, spec: Spec, ledger: Ledger) -> None:
    """Write `results.json`, and the finish event with the hash of the ledger.

    Args:
        run: a run directory that nobody else writes.
        spec: its locked spec.
        ledger: its ledger, a line for every result of the spec.
    """
    write_json(run.results / "results.json", results_record(spec, ledger))
    append_event(run.events, FINISHED, lines=len(ledger.lines), ledger_sha256=ledger.sha256())
