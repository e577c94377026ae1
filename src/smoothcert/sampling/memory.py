"""The memory allocator: keep freed blocks, so that each forward pass does not fetch its pages anew from the kernel."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 1 << 30


def keep_freed_memory() -> bool:
    """Raise glibc's mmap and trim thresholds to 1 GiB; return whether that was possible.

    Measured on two cores, eager folded bf16 ResNet-20, batch 512: 1.3 times as many copies a CPU-second channels-last,
    1.7 times in the usual layout.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, _KEEP) == 1 for name in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))
