"""``FILE.csv`` and ``FILE.parquet``: manifests, which list image files with their labels and further columns."""

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
"""Most rows, and bytes of text in total, of a Parquet file; a tiny file can declare any number of them."""


@dataclass(frozen=True)
class Table:
    """A table as text.

    Args:
        columns: the values of each column by its name, all of one length.
        lines: position of each row in the file, from 1: its line in CSV, its row number in Parquet.
    """

    columns: dict[str, tuple[str, ...]]
    lines: tuple[int, ...]

    def column(self, name: str) -> tuple[str, ...]:
        """Return the values of a column.

        Raises:
            DataError: there is no such column; the message lists the columns.
        """
        if name not in self.columns:
            raise DataError(f"no column {quoted_name(name)}; available: {listed(self.columns)}.", code="E-DATA-071")
        return self.columns[name]

    def rows(self, indices: list[int]) -> Table:
        """Return the table of some rows."""
        columns = {name: tuple(values[i] for i in indices) for name, values in self.columns.items()}
        return Table(columns, tuple(self.lines[i] for i in indices))


def read_table(path: Path) -> Table:
    """Read ``FILE.csv`` or ``FILE.parquet``; whitespace around names and values is removed.

    CSV is UTF-8 with or without byte order mark, separated by commas, semicolons or tabs; values that contain the
    separator are quoted.

    Raises:
        DataError: the file is missing or damaged, or has no rows.
        MissingExtraError: Parquet needs pyarrow, from the extra `report`.
    """
    if not path.is_file():
        what = "expected a manifest, got a folder" if path.is_dir() else "no such file"
        raise DataError(f"{what}; use the path of a CSV or Parquet file.", code="E-DATA-072")
    table = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    if not table.lines:
        raise DataError("the table has no rows; list at least one image.", code="E-DATA-073")
    return table


def _csv(path: Path) -> Table:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError("the file is not UTF-8 text; save it as CSV UTF-8.", code="E-DATA-074") from None
    except OSError as error:
        raise DataError(f"the file cannot be read ({error.strerror}).", code="E-DATA-075") from None
    try:
        return _parsed(text)
    except csv.Error as error:
        raise DataError(f"the file is not a valid CSV table ({error}); save it again.", code="E-DATA-076") from None


def _parsed(text: str) -> Table:
    separator = max(
        SEPARATORS, key=lambda each: len(next(csv.reader(io.StringIO(text, newline=""), delimiter=each), []))
    )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    names = [name.strip() for name in next(reader, [])]
    if not names or "" in names or len(set(names)) != len(names):
        raise DataError(f"expected a first line of distinct column names, got {listed(names)!r}.", code="E-DATA-077")
    rows, lines = [], []
    for row in reader:
        if not any(value.strip() for value in row):
            continue
        if len(row) != len(names):
            raise DataError(
                f"line {reader.line_num}: expected {len(names)} values, got {len(row)}; quote values that contain "
                f"{separator!r}.",
                code="E-DATA-078",
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
        raise DataError(
            f"the file is not a valid Parquet table ({type(error).__name__}); write it again.", code="E-DATA-079"
        ) from None
    texts = {
        name: tuple("" if value is None else str(value).strip() for value in column) for name, column in columns.items()
    }
    return Table(texts, tuple(range(1, read.num_rows + 1)))


def _checked_schema(file: Any) -> list[str]:
    """Return the names of the text columns; raise DataError, before values are read, if it cannot be a manifest."""
    from pyarrow import types

    if file.metadata.num_rows > MOST_ROWS:
        raise DataError(
            f"the table declares {file.metadata.num_rows:,} rows, but at most {MOST_ROWS:,} are read.",
            code="E-DATA-080",
        )
    nested = [field.name for field in file.schema_arrow if types.is_nested(field.type)]
    if nested:
        raise DataError(
            f"the column {quoted_name(nested[0])} must have one value per row, got lists or tables.", code="E-DATA-081"
        )
    return [field.name for field in file.schema_arrow if _is_text(field.type)]


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    stored = kind.value_type if types.is_dictionary(kind) else kind
    known = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(test(stored) for test in known)


def _check_text(read: Any, words: list[str]) -> None:
    """Raise DataError if dictionary-encoded texts would expand to more than `MOST_TEXT` bytes."""
    from pyarrow import compute

    total = 0
    for chunk in (chunk for name in words for chunk in read.column(name).chunks):
        lengths = compute.binary_length(chunk.dictionary).cast("int64")
        total += compute.sum(lengths.take(chunk.indices)).as_py() or 0
    if total > MOST_TEXT:
        raise DataError(
            f"the text columns expand to {total:,} bytes, but at most {MOST_TEXT:,} are read.", code="E-DATA-082"
        )


NOT_STATED = "not stated"
"""Name of the subgroup of rows whose value is empty."""

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_WHOLE, _FRACTION = re.compile(r"-?[0-9]{1,9}"), re.compile(r"-?[0-9]+\.[0-9]*|-?[0-9]*\.[0-9]+|nan", re.IGNORECASE)


def list_manifest(path: Path, split: str | None, subgroups: tuple[str, ...]) -> Listing:
    """List the images of a manifest, in its order.

    Columns: `path` (relative to the manifest, or absolute), `label` (class names, or integers 0..c-1), optionally
    `group` and `split`. Classes are collected from all rows, so that a class has the same number in every split: sorted
    names, or numbers up to the largest. Nothing is downloaded.

    Args:
        path: a file that `read_table` reads.
        split: value of the column `split` of the rows to list, or None if there is only one.
        subgroups: further columns to read.

    Raises:
        DataError: a column, file or label is missing, a path is duplicated, or a split must be chosen.
        MissingExtraError: the file is Parquet, and pyarrow is not installed.
    """
    reference = f"{path}#{split}" if split else str(path)
    try:
        table = read_table(path)
        files, texts = table.column("path"), table.column("label")
        columns = {name: table.column(name) for name in subgroups}
        labels, names = _classes(texts, table.lines)
        rows = _rows(table, split, path.name)
        part = table.rows(rows)
        groups = _stated(part, "group") if "group" in part.columns else None
        return Listing(
            reference=reference,
            paths=_files([files[i] for i in rows], part.lines, path.parent),
            labels=labels[rows],
            class_names=names,
            groups=groups,
            subgroups={name: tuple(values[i] or NOT_STATED for i in rows) for name, values in columns.items()},
        )
    except DataError as error:
        raise DataError(f"{printable(reference)}: {error}", code=error.code) from None


def _classes(texts: tuple[str, ...], lines: tuple[int, ...]) -> tuple[IntArray, tuple[str, ...]]:
    """Return labels (n,) of all rows, and class names."""
    for text, line in zip(texts, lines, strict=True):
        if not text:
            raise DataError(f"line {line}: the label is empty; label the image, or remove the row.", code="E-DATA-083")
    if all(_WHOLE.fullmatch(text) for text in texts):
        return _numbers(texts, lines)
    if all(_WHOLE.fullmatch(text) or _FRACTION.fullmatch(text) for text in texts):
        wrong = next(i for i, text in enumerate(texts) if _FRACTION.fullmatch(text))
        raise DataError(
            f"line {lines[wrong]}: labels must be class names or integers, got {texts[wrong]}; write 0, 1, 2.",
            code="E-DATA-084",
        )
    names = tuple(sorted(set(texts)))
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[text] for text in texts], np.int64), names


def _numbers(texts: tuple[str, ...], lines: tuple[int, ...]) -> tuple[IntArray, tuple[str, ...]]:
    labels = np.array([int(text) for text in texts], np.int64)
    if labels.min() < 0:
        where = int(np.argmin(labels))
        raise DataError(
            f"line {lines[where]}: labels must be 0..c-1, got {labels[where]}; remove rows without a label.",
            code="E-DATA-085",
        )
    if labels.max() >= 100_000:
        raise DataError(
            f"label {labels.max()} is too large for a class number; number the classes from 0.", code="E-DATA-086"
        )
    return labels, tuple(str(label) for label in range(int(labels.max()) + 1))


def _rows(table: Table, split: str | None, name: str) -> list[int]:
    """Return the indices of the rows of a split."""
    if split is None and "split" not in table.columns:
        return list(range(len(table.lines)))
    values = table.column("split")
    found = list(dict.fromkeys(values))
    known = listed(value or "(empty)" for value in found)
    if split is None:
        if len(found) > 1:
            first = quoted_name(next(filter(None, found)))
            raise DataError(
                f"the column split has the values {known}; choose one: {quoted_name(name)}#{first}.", code="E-DATA-087"
            )
        return list(range(len(values)))
    rows = [i for i, value in enumerate(values) if value == split]
    if not rows:
        raise DataError(f"no row has the split {quoted_name(split)}; available: {known}.", code="E-DATA-088")
    return rows


def _stated(table: Table, name: str) -> tuple[str, ...]:
    for value, line in zip(table.columns[name], table.lines, strict=True):
        if not value:
            raise DataError(
                f"line {line}: the {name} is empty; fill it in for every row, or remove the column.", code="E-DATA-089"
            )
    return table.columns[name]


def _files(texts: list[str], lines: tuple[int, ...], folder: Path) -> tuple[Path, ...]:
    for text, line in zip(texts, lines, strict=True):
        if not text:
            raise DataError(
                f"line {line}: the path is empty; write the path of the image, or remove the row.", code="E-DATA-090"
            )
        if _URL.match(text):
            raise DataError(
                f"line {line}: {quoted_name(text)} is a URL; download the image and write its path.", code="E-DATA-091"
            )
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
                f"lines {before} and {line} list the same file, {quoted_name(text)}; list each image once.",
                code="E-DATA-092",
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
            f"{len(missing):,} of {len(paths):,} files do not exist ({listed(missing)}); "
            "paths are relative to the folder of the manifest.",
            code="E-DATA-093",
        )
