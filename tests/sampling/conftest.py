import pytest


@pytest.fixture(autouse=True)
def quick(one_thread: None) -> None:
    """Every test here runs on one thread unless it asks for more."""
