"""`smoothcert merge`: many shards, one run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smoothcert.evidence import Run


def merge(*runs: Path, out: Path) -> int:
    """Merge shards of one run, made by `smoothcert certify --shard i/n` on any machines, into one run directory.

    The shards must have the same spec and no image in common; they are copied, not changed. If no image is missing, the
    run is sealed like one that sampled all itself; otherwise `smoothcert resume` goes on with it.

    Args:
        runs: Run directories, finished shards or interrupted ones.
        out: Run directory to create. A run is never overwritten.
    """
    from smoothcert.cli.sampling import print_results, say_next
    from smoothcert.errors import printable
    from smoothcert.evidence import merge as merge_runs
    from smoothcert.evidence import open_run

    merge_runs(runs, out)
    merged = open_run(out)
    _tell_shards(merged)
    print_results(out)
    if not merged.missing:
        say_next(out)
    else:
        told = f"Next: smoothcert resume {out} goes on with the {merged.missing:,} missing results"
        print(printable(told), file=sys.stderr)
    return 0


def _tell_shards(run: Run) -> None:
    """Say what each shard brought, and what that comes to."""
    from smoothcert.cli.terminal import tell

    for shard in run.directory.shards:
        finished = run.directory.of_shard(shard.name).vouched() is not None
        share = "of no shard" if shard.shard is None else f"of shard {shard.shard}"
        tell(f"{shard.name}: {shard.lines:,} results {share}, {'finished' if finished else 'not finished'}")
    tell(f"together: {len(run.ledger.lines):,} of {run.expected:,} results, {run.missing:,} missing")
    print()
