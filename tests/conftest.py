"""What every test stands on: chance is pinned, one thread computes, and real data lie where the environment says."""

import os
import random
import secrets
import signal
import sys
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: fastest for tiny networks, and the same on every machine

import numpy as np
import pytest
from hypothesis import register_random, settings

ROOT = Path(__file__).parents[1]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell's background job; children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("pinned", derandomize=True, database=None, deadline=None)
settings.register_profile("random", max_examples=500, print_blob=True, deadline=None)
settings.load_profile("pinned")  # --hypothesis-profile=random (make test-slow) is read later and wins

CHANCE = random.Random()
"""Stands in for the operating system's entropy."""

_default_rng = np.random.default_rng
register_random(CHANCE)
secrets.randbits = CHANCE.getrandbits
np.random.default_rng = lambda seed=None: _default_rng(CHANCE.getrandbits(64) if seed is None else seed)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Before the fixtures of a test: every generator starts anew, whatever ran before; torch computes on one thread."""
    CHANCE.seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real images and published results; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("SMOOTHCERT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the shared data (set SMOOTHCERT_DATA), not found in {folder}")
    return folder
