from pathlib import Path

import pytest

from networks import write_factory, write_grey_images, write_random_images, write_resnet


@pytest.fixture
def grey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Images told apart by their grey level; the working directory holds their classifiers, `nets:NAME`."""
    write_factory(tmp_path)
    monkeypatch.chdir(tmp_path)
    return write_grey_images(tmp_path / "grey.npz")


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A random ResNet-8 and random images."""
    folder = tmp_path_factory.mktemp("resnet")
    return write_resnet(folder / "net.safetensors"), write_random_images(folder / "images.npz")
