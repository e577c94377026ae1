"""``FILE.csv`` and ``FILE.parquet``: a manifest lists each image file with its label and further columns."""

from __future__ import annotations

import csv
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smoothcert.data.checks import IntArray, listed, quoted_name
from smoothcert.data.folder import Listing
from smoothcert.errors import DataError, MissingExtraError, printable

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
            raise DataError(f"no column {quoted_name(name)}; the columns are {listed(self.columns)}.")
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
        raise DataError(f"the column {quoted_name(nested[0])} holds lists or tables; one value a row is expected.")
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


NOT_STATED = "not stated"
"""What an empty value of a subgroup column is called."""

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_WHOLE, _FRACTION = re.compile(r"-?[0-9]{1,9}"), re.compile(r"-?[0-9]+\.[0-9]*|-?[0-9]*\.[0-9]+|nan", re.IGNORECASE)


def list_manifest(path: Path, split: str | None, subgroups: tuple[str, ...]) -> Listing:
    """The images a manifest names, in its order.

    Columns: `path` (relative to the manifest, or absolute), `label` (class names, or integers 0..c-1), optionally
    `group` and `split`. Classes are found in all rows, so that a class has one number in every split: names sorted, or
    digits up to the largest number. Nothing is fetched from the network.

    Args:
        path: a file that `read_table` reads.
        split: the rows wanted, by the column `split`; None where all rows are.
        subgroups: further columns wanted.

    Raises:
        DataError: a column, file or label is missing, a path occurs twice, or it is not said which split is wanted.
        MissingExtraError: Parquet without pyarrow.
    """
    reference = f"{path}#{split}" if split else str(path)
    try:
        table = read_table(path)
        files, texts = table.column("path"), table.column("label")
        columns = {name: table.column(name) for name in subgroups}
        labels, names = _classes(texts, table.lines)
        wanted = _rows(table, split, path.name)
        part = table.rows(wanted)
        groups = _stated(part, "group") if "group" in part.columns else None
        return Listing(
            reference=reference,
            paths=_files([files[i] for i in wanted], part.lines, path.parent),
            labels=labels[wanted],
            class_names=names,
            groups=groups,
            subgroups={name: tuple(values[i] or NOT_STATED for i in wanted) for name, values in columns.items()},
        )
    except DataError as error:
        raise DataError(f"{printable(reference)}: {error}") from None


def _classes(texts: tuple[str, ...], lines: tuple[int, ...]) -> tuple[IntArray, tuple[str, ...]]:
    """Labels (n,) of all rows, and class names."""
    for text, line in zip(texts, lines, strict=True):
        if not text:
            raise DataError(f"line {line}: the label is empty; label the image or leave its row out.")
    if all(_WHOLE.fullmatch(text) for text in texts):
        return _numbers(texts, lines)
    if all(_WHOLE.fullmatch(text) or _FRACTION.fullmatch(text) for text in texts):
        wrong = next(i for i, text in enumerate(texts) if _FRACTION.fullmatch(text))
        raise DataError(
            f"line {lines[wrong]}: the label {texts[wrong]} is neither a class name nor a whole number; write 0, 1, 2."
        )
    names = tuple(sorted(set(texts)))
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[text] for text in texts], np.int64), names


def _numbers(texts: tuple[str, ...], lines: tuple[int, ...]) -> tuple[IntArray, tuple[str, ...]]:
    labels = np.array([int(text) for text in texts], np.int64)
    if labels.min() < 0:
        where = int(np.argmin(labels))
        raise DataError(
            f"line {lines[where]}: labels must be 0..c-1, got {labels[where]}; leave out rows without a label."
        )
    if labels.max() >= 100_000:
        raise DataError(f"label {labels.max()} is too large for a number of a class; number the classes from 0.")
    return labels, tuple(str(label) for label in range(int(labels.max()) + 1))


def _rows(table: Table, split: str | None, name: str) -> list[int]:
    """Places of the rows wanted."""
    if split is None and "split" not in table.columns:
        return list(range(len(table.lines)))
    values = table.column("split")
    found = list(dict.fromkeys(values))
    known = listed(value or "(empty)" for value in found)
    if split is None:
        if len(found) > 1:
            first = quoted_name(next(filter(None, found)))
            raise DataError(f"the column split has {known}; name one: {quoted_name(name)}#{first}.")
        return list(range(len(values)))
    rows = [i for i, value in enumerate(values) if value == split]
    if not rows:
        raise DataError(f"no row has split {quoted_name(split)}; the column has {known}.")
    return rows


def _stated(table: Table, name: str) -> tuple[str, ...]:
    for value, line in zip(table.columns[name], table.lines, strict=True):
        if not value:
            raise DataError(f"line {line}: the {name} is empty; fill it in every row, or leave the column out.")
    return table.columns[name]


def _files(texts: list[str], lines: tuple[int, ...], folder: Path) -> tuple[Path, ...]:
    for text, line in zip(texts, lines, strict=True):
        if not text:
            raise DataError(f"line {line}: the path is empty; name the image file or leave the row out.")
        if _URL.match(text):
            raise DataError(f"line {line}: {quoted_name(text)} is an address; download the image and name its file.")
    paths = tuple(folder / text for text in texts)
    _check_distinct(paths, texts, lines)
    _check_there(paths, texts)
    return paths


def _check_distinct(paths: tuple[Path, ...], texts: list[str], lines: tuple[int, ...]) -> None:
    seen: dict[str, int] = {}
    for path, text, line in zip(paths, texts, lines, strict=True):
        before = seen.setdefault(os.path.normpath(path), line)
        if before != line:
            raise DataError(
                f"lines {before} and {line} name the same file, {quoted_name(text)}; each image may be listed once."
            )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long for any file
        return False


def _check_there(paths: tuple[Path, ...], texts: list[str]) -> None:
    missing = [text for path, text in zip(paths, texts, strict=True) if not _is_file(path)]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(paths):,} files are not there ({listed(missing)}); "
            "paths are relative to the manifest's own folder."
        )
