"""``FILE.csv`` and ``FILE.parquet``: a manifest names each image file with its label, and what else is known of it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from smoothcert.data.checks import IntArray
from smoothcert.data.listing import Listing
from smoothcert.data.names import listed, shown
from smoothcert.data.table import Table, read_table
from smoothcert.errors import DataError, printable

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
            first = shown(next(filter(None, found)))
            raise DataError(f"the column split has {known}; name one: {shown(name)}#{first}.")
        return list(range(len(values)))
    rows = [i for i, value in enumerate(values) if value == split]
    if not rows:
        raise DataError(f"no row has split {shown(split)}; the column has {known}.")
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
            raise DataError(f"line {line}: {shown(text)} is an address; download the image and name its file.")
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
                f"lines {before} and {line} name the same file, {shown(text)}; each image may be listed once."
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
