"""Pre-emption: SIGTERM counts as Ctrl-C, so that what is at work stops at a place from which it can go on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def terminated_is_interrupted() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C, so that pre-emption loses nothing."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        sys.stderr.flush()
