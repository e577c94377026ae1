import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refusals import refuses
from smoothcert.data import DataOptions, load_images
from smoothcert.data.npz import read_npz
from smoothcert.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 4, 5, 3), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def saved(path: Path, compressed: bool = False, **arrays: Any) -> str:
    (np.savez_compressed if compressed else np.savez)(path / "set.npz", **arrays)
    return str(path / "set.npz")


def test_plain_keys(tmp_path: Path) -> None:
    names = np.array(["mono", "lymph", "eos"])
    file = saved(tmp_path, images=IMAGES, labels=LABELS, class_names=names, groups=np.array([1, 1, 2, 2, 3, 3]))
    got = load_images(file)
    assert np.array_equal(got.images, IMAGES)
    assert got.labels.tolist() == LABELS.tolist()
    assert (got.class_names, got.groups) == (("mono", "lymph", "eos"), ("1", "1", "2", "2", "3", "3"))
    assert (got.reference, got.preprocessing) == (file, ())


def test_splits_grey_images_and_column_labels_as_medmnist_has_them(tmp_path: Path) -> None:
    arrays = {"val_images": IMAGES[..., 0], "val_labels": LABELS[:, None], "val_groups": np.array([b"a"] * 6)}
    file = saved(tmp_path, **arrays, train_images=IMAGES, train_labels=LABELS)
    got = load_images(f"{file}#val")
    assert (got.shape, got.groups, got.reference) == ((1, 4, 5), ("a",) * 6, f"{file}#val")


def test_hash_does_not_depend_on_compression(tmp_path: Path) -> None:
    plain = load_images(saved(tmp_path, images=IMAGES, labels=LABELS)).sha256()
    assert load_images(saved(tmp_path, compressed=True, images=IMAGES, labels=LABELS)).sha256() == plain


def test_float_images_on_and_off_the_grid(tmp_path: Path) -> None:
    assert np.array_equal(load_images(saved(tmp_path, images=IMAGES / 255, labels=LABELS)).images, IMAGES)
    file = saved(tmp_path, images=RNG.random((6, 4, 5)), labels=LABELS)
    with refuses("E-DATA-137", match=r"set\.npz: float images must be on a grid.*--quantise 8"):
        load_images(file)
    assert load_images(file, DataOptions(quantise=8)).preprocessing == ("quantised to 8 bits",)


def test_twelve_bit_images_declare_their_levels(tmp_path: Path) -> None:
    deep = (IMAGES.astype(np.uint16) * 16).astype(np.uint16)
    assert load_images(saved(tmp_path, images=deep, labels=LABELS, levels=4095)).levels == 4095
    with refuses("E-DATA-146"):
        load_images(saved(tmp_path, images=deep, labels=LABELS))


@pytest.mark.parametrize(
    ("arrays", "split", "message"),
    [
        ({"images": IMAGES}, None, "no images and labels; it has images"),
        ({}, None, "it has no arrays"),
        ({"images": IMAGES, "labels": LABELS}, "val", "leave out #val"),
        ({"val_images": IMAGES, "val_labels": LABELS}, None, "the splits val: write set.npz#val"),
        ({"val_images": IMAGES, "val_labels": LABELS}, "test", "no test_images and test_labels"),
        ({"images": IMAGES.transpose(0, 3, 1, 2), "labels": LABELS}, None, "channels seem to be first"),
        ({"images": np.array([{}, 1], object), "labels": LABELS}, None, "images contains pickled"),
        ({"images": IMAGES, "labels": np.array([{}], object)}, None, "labels contains pickled"),
        ({"images": IMAGES, "labels": np.zeros((6, 14), int)}, None, "choose one column"),
        ({"images": IMAGES, "labels": LABELS[:3]}, None, "one label per image"),
        ({"images": IMAGES, "labels": LABELS, "levels": 0.5}, None, "levels must be one integer"),
        ({"images": IMAGES, "labels": LABELS, "class_names": np.zeros((2, 2))}, None, "class_names must be a list"),
        ({"images": IMAGES, "labels": LABELS, "groups": np.zeros(6)}, None, "groups must be a list"),
        ({"images": IMAGES, "labels": LABELS + 1, "class_names": np.array(["a", "b", "c"])}, None, "subtract 1"),
        ({"images": IMAGES.astype(np.float32), "labels": LABELS}, None, "look like grey values"),
        ({"images": np.full((6, 2, 2), np.nan), "labels": LABELS}, None, "NaN"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, None, "at least one image"),
        ({"images": np.uint8(3), "labels": LABELS}, None, r"\(n, H, W, C\)"),
    ],
)
def test_refusals_name_the_file(tmp_path: Path, arrays: dict, split: str | None, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_npz(saved(tmp_path, **arrays), split)
    assert str(caught.value).count("set.npz") >= 1


@pytest.mark.parametrize("reference", ["images.zip", "synthetic:x", "a b:c", "", "x.npz#", ":f"])
def test_unknown_forms_name_the_known_ones(reference: str) -> None:
    with refuses("E-DATA-004"):
        load_images(reference)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    for name, message in (("nothing.npz", "no such file"), ("folder.npz", "got a folder")):
        with pytest.raises(DataError, match=message):
            load_images(str(tmp_path / name))


def test_a_single_array_is_not_an_archive(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", IMAGES)
    (tmp_path / "set.npy").rename(tmp_path / "set.npz")
    with refuses("E-DATA-096"):
        load_images(str(tmp_path / "set.npz"))


def npy_header(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"shape": shape, "fortran_order": False, "descr": descr})
    return buffer.getvalue()


@pytest.mark.parametrize("shape", [(10**12, 28, 28, 3), (2**63, 2**63, 2), (100, 28, 28, 3)])
def test_claimed_size_is_checked_before_memory_is_taken(tmp_path: Path, shape: tuple[int, ...]) -> None:
    file = tmp_path / "bomb.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", npy_header(shape) + b"\0" * 64)
        archive.writestr("labels.npy", npy_header((1,)) + b"\0")
    with refuses("E-DATA-098", match=r"[\d,]+ bytes"):
        load_images(str(file))


def test_a_dense_archive_of_zeros_is_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smoothcert.data.npz.memory_limit", lambda: 1000)
    with refuses("E-DATA-098"):
        load_images(saved(tmp_path, compressed=True, images=np.zeros((9, 40, 40), np.uint8), labels=np.zeros(9, int)))


def test_no_pickle_is_run(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "owned",))

    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"shape": (1,), "fortran_order": False, "descr": "|O"})
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("images.npy", buffer.getvalue() + pickle.dumps(Payload()))
        archive.writestr("labels.npy", npy_header((1,)) + b"\0")
    with refuses("E-DATA-097"):
        load_images(str(tmp_path / "set.npz"))
    assert not (tmp_path / "owned").exists()


def small_archive() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, images=IMAGES, labels=LABELS, class_names=np.array(["a", "b", "c"]))
    return buffer.getvalue()


ARCHIVE = small_archive()


def message_or_reference(file: Path) -> str:
    try:
        return load_images(str(file)).reference
    except DataError as error:
        return str(error)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, len(ARCHIVE)),
    st.lists(st.tuples(st.integers(0, len(ARCHIVE) - 1), st.integers(0, 255)), max_size=6),
)
def test_hostile_bytes_never_give_another_error(tmp_path: Path, cut: int, edits: list[tuple[int, int]]) -> None:
    data = bytearray(ARCHIVE)
    for place, value in edits:
        data[place] = value
    file = tmp_path / "hostile.npz"
    file.write_bytes(data[:cut] if cut % 2 else data)
    assert "hostile.npz" in message_or_reference(file)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_hostile_headers_inside_a_sound_archive(tmp_path: Path, tail: bytes) -> None:
    file = tmp_path / "hostile.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + tail)
        archive.writestr("labels.npy", tail)
    with pytest.raises(DataError):
        load_images(str(file))


def test_real_blood_cells(shared_data: Path) -> None:
    got = load_images(f"{shared_data / 'pbc28.npz'}#val")
    assert (len(got), got.shape, got.num_classes, got.levels) == (4000, (3, 28, 28), 8, 255)
    assert got.class_names[0] == "basophil"
    with refuses("E-DATA-101", match="the splits train, val"):
        load_images(str(shared_data / "pbc28.npz"))


def test_a_split_may_be_named_like_a_manifest(tmp_path: Path) -> None:
    """The first # ends the name of the archive, whatever follows it."""
    images, labels = np.zeros((2, 4, 4), np.uint8), np.arange(2)
    np.savez(tmp_path / "a.npz", **{"x.csv_images": images, "x.csv_labels": labels})
    assert len(load_images(f"{tmp_path / 'a.npz'}#x.csv")) == 2
