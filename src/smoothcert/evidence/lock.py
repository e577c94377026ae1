"""Who may touch a run: one process that writes it, or several that read it and need it at rest; a crash lets go."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from smoothcert.errors import EvidenceError
from smoothcert.formats.strict import open_regular


def is_written(file: Path) -> bool:
    """Whether a process holds a lock file for writing at this moment."""
    try:
        with open_regular(file) as held:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, EvidenceError):
        return False
    return False


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Hold a lock file for this process alone.

    Raises:
        EvidenceError: another process is writing the run, or the disk keeps no locks.
    """
    if os.path.lexists(file) and not file.is_file():
        raise EvidenceError(f"Expected a file at {file}, found something else; move it away and try again.")
    with file.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EvidenceError(f"Another process is writing {file.parent}. Wait for it, or stop it.") from None
        except OSError as error:
            raise EvidenceError(
                f"The disk of {file.parent} keeps no locks ({error.strerror}): two processes could write the run at "
                "once. Write it on another disk, and copy it when it is done."
            ) from None
        yield


@contextmanager
def at_rest(file: Path) -> Iterator[None]:
    """Keep other processes from writing a run, so far as it has a lock file: an archived copy may have none.

    Raises:
        EvidenceError: a process is writing the run.
    """
    with ExitStack() as stack:
        try:
            held = stack.enter_context(open_regular(file))
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EvidenceError(
                f"{file.parent} is being written at this moment. Wait for it, or interrupt it: nothing is lost."
            ) from None
        except (OSError, EvidenceError):  # no lock file, or a network disk that knows no locks
            pass
        yield
