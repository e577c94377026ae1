"""Faults brought about in a child process before it runs (`Process(before=...)`), and a count of what they cost."""

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from smoothcert.errors import EvidenceError
from smoothcert.formats.line import parse_line


@dataclass
class Tally:
    """How often each fault was brought about, and how many ledger lines it cost; printed at the end of the tests.

    A line is lost if it was whole on the disk before the fault and is not there afterwards; it is wrong if it is not
    the line of a run that nothing disturbed, apart from time, worker and duration.
    """

    times: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    def count(self, fault: str, before: bytes, after: bytes, undisturbed: set[str], times: int = 1) -> None:
        """Count a fault, given the ledger's bytes before and after it; raise where a line was lost or is wrong."""
        self.times[fault] += times
        here = set(after.split(b"\n"))
        self.lost[fault] += sum(line not in here for line in before.splitlines())
        self.wrong[fault] += sum(
            sealed(line) not in undisturbed for line in after[: after.rfind(b"\n") + 1].splitlines()
        )
        assert self.lost[fault] == self.wrong[fault] == 0, fault

    def table(self) -> str:
        """The table in Markdown."""
        rows = [f"| {name} | {n} | {self.lost[name]} | {self.wrong[name]} |" for name, n in sorted(self.times.items())]
        return "\n".join(["| fault | times | lines lost | lines wrong |", "|---|---|---|---|", *rows])


TALLY = Tally()


def sealed(line: bytes) -> str | None:
    """A ledger line without what may differ between equal runs; None for one that cannot be read."""
    try:
        return parse_line(line.decode()).to_json(seal=True)
    except (EvidenceError, UnicodeDecodeError):
        return None


@dataclass(frozen=True)
class Fails:
    """A call of `os` on files with a certain ending raises, from one call on and for some calls.

    Args:
        call: name of a function of `os`: fsync, replace or rename.
        ending: of the file's name.
        number: of the error.
        after: calls that succeed before.
    """

    call: str
    ending: str
    number: int
    after: int = 0

    def __call__(self) -> None:
        whole: Callable[..., Any] = getattr(os, self.call)
        seen = 0

        def call(target: Any, *more: Any, **words: Any) -> Any:
            nonlocal seen
            name = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else str((target, *more)[-1])
            if name.endswith(self.ending):
                seen += 1
                if seen > self.after:
                    raise OSError(self.number, os.strerror(self.number), name)
            return whole(target, *more, **words)

        setattr(os, self.call, call)


@dataclass(frozen=True)
class ClockJumps:
    """The clock of the run's records jumps by some hours, a while after the process has begun; and so does time.time.

    Args:
        hours: forward, or backward where negative.
        after: seconds until it jumps.
    """

    hours: float
    after: float = 0.0

    def __call__(self) -> None:
        import smoothcert.evidence.events as events

        began, plain, jump = time.monotonic(), time.time, self

        def seconds() -> float:
            return 3600 * jump.hours if time.monotonic() - began >= jump.after else 0.0

        class Jumping(datetime):
            """What a process sees whose clock is set."""

            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz or UTC) + timedelta(seconds=seconds())

        events.datetime = Jumping  # type: ignore[misc, attr-defined]
        time.time = lambda: plain() + seconds()


def fill(folder: Path, leave: int = 0) -> Path:
    """Fill a small disk but for some bytes; return the file that does."""
    stuffing = folder / "stuffing"
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    with stuffing.open("wb") as file:
        for size in (2**20, 4096):
            while free - file.tell() - size >= leave:
                try:
                    file.write(bytes(size))
                    file.flush()
                except OSError:
                    return stuffing
    return stuffing
