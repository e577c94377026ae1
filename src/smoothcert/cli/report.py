"""`smoothcert report`: everything a team hands over, from a run directory."""

from __future__ import annotations

from pathlib import Path


def report(run: Path, /, *, sponsor: Path | None = None, live: bool = True) -> int:
    """Write results table, figures, notebook, report.html and the four-page memo of a run; no torch, no GPU.

    Args:
        run: Run directory. A partial run gets documents that say partial and claim nothing about a population.
        sponsor: YAML file with the sponsor's fields of the memo; what is left out stays open and is counted.
        live: Let the notebook certify five images anew where classifier, images and torch are at hand.
    """
    from smoothcert.cli.documents import write_with_progress
    from smoothcert.cli.terminal import tell
    from smoothcert.evidence import RunDirectory
    from smoothcert.report.write import Wish

    write_with_progress(run, Wish(sponsor, live))
    share = RunDirectory(run).share
    if share is not None:
        tell(f"This is shard {share}, a part of a run: the documents say partial. Join the shards by smoothcert merge.")
    return 0
