"""Certificates as columns, one row per image, sigma and k: for Parquet and for the tables of images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from smoothcert.errors import MissingExtraError, printable
from smoothcert.evidence import Run
from smoothcert.evidence.directory import written_beside
from smoothcert.evidence.line_store import BLOCK
from smoothcert.evidence.outcomes import Outcomes, winner
from smoothcert.formats.line import Line
from smoothcert.stats.rounding import full, round_down

NAME = "certificates.parquet"
ROWS = 65_536
"""Minimum rows per row group of the Parquet file; a reader can load one group at a time."""
OUTCOMES = ("certified", "abstained", "wrong class")


def certificate_columns(run: Run, sigma: float, k: int, rows: slice = slice(None)) -> dict[str, Any]:
    """Return the certificates of one sigma and k as columns of equal length.

    Args:
        run: the run.
        sigma: one of its noise levels.
        k: one of its k.
        rows: which results of that noise level, in ledger order. Default: all.

    Returns:
        sigma, k, index, image (hash), label, group, selected (winner of the selection votes or None), outcome (one of
        `OUTCOMES`), radius (L2, in units of the [0, 1] range, rounded down to 6 decimals; 0 if nothing is certified),
        certified_at_R for each radius R of the spec, samples, n (samples at the last look), label_votes; and
        subgroup_C, a printable text, for each column C of the spec.
    """
    lines, found = tuple(run.ledger.at(sigma)[rows]), run.certificates(sigma, k).of(rows)
    held = ~found.wrong & (found.radius > 0)
    certified = {f"certified_at_{full(r)}": found.certified_correct(r) for r in run.spec.request.radius}
    return {
        "sigma": np.full(len(lines), float(sigma)),
        "k": np.full(len(lines), k),
        "index": found.index,
        "image": [line.image for line in lines],
        "label": found.label,
        "group": [line.group for line in lines],
        "selected": [winner(line) for line in lines],
        "outcome": [OUTCOMES[i] for i in _outcome(found)],
        "radius": np.where(held, round_down(np.maximum(found.radius, 0.0)), 0.0),
        **certified,
        "samples": found.samples,
        "n": [_last(line)[0] for line in lines],
        "label_votes": [_last(line)[1] for line in lines],
        **{
            f"subgroup_{printable(name)}": [printable(line.subgroups.get(name, "")) for line in lines]
            for name in run.spec.data.subgroups
        },
    }


def _outcome(found: Outcomes) -> Any:
    return np.where(found.wrong, 2, np.where(found.abstained, 1, 0))


def _last(line: Line) -> tuple[int, int]:
    n, votes = line.looks[-1] if line.looks else (0, {})
    return n, votes.get(line.label, 0)


def write_certificates(run: Run, folder: Path) -> Path:
    """Write `certificates.parquet`, one row per image, sigma and k.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError(NAME, "report") from None
    path, schema, waiting = folder / NAME, _schema(arrow, run), []
    with written_beside(path) as beside, parquet.ParquetWriter(beside, schema, compression="zstd") as writer:
        for columns in parts(run):
            waiting.append(arrow.table(columns, schema=schema))
            if sum(map(len, waiting)) >= ROWS:
                writer.write_table(arrow.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(arrow.concat_tables(waiting))
    return path


def parts(run: Run) -> Iterator[dict[str, Any]]:
    """Yield the columns of every sigma and k in blocks of a few thousand rows."""
    for sigma in run.spec.request.sigma:
        for k in run.spec.request.k:
            for start in range(0, len(run.ledger.at(sigma)), BLOCK):
                yield certificate_columns(run, sigma, k, slice(start, start + BLOCK))


def _schema(arrow: Any, run: Run) -> Any:
    whole, text = arrow.int64(), arrow.string()
    columns = {"sigma": arrow.float64(), "k": whole, "index": whole, "image": text, "label": whole, "group": text}
    columns |= {"selected": whole, "outcome": text, "radius": arrow.float64()}
    columns |= {f"certified_at_{full(r)}": arrow.bool_() for r in run.spec.request.radius}
    columns |= {"samples": whole, "n": whole, "label_votes": whole}
    columns |= {f"subgroup_{printable(name)}": text for name in run.spec.data.subgroups}
    return arrow.schema(list(columns.items()))
