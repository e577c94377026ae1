"""Check results tables, cost, numbers of figures, and certificates against what the votes give."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smoothcert.errors import InputError, MissingExtraError
from smoothcert.evidence.results import results_record
from smoothcert.formats.results import FORMAT, form_of
from smoothcert.formats.strict import open_regular
from smoothcert.report.certificates import NAME as CERTIFICATES
from smoothcert.report.certificates import parts
from smoothcert.report.cost import COST, cost_record, stated
from smoothcert.report.documents.found import (
    CONDITIONAL,
    RESULTS,
    Findings,
    Written,
    by_keys,
    describe,
    fault,
    held,
    note,
)
from smoothcert.report.documents.printed import compare_tables, csv_records, markdown_tables, tex_tables
from smoothcert.report.figures import figure_data, write_figures
from smoothcert.report.results import results_texts
from smoothcert.verify.keys import Compared, compare

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

FIGURES = "figures/figure_data.json"
MICRO = 1.5e-6
"""Radii are rounded down to 6 decimals; versions may differ by one in the last place."""


def check_results(written: Written) -> Findings:
    """Check `results.json`, and the tables as CSV, Markdown and LaTeX."""
    if (written.folder / RESULTS).is_file():
        record = written.record(RESULTS)
        form = form_of(record) or FORMAT
        computed = results_record(written.run.spec, written.run.ledger, written.run.certificates, form)
        printed = {**record, "format": computed["format"]} if form != 1 else record  # a newer format, by its known keys
        yield from by_keys(written, RESULTS, printed, _plain(computed))
    for name, text in results_texts(written.run, written.production).items():
        if (written.folder / name).is_file():
            yield from check_text_file(written, name, text)


def check_text_file(written: Written, name: str, text: str) -> Findings:
    """Compare one table file by its bytes, or by its columns if they differ."""
    found = written.text(name)
    if found == text:
        yield held(name)
        return
    differing = Compared()
    if name.endswith(".csv"):
        try:
            differing = compare(csv_records(found), csv_records(text), CONDITIONAL)
        except csv.Error as error:
            yield fault(name, f" cannot be read: {error}")
            return
    else:
        read = markdown_tables if name.endswith(".md") else tex_tables
        compare_tables(read(found), read(text), differing)
        plain = [line for line in found.splitlines() if not line.startswith("|")]
        if (
            written.same_code
            and not differing.wrong
            and plain != [line for line in text.splitlines() if not line.startswith("|")]
        ):
            yield fault(name, ": its text differs from what this version writes for this run")
            return
        if not written.same_code:
            differing.worded.append("sentences")
    yield from describe(written, name, differing)


def check_cost(written: Written) -> Findings:
    """Check the cost scenarios against ledger and log, and against the production section of the memo."""
    if not (written.folder / COST).is_file():
        return
    record = written.record(COST)
    try:
        production, sha = stated(record), record["sponsor_sha256"]
    except (KeyError, TypeError, InputError) as error:
        yield fault(COST, f" cannot be read: {error if isinstance(error, InputError) else type(error).__name__}")
        return
    computed = cost_record(written.run, production, sha)
    yield from by_keys(written, COST, {**record, "smoothcert": computed["smoothcert"]}, computed)
    if production != written.production:
        yield fault(COST, ": production is not the section that the memo was written with")


def check_figures(written: Written) -> Findings:
    """Check the numbers of the figures, and the drawings if the same code and libraries wrote them."""
    if not (written.folder / FIGURES).is_file():
        return
    record, run = written.record(FIGURES), written.run
    try:
        changes = {each.name: each.median for each in run.changes} if record["image_units"] else None
        radius = float(record["classes"][0]["radius"])
        computed = _plain(figure_data(run, changes, radius))
    except (ValueError, KeyError, TypeError, IndexError, InputError) as error:
        yield fault(FIGURES, f" cannot be read: {error if isinstance(error, InputError) else type(error).__name__}")
        return
    yield from by_keys(written, FIGURES, record, computed)
    if written.same_libraries:
        yield from _drawings(written, changes, radius)


def _drawings(written: Written, changes: Mapping[str, float] | None, radius: float) -> Findings:
    with tempfile.TemporaryDirectory(prefix="smoothcert-verify-") as place:
        try:
            drawn = write_figures(written.run, Path(place), changes, radius)
        except MissingExtraError as missing:
            yield note("figures", f": the figures were not drawn again. {missing}")
            return
        for path in drawn:
            name = f"figures/{path.name}"
            if name == FIGURES or not (written.folder / name).is_file():
                continue
            same = path.read_bytes() == written.bytes(name)
            yield held(name) if same else fault(name, " does not show the numbers of this run")


def check_certificates(written: Written) -> Findings:
    """Check `certificates.parquet`: the columns that this version knows, row by row."""
    if not (written.folder / CERTIFICATES).is_file():
        return
    try:
        import pyarrow
        from pyarrow.parquet import ParquetFile
    except ImportError:
        missing = MissingExtraError(CERTIFICATES, "report")
        yield note(CERTIFICATES, f": not checked. {missing}")
        return
    try:
        with open_regular(written.folder / CERTIFICATES) as file:
            yield from describe(written, CERTIFICATES, _columns(written, ParquetFile(file)))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        yield fault(CERTIFICATES, f" cannot be read: {type(error).__name__}")


def _columns(written: Written, file: ParquetFile) -> Compared:
    run, found = written.run, Compared()
    rows, wanted = file.metadata.num_rows, len(run.spec.request.k) * len(run.ledger.lines)
    if rows != wanted:
        found.wrong.append(f"{rows:,} rows instead of {wanted:,}")
        return found
    known: list[str] = []
    ahead = _blocks(file)
    for block in parts(run):
        if not known:
            known = [name for name in block if name in file.schema_arrow.names]
            found.unknown += [name for name in file.schema_arrow.names if name not in block]
            found.absent += [name for name in block if name not in known]
        theirs = ahead(len(block["index"]))
        for name in known:
            if name not in found.wrong and not _equal(theirs[name], block[name]):
                found.wrong.append(name)
    return found


def _blocks(file: ParquetFile) -> Callable[[int], dict[str, list[Any]]]:
    """Return a function that reads the next `rows` rows."""
    import pyarrow

    batches, held_back = file.iter_batches(), [pyarrow.table({name: [] for name in file.schema_arrow.names})]

    def read(rows: int) -> dict[str, list[Any]]:
        parts = [each for each in held_back if len(each)]
        while sum(map(len, parts)) < rows:
            batch = next(batches, None)
            if batch is None:
                raise ValueError("fewer rows than the file states")
            parts.append(pyarrow.Table.from_batches([batch]))
        whole = pyarrow.concat_tables(parts)
        held_back[:] = [whole.slice(rows)]
        return dict(whole.slice(0, rows).to_pydict())

    return read


def _equal(written: list[Any], computed: Any) -> bool:
    ours = computed.tolist() if isinstance(computed, np.ndarray) else list(computed)
    if written == ours:
        return True
    try:
        return bool(np.all(np.abs(np.asarray(written, dtype=float) - np.asarray(ours, dtype=float)) < MICRO)) and any(
            isinstance(value, float) for value in ours
        )
    except (TypeError, ValueError):
        return False


def _plain(record: Any) -> Any:
    return json.loads(json.dumps(record))
