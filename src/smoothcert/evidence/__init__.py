"""The evidence of a run: directory, ledger of votes, event log, and what is derived from them. No torch."""

from smoothcert.evidence.creation import merge
from smoothcert.evidence.directory import RunDirectory
from smoothcert.evidence.run import Run, open_run

__all__ = ["Run", "RunDirectory", "merge", "open_run"]
