from pathlib import Path

import pytest

from engine.tiny import write_factory, write_grey


@pytest.fixture
def grey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve images told apart by their grey level; the working directory holds their classifiers, `nets:NAME`."""
    write_factory(tmp_path)
    monkeypatch.chdir(tmp_path)
    return write_grey(tmp_path / "grey.npz")
