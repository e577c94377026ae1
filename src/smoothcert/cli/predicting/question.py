"""What is asked of a bundle, with every default filled in, or refused where flags contradict each other."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from smoothcert.cli.predict import Asked
from smoothcert.errors import InputError, printable
from smoothcert.evidence.bundle.record import Bundle
from smoothcert.stats import prediction_looks

N_MAX, RADII = 10_000, (0.25, 0.5, 1.0)
"""With --certify, where the bundle names no run: copies at most and radii."""


@dataclass(frozen=True)
class Question:
    """What was asked of a bundle, with every default filled in.

    Attributes:
        k: size of the answer.
        alpha: probability, at most, that one answer is not the smoothed classifier's.
        n: noisy copies an image at most.
        radii: None for a prediction; with a certificate, the radii to decide.
    """

    k: int
    alpha: float
    n: int
    radii: tuple[float, ...] | None

    @property
    def certify(self) -> bool:
        """Whether certificates are asked for."""
        return self.radii is not None


def question_of(bundle: Bundle, asked: Asked) -> Question:
    """Fill in what was left out: what the bundle says, or the run that certified it."""
    alpha = bundle.alpha if asked.alpha is None else asked.alpha
    if not asked.certify:
        n = bundle.n if asked.n is None else asked.n
        prediction_looks(n, alpha)  # refuses an n that can never decide
        return Question(asked.k, alpha, n, None)
    certified = bundle.certified
    usual = (certified.n_max, certified.radii) if certified else (N_MAX, RADII)
    n_max = usual[0] if asked.n_max is None else asked.n_max
    return Question(asked.k, alpha, n_max, asked.radius or usual[1])


def form_of(asked: Asked) -> str:
    """Return table, csv or json: what is asked for, or what the file is called."""
    if asked.out is None:
        return asked.format or "table"
    ending = asked.out.suffix.lower().removeprefix(".")
    if asked.format is None and ending not in ("csv", "json"):
        raise InputError(f"--out: expected a file name ending in .csv or .json, got {printable(str(asked.out))}.")
    return asked.format or ending


def check_flags(images: Sequence[Path], asked: Asked) -> None:
    """Refuse flags that contradict each other, and a place to write that cannot be."""
    if not images:
        raise InputError("Name image files, or a folder of them.")
    if asked.certify and asked.n is not None:
        raise InputError("--n counts the copies of a prediction; with --certify use --n-max.")
    if not asked.certify and (asked.radius or asked.n_max is not None):
        raise InputError("--radius and --n-max belong to --certify; add it, or leave them out.")
    if asked.out is not None and not asked.out.absolute().parent.is_dir():
        raise _no_place(asked.out, "lies in a folder that does not exist")


@contextmanager
def reserved(out: Path) -> Iterator[Callable[[str], None]]:
    """Keep a place for the answers, so that no other process writes there meanwhile; a crash lets go of it.

    Yields:
        What writes the answers beside the place and moves them there in one step.

    Raises:
        InputError: there is a file already, or another process is about to write it.
    """
    beside = out.with_name(f".{out.name}.part")
    with beside.open("a+b") as file:
        with suppress(OSError):  # a network disk may know no locks
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mine = beside.exists() and os.path.samestat(beside.stat(), os.fstat(file.fileno()))
            except BlockingIOError:
                mine = False
            if not mine:
                raise _no_place(out, "is being written by another process")
        if out.exists():
            beside.unlink(missing_ok=True)
            raise _no_place(out, "exists, and nothing is overwritten")

        def write(text: str) -> None:
            file.truncate(0)  # what a process left that was killed
            file.write(f"{text}\n".encode())
            file.flush()
            os.fsync(file.fileno())
            os.replace(beside, out)

        try:
            yield write
        finally:
            beside.unlink(missing_ok=True)


def _no_place(out: Path, trouble: str) -> InputError:
    return InputError(f"--out: {printable(str(out))} {trouble}. Choose another name.")
