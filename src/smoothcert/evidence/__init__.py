"""The evidence: run directory, ledger of votes, event log, and what follows from them. No torch."""

from smoothcert.evidence.amounts import Amount
from smoothcert.evidence.basis import basis_of
from smoothcert.evidence.bundle.differences import certified_of, differences
from smoothcert.evidence.bundle.files import bundle_faults, read_bundle, write_bundle
from smoothcert.evidence.bundle.record import Bundle, Certified
from smoothcert.evidence.cost import Cost, costs
from smoothcert.evidence.creation import create_run
from smoothcert.evidence.criteria import Verdict, verdicts
from smoothcert.evidence.derived import write_derived, write_json
from smoothcert.evidence.directory import RunDirectory, refuse_occupied
from smoothcert.evidence.events import (
    CHANGED,
    CLEAN,
    ENERGY,
    FINISHED,
    LEVEL,
    LOCKED,
    MERGED,
    RATES,
    REPEATED,
    REPORTED,
    RESUMED,
    SESSION_ENDED,
    SHARD_FINISHED,
    SIGNED,
    STARTED,
    WORKER,
    Event,
    append_event,
    broken_link,
    utc_now,
)
from smoothcert.evidence.ledger import Ledger, LedgerWriter
from smoothcert.evidence.measured import Change, Clean, Rates
from smoothcert.evidence.merge import merge
from smoothcert.evidence.outcomes import Outcomes, line_tallies, outcomes, outcomes_by_k, plan_of, winner
from smoothcert.evidence.provenance import environment
from smoothcert.evidence.published import PublishedLog, read_counts, read_log
from smoothcert.evidence.results import CONFIDENCE, Cell, cells, results_record
from smoothcert.evidence.run import Run, open_run
from smoothcert.evidence.scenarios import Basis, Scenario, scenarios
from smoothcert.evidence.seal import (
    fingerprint,
    fingerprint_words,
    finish_shard,
    in_groups,
    refuse_finished,
    seal_facts,
    seal_files,
    seal_remark,
    seal_run,
)
from smoothcert.evidence.shards import Shard
from smoothcert.formats.line import Line, Votes, parse_line

__all__ = [
    "CHANGED",
    "CLEAN",
    "CONFIDENCE",
    "ENERGY",
    "FINISHED",
    "LEVEL",
    "LOCKED",
    "MERGED",
    "RATES",
    "REPEATED",
    "REPORTED",
    "RESUMED",
    "SESSION_ENDED",
    "SHARD_FINISHED",
    "SIGNED",
    "STARTED",
    "WORKER",
    "Amount",
    "Basis",
    "Bundle",
    "Cell",
    "Certified",
    "Change",
    "Clean",
    "Cost",
    "Event",
    "Ledger",
    "LedgerWriter",
    "Line",
    "Outcomes",
    "PublishedLog",
    "Rates",
    "Run",
    "RunDirectory",
    "Scenario",
    "Shard",
    "Verdict",
    "Votes",
    "append_event",
    "basis_of",
    "broken_link",
    "bundle_faults",
    "cells",
    "certified_of",
    "costs",
    "create_run",
    "differences",
    "environment",
    "fingerprint",
    "fingerprint_words",
    "finish_shard",
    "in_groups",
    "line_tallies",
    "merge",
    "open_run",
    "outcomes",
    "outcomes_by_k",
    "parse_line",
    "plan_of",
    "read_bundle",
    "read_counts",
    "read_log",
    "refuse_finished",
    "refuse_occupied",
    "results_record",
    "scenarios",
    "seal_facts",
    "seal_files",
    "seal_remark",
    "seal_run",
    "utc_now",
    "verdicts",
    "winner",
    "write_bundle",
    "write_derived",
    "write_json",
]
