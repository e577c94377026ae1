"""Tables with named columns, from CSV or Parquet, as text."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smoothcert.data.names import listed, shown
from smoothcert.errors import DataError, MissingExtraError

SEPARATORS = (",", ";", "\t")
MOST_ROWS, MOST_TEXT = 5_000_000, 2**28
"""Rows, and bytes of text in all, that a Parquet file may unpack to: a few kilobytes can claim any number of them."""


@dataclass(frozen=True)
class Table:
    """A table as text.

    Args:
        columns: the values of each column by its name, all of one length.
        lines: where each row is found in the file, from 1: its line in CSV, its number in Parquet.
    """

    columns: dict[str, tuple[str, ...]]
    lines: tuple[int, ...]

    def column(self, name: str) -> tuple[str, ...]:
        """The values of a column.

        Raises:
            DataError: there is no such column; the message lists those there are.
        """
        if name not in self.columns:
            raise DataError(f"no column {shown(name)}; the columns are {listed(self.columns)}.")
        return self.columns[name]

    def rows(self, places: list[int]) -> Table:
        """Some rows."""
        columns = {name: tuple(values[i] for i in places) for name, values in self.columns.items()}
        return Table(columns, tuple(self.lines[i] for i in places))


def read_table(path: Path) -> Table:
    """Read ``FILE.csv`` or ``FILE.parquet``; blanks around names and values do not count.

    CSV is UTF-8 with or without byte order mark, separated by commas, semicolons or tabs, with quotes where a value
    holds one of these.

    Raises:
        DataError: the file is missing or damaged, or has no rows.
        MissingExtraError: Parquet needs pyarrow, from the extra `report`.
    """
    if not path.is_file():
        what = "a folder, not a manifest" if path.is_dir() else "no such file"
        raise DataError(f"{what}; give the path of a CSV or Parquet file.")
    table = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    if not table.lines:
        raise DataError("the table has no rows; at least one image is needed.")
    return table


def _csv(path: Path) -> Table:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("the file is not UTF-8 text; save it as CSV UTF-8.") from None
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror}).") from None
    try:
        return _parsed(text)
    except csv.Error as error:
        raise DataError(f"the file is no CSV table ({error}); save it again.") from None


def _parsed(text: str) -> Table:
    separator = max(
        SEPARATORS, key=lambda each: len(next(csv.reader(io.StringIO(text, newline=""), delimiter=each), []))
    )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names = [name.strip() for name in next(reader, [])]
    if not names or "" in names or len(set(names)) != len(names):
        raise DataError(f"expected a first line of distinct column names, got {listed(names)!r}.")
    rows, lines = [], []
    for row in reader:
        if not any(value.strip() for value in row):
            continue
        if len(row) != len(names):
            raise DataError(
                f"line {reader.line_num}: expected {len(names)} values, got {len(row)}; quote what holds {separator!r}."
            )
        rows.append([value.strip() for value in row])
        lines.append(reader.line_num)
    values = zip(*rows, strict=True) if rows else [() for _ in names]
    return Table(dict(zip(names, values, strict=True)), tuple(lines))


def _parquet(path: Path) -> Table:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise MissingExtraError(f"Reading {path.name}", "report") from None
    try:
        with parquet.ParquetFile(path) as file:
            words = _checked_schema(file)
        with parquet.ParquetFile(path, read_dictionary=words) as file:
            read = file.read()
        _check_text(read, words)
        columns = {str(name).strip(): read.column(i).to_pylist() for i, name in enumerate(read.column_names)}
    except (ArrowException, OSError, ValueError, NotImplementedError, MemoryError) as error:
        raise DataError(f"the file is no readable Parquet table ({type(error).__name__}); write it again.") from None
    texts = {
        name: tuple("" if value is None else str(value).strip() for value in column) for name, column in columns.items()
    }
    return Table(texts, tuple(range(1, read.num_rows + 1)))


def _checked_schema(file: Any) -> list[str]:
    """The names of the columns of text; refuse, before a value is read, tables that no list of images is."""
    from pyarrow import types

    if file.metadata.num_rows > MOST_ROWS:
        raise DataError(f"the table claims {file.metadata.num_rows:,} rows, and at most {MOST_ROWS:,} are read.")
    nested = [field.name for field in file.schema_arrow if types.is_nested(field.type)]
    if nested:
        raise DataError(f"the column {shown(nested[0])} holds lists or tables; one value a row is expected.")
    return [field.name for field in file.schema_arrow if _is_text(field.type)]


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    stored = kind.value_type if types.is_dictionary(kind) else kind
    known = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(test(stored) for test in known)


def _check_text(read: Any, words: list[str]) -> None:
    """Refuse texts that are stored once and named often, before they are written out."""
    from pyarrow import compute

    total = 0
    for chunk in (chunk for name in words for chunk in read.column(name).chunks):
        lengths = compute.binary_length(chunk.dictionary).cast("int64")
        total += compute.sum(lengths.take(chunk.indices)).as_py() or 0
    if total > MOST_TEXT:
        raise DataError(f"its texts take {total:,} bytes, and at most {MOST_TEXT:,} are read.")
