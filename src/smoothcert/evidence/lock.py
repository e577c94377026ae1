"""Who may touch a run: one process that writes it, or several that read it and need it at rest; a crash lets go.

The lock is the operating system's: `flock` of the whole file or, on Windows, ranges of bytes far behind its end, where
a writer holds all of `READERS` bytes and each reader one of them.
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
        """Lock an open file as on other systems."""
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
        """Lock an open file, for as long as the context lasts and the file is open, or until the process ends.

        Args:
            file: the file; reading it is enough.
            shared: whether others may hold it shared as well.

        Yields:
            Whether it is locked: False where somebody else holds it.

        Raises:
            OSError: the disk keeps no locks.
        """
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            held = True
        except BlockingIOError:
            held = False
        yield held


def is_written(file: Path) -> bool:
    """Whether a process holds a lock file for writing at this moment."""
    try:
        with open_regular(file) as opened, locked(opened, shared=True) as held:
            return not held
    except (OSError, EvidenceError):
        return False


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Hold a lock file for this process alone.

    Raises:
        EvidenceError: another process is writing the run, or the disk keeps no locks.
    """
    if os.path.lexists(file) and not file.is_file():
        raise EvidenceError(f"Expected a file at {file}, found something else; move it away and try again.")
    with ExitStack() as stack:
        opened = stack.enter_context(file.open("a"))
        try:
            held = stack.enter_context(locked(opened))
        except OSError as error:
            raise EvidenceError(
                f"The disk of {file.parent} keeps no locks ({error.strerror}): two processes could write the run at "
                "once. Write it on another disk, and copy it when it is done."
            ) from None
        if not held:
            raise EvidenceError(f"Another process is writing {file.parent}. Wait for it, or stop it.")
        yield


@contextmanager
def at_rest(file: Path) -> Iterator[None]:
    """Keep other processes from writing a run, so far as it has a lock file: an archived copy may have none.

    Raises:
        EvidenceError: a process is writing the run.
    """
    with ExitStack() as stack:
        try:
            held = stack.enter_context(locked(stack.enter_context(open_regular(file)), shared=True))
        except (OSError, EvidenceError):  # no lock file, or a network disk that knows no locks
            held = True
        if not held:
            raise EvidenceError(
                f"{file.parent} is being written at this moment. Wait for it, or interrupt it: nothing is lost."
            )
        yield
