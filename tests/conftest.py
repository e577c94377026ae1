"""Shared fixtures: where the real data lie, and tiny classifiers and images for tests that need none."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real images and published results; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("SMOOTHCERT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the shared data (set SMOOTHCERT_DATA), not found in {folder}")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny networks run fastest on one thread, and the same everywhere; a test may ask for more."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
