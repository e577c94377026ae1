"""What a process can tell of Windows, played on this system; it is loaded after every library that asks which it is.

Modules and names that Windows lacks are gone, `msvcrt` locks ranges of bytes, and an open file is not moved, replaced
or removed.
"""

import os
import signal
import sys
from types import ModuleType

ABSENT = ("fcntl", "grp", "pwd", "resource", "termios")
NAMES = {
    os: (
        *("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "fork", "getuid", "geteuid", "getloadavg"),
        *("pread", "pwrite", "sched_getaffinity", "sysconf", "uname", "killpg", "setsid", "fchmod", "fchown"),
    ),
    signal: ("SIGHUP", "SIGKILL", "SIGXCPU", "SIGALRM", "SIGUSR1"),
}
LOCKS: dict[tuple[int, int], dict[tuple[int, int], int]] = {}
"""File -> range of bytes -> the handle that locked it."""
LK_UNLCK, LK_NBLCK = 0, 2


def become() -> None:
    """Make this process look like one on Windows."""
    for name in ABSENT:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it raises ImportError
    for module, names in NAMES.items():
        for name in names:
            delattr(module, name)
    for name in ("rename", "replace", "remove", "unlink", "rmdir"):
        setattr(os, name, refusing_open_files(getattr(os, name)))
    msvcrt = ModuleType("msvcrt")
    vars(msvcrt).update(LK_UNLCK=LK_UNLCK, LK_NBLCK=LK_NBLCK, locking=locking)
    sys.modules["msvcrt"] = msvcrt
    sys.platform = "win32"


def locking(handle: int, mode: int, count: int) -> None:
    """Lock or unlock bytes from the place of a handle on, as LockFile does: alone, by handle, behind the end too."""
    found = os.fstat(handle)
    start = os.lseek(handle, 0, os.SEEK_CUR)
    held = LOCKS.setdefault((found.st_dev, found.st_ino), {})
    if mode == LK_UNLCK:
        if held.pop((start, start + count), None) != handle:
            raise PermissionError(13, "Permission denied")
    elif any(start < end and begin < start + count for begin, end in held):
        raise PermissionError(13, "Permission denied")
    else:
        held[start, start + count] = handle


def refusing_open_files(change):
    """Refuse to change what this process has open, or a folder of it; a target that exists only with `replace`."""

    def changed(*paths, **settings):
        if change.__name__ == "rename" and os.path.lexists(paths[1]):
            raise FileExistsError(183, "Cannot create a file when that file already exists")
        places = [os.path.realpath(path) for path in paths if not isinstance(path, int)]
        opened = [os.path.realpath(f"/proc/self/fd/{handle}") for handle in os.listdir("/proc/self/fd")]
        if settings.get("dir_fd") is None and any(
            each == place or each.startswith(f"{place}{os.sep}") for each in opened for place in places
        ):
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        return change(*paths, **settings)

    return changed
