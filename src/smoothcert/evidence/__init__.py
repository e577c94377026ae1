"""The evidence: run directory, ledger of votes, event log, and what follows from them. No torch."""

from smoothcert.evidence.cost import Cost, costs
from smoothcert.evidence.criteria import Verdict, verdicts
from smoothcert.evidence.directory import (
    RunDirectory,
    create_run,
    refuse_occupied,
    write_derived,
    write_json,
)
from smoothcert.evidence.events import (
    CHANGED,
    CLEAN,
    FINISHED,
    LEVEL,
    LOCKED,
    REPORTED,
    RESUMED,
    STARTED,
    Event,
    append_event,
    broken_link,
    utc_now,
)
from smoothcert.evidence.ledger import Ledger, LedgerWriter
from smoothcert.evidence.line import Line, Votes, parse_line
from smoothcert.evidence.measured import Change, Clean
from smoothcert.evidence.outcomes import Outcomes, line_tallies, outcomes, plan_of, winner
from smoothcert.evidence.provenance import environment
from smoothcert.evidence.published import PublishedLog, read_counts, read_log
from smoothcert.evidence.results import CONFIDENCE, Cell, cells, results_record
from smoothcert.evidence.run import Run, open_run

__all__ = [
    "CHANGED",
    "CLEAN",
    "CONFIDENCE",
    "FINISHED",
    "LEVEL",
    "LOCKED",
    "REPORTED",
    "RESUMED",
    "STARTED",
    "Cell",
    "Change",
    "Clean",
    "Cost",
    "Event",
    "Ledger",
    "LedgerWriter",
    "Line",
    "Outcomes",
    "PublishedLog",
    "Run",
    "RunDirectory",
    "Verdict",
    "Votes",
    "append_event",
    "broken_link",
    "cells",
    "costs",
    "create_run",
    "environment",
    "line_tallies",
    "open_run",
    "outcomes",
    "parse_line",
    "plan_of",
    "read_counts",
    "read_log",
    "refuse_occupied",
    "results_record",
    "utc_now",
    "verdicts",
    "winner",
    "write_derived",
    "write_json",
]
