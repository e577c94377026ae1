"""Pre-emption: SIGTERM counts as Ctrl-C, so that what is at work stops at a place from which it can go on.

SIGHUP, a closed terminal, is left as it is: the process ends at once, as it would by `kill -9`, and loses as little.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def terminated_is_interrupted() -> Iterator[None]:
    """Treat the first SIGTERM like Ctrl-C, so that pre-emption loses nothing; others do not disturb the stopping."""

    def interrupt(_: int, __: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.stderr.flush()
