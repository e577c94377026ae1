"""The lock of a run: one writer or many readers; the operating system releases it on exit.

On POSIX the whole file is locked with `flock`; on Windows, byte ranges far beyond its end: a writer locks all `READERS`
bytes, a reader one of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from smoothcert.errors import EvidenceError
from smoothcert.formats.strict import open_regular

if sys.platform == "win32":
    import msvcrt

    FAR, READERS = 2**30, 64

    @contextmanager
    def locked(file: IO[Any], shared: bool = False) -> Iterator[bool]:
        """Lock an open file until the context ends; otherwise as on POSIX."""
        handle, count = file.fileno(), 1 if shared else READERS
        places = range(FAR, FAR + READERS, count)
        place = next((place for place in places if _range(handle, msvcrt.LK_NBLCK, place, count)), None)
        try:
            yield place is not None
        finally:
            if place is not None:
                _range(handle, msvcrt.LK_UNLCK, place, count)

    def _range(handle: int, mode: int, place: int, count: int) -> bool:
        os.lseek(handle, place, os.SEEK_SET)
        try:
            msvcrt.locking(handle, mode, count)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    @contextmanager
    def locked(file: IO[Any], shared: bool = False) -> Iterator[bool]:
        """Lock an open file until it is closed.

        Args:
            file: the file, open for reading or writing.
            shared: whether other processes may hold a shared lock too.

        Yields:
            Whether the lock was acquired; False if another process holds it.

        Raises:
            OSError: the file system does not support locks.
        """
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            held = True
        except BlockingIOError:
            held = False
        yield held


def is_written(file: Path) -> bool:
    """Whether a process holds the lock file for writing."""
    try:
        with open_regular(file) as opened, locked(opened, shared=True) as held:
            return not held
    except (OSError, EvidenceError):
        return False


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Hold the lock file exclusively.

    Raises:
        EvidenceError: another process is writing the run, or the file system does not support locks.
    """
    if os.path.lexists(file) and not file.is_file():
        raise EvidenceError(
            f"Expected a file at {file}, found something else; move it away and try again.", code="E-RUN-044"
        )
    with ExitStack() as stack:
        opened = stack.enter_context(file.open("a"))
        try:
            held = stack.enter_context(locked(opened))
        except OSError as error:
            raise EvidenceError(
                f"The file system of {file.parent} does not support locks ({error.strerror}), so two processes could "
                "write the run at once. Write it on another file system and copy it when it is done.",
                code="E-RUN-045",
            ) from None
        if not held:
            raise EvidenceError(f"Another process is writing {file.parent}. Wait for it, or stop it.", code="E-RUN-046")
        yield


@contextmanager
def at_rest(file: Path) -> Iterator[None]:
    """Prevent other processes from writing a run; without a lock file, as in an archived copy, do nothing.

    Raises:
        EvidenceError: another process is writing the run.
    """
    with ExitStack() as stack:
        try:
            held = stack.enter_context(locked(stack.enter_context(open_regular(file)), shared=True))
        except (OSError, EvidenceError):  # no lock file, or a file system without locks
            held = True
        if not held:
            raise EvidenceError(
                f"Another process is writing {file.parent}. Wait for it, or interrupt it: nothing is lost.",
                code="E-RUN-047",
            )
        yield
