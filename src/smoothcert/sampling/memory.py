"""The memory allocator: keep freed blocks, so that each forward pass does not fetch its pages anew from the kernel."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 1 << 30


def keep_freed_memory() -> bool:
    """Raise glibc's mmap and trim thresholds to 1 GiB; return whether that was possible.

    On two cores an eager bf16 ResNet-20 at batch 512 runs 1.6 to 1.9 times faster a CPU-second for it.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, _KEEP) == 1 for name in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD))
