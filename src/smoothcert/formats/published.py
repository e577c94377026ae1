"""Files published by others: per-image certification logs and class counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smoothcert.errors import EvidenceError

COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")


@dataclass(frozen=True, eq=False)
class PublishedLog:
    """A per-image log in the format of the code of Cohen et al. (2019, arXiv:1902.02918): printed radii, no votes.

    Attributes:
        name: file name.
        radius: float (m,): printed radii.
        correct: bool (m,): whether the returned class is the reference label.
        abstained: bool (m,): whether the procedure abstained (predict = -1 in the file).
    """

    name: str
    radius: NDArray[np.float64]
    correct: NDArray[np.bool_]
    abstained: NDArray[np.bool_]

    def certified(self, r: float) -> int:
        """Return the number of images certified-correct at radius r."""
        return int((self.correct & (self.radius >= r)).sum())


def read_log(path: Path) -> PublishedLog:
    """Read a published per-image log.

    Raises:
        EvidenceError: the file is missing, empty, or a row does not have the published columns.
    """
    rows = [line.split("\t") for line in _lines(path)]
    if not rows or tuple(rows[0]) != COLUMNS:
        raise EvidenceError(
            f"Expected the tab-separated columns {' '.join(COLUMNS)} in {path}, got another file.", code="E-RUN-056"
        )
    radii, correct, predicted = [], [], []
    for number, row in enumerate(rows[1:], 2):
        try:
            _, _, guess, r, right, _ = row
            radii.append(float(r))
            correct.append(bool(int(right)))
            predicted.append(int(guess))
        except ValueError:
            raise EvidenceError(
                f"Line {number} of {path}: expected {len(COLUMNS)} columns, got {row}.", code="E-RUN-057"
            ) from None
    if not radii:
        raise EvidenceError(f"Expected at least one image in {path}, found none.", code="E-RUN-058")
    return PublishedLog(path.name, np.array(radii), np.array(correct), np.array(predicted) < 0)


def read_counts(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read class counts: one line per image, c counts and then the label.

    Returns:
        Counts, int (m, c), and labels, int (m,).

    Raises:
        EvidenceError: the file is missing or empty, a line is not whole numbers, lines differ in length, or a label
            is not one of the classes.
    """
    table: list[list[int]] = []
    for number, line in enumerate(_lines(path), 1):
        try:
            row = [int(word) for word in line.replace(",", " ").split()]
        except ValueError:
            raise EvidenceError(
                f"Line {number} of {path}: expected whole numbers, got {line[:60]!r}.", code="E-RUN-059"
            ) from None
        width = len(table[0]) if table else len(row)
        if len(row) != width or width < 3 or min(row) < 0 or row[-1] >= width - 1 or sum(row) >= 2**53:
            raise EvidenceError(
                f"Line {number} of {path}: expected {max(width, 3) - 1} counts of 0 or more, below 2^53 in all, and "
                f"then a label from 0 to {max(width, 3) - 2}, got {line[:60]!r}.",
                code="E-RUN-060",
            )
        table.append(row)
    if not table:
        raise EvidenceError(f"Expected class counts in {path}, found an empty file.", code="E-RUN-061")
    array = np.array(table, dtype=np.int64)
    return array[:, :-1], array[:, -1]


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise EvidenceError(f"Cannot read {path}: {reason}.", code="E-RUN-017") from None
    return [line for line in text.splitlines() if line.strip()]
