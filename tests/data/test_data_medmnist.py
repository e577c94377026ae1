"""MedMNIST: files as published, class names from the installed package, and where to put a missing file."""

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest

from refusals import refuses
from smoothcert.data import DataOptions, load_images
from smoothcert.data.npz import catalogue, class_names_of

RNG = np.random.default_rng(0)


def archive(path: Path, label_shape: tuple[int, ...] = (1,), shape: tuple[int, ...] = (28, 28, 3)) -> Path:
    """A file laid out as MedMNIST's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for split, count in (("train", 5), ("val", 3), ("test", 4)):
        arrays[f"{split}_images"] = RNG.integers(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.arange(count)[:, None] % 3 * np.ones(label_shape, np.uint8).astype(np.uint8)
    np.savez_compressed(path, **arrays)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, and a package that knows of two sets, offered as files beside it."""
    offered = archive(tmp_path / "offered" / "cellmnist.npz")
    md5 = hashlib.md5(offered.read_bytes(), usedforsecurity=False).hexdigest()
    label = {"0": "eos", "1": "mono", "2": "none"}
    info = {
        "cellmnist": {"url": offered.as_uri(), "MD5": md5, "url_64": offered.as_uri(), "MD5_64": "0", "label": label},
        "gonemnist": {"url": (tmp_path / "gone.npz").as_uri(), "MD5": md5, "label": label},
        "chestmnist": {"task": "multi-label, binary-class", "label": {"0": "a", "1": "b"}},
    }
    package = tmp_path / "site" / "medmnist"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('the package must not be run')")
    (package / "info.py").write_text(f"import os\nprint('run')\nINFO = {info!r}\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "medmnist", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    catalogue.cache_clear()
    yield tmp_path / "home" / ".medmnist"
    catalogue.cache_clear()


def test_a_file_as_it_comes_gets_the_names_of_its_set(home: Path, tmp_path: Path) -> None:
    for name in ("cellmnist", "cellmnist_64"):
        got = load_images(f"{archive(tmp_path / f'{name}.npz')}#val")
        assert (len(got), got.class_names, got.labels.tolist()) == (3, ("eos", "mono", "none"), [0, 1, 2])
    assert load_images(f"{archive(tmp_path / 'other.npz')}#val").class_names == ("0", "1", "2")
    with refuses("E-DATA-101", match=r"it has the splits test, train, val: write cellmnist\.npz#test"):
        load_images(str(tmp_path / "cellmnist.npz"))


def test_by_name_from_the_packages_place(home: Path) -> None:
    archive(home / "cellmnist.npz")
    assert len(load_images("medmnist:cellmnist")) == 4
    assert len(load_images("medmnist:cellmnist#train", DataOptions(resize=32))) == 5


def test_what_is_not_there_is_downloaded_once_and_compared(home: Path, tmp_path: Path) -> None:
    assert len(load_images("medmnist:cellmnist")) == 4
    assert (home / "cellmnist.npz").read_bytes() == (tmp_path / "offered" / "cellmnist.npz").read_bytes()
    (tmp_path / "offered" / "cellmnist.npz").unlink()
    assert len(load_images("medmnist:cellmnist#val")) == 3
    assert [each.name for each in home.iterdir()] == ["cellmnist.npz"]


def test_a_download_that_fails_says_where_the_file_belongs(home: Path) -> None:
    with refuses("E-DATA-110"):
        load_images("medmnist:gonemnist")
    with refuses("E-DATA-111", match="MD5"):
        load_images("medmnist:cellmnist_64")
    assert not list(home.glob("*"))
    with refuses("E-DATA-109"):
        load_images("medmnist:nomnist")


def test_without_the_package_files_that_are_there_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smoothcert.data.npz.find_spec", lambda name: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    catalogue.cache_clear()
    with refuses("E-DATA-108"):
        load_images("medmnist:bloodmnist")
    archive(tmp_path / ".medmnist" / "bloodmnist.npz")
    assert load_images("medmnist:bloodmnist").class_names == ("0", "1", "2")
    catalogue.cache_clear()


def test_volumes_and_many_findings_are_refused(home: Path, tmp_path: Path) -> None:
    with refuses("E-DATA-107", match=r"organmnist3d: .* 3-D volumes"):
        load_images("medmnist:organmnist3d")
    with refuses("E-DATA-007", match="look like 3-D volumes"):
        load_images(f"{archive(tmp_path / 'x.npz', shape=(28, 28, 28))}#val")
    with refuses("E-DATA-104", match=r"got labels of shape \(3, 14\); several findings"):
        load_images(f"{archive(tmp_path / 'chestmnist.npz', (14,))}#val")


def test_the_real_catalogue() -> None:
    catalogue.cache_clear()
    if not catalogue():
        pytest.skip("needs the package medmnist (pip install --no-deps medmnist)")
    assert class_names_of(Path("bloodmnist_224.npz"))[:2] == ("basophil", "eosinophil")
    assert class_names_of(Path("retinamnist.npz")) == ("0", "1", "2", "3", "4")
    assert class_names_of(Path("my.npz")) == class_names_of(Path("chestmnist.npz")) == ()
    assert "medmnist" not in sys.modules
