"""One folder per class: pixels as stored, in one order; each mistake has its own message."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refusals import refuses
from smoothcert.data import DataOptions, load_images
from smoothcert.errors import DataError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
GREY = RGB[..., 0].copy()
DEEP = RNG.integers(0, 65536, (6, 8), dtype=np.uint16)
TWELVE = (DEEP >> 4).astype(np.uint16)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def cells(root: Path, endings: tuple[str, ...] = ("png", "tif", "bmp")) -> dict[str, np.ndarray]:
    """Colour images of three classes; what each file holds."""
    made = {}
    for i, name in enumerate(["mono", "eos", "lymph"]):
        for j, ending in enumerate(endings):
            key = f"{name}/{j}.{ending}"
            made[key] = np.roll(RGB, 10 * i + j)
            save(root / key, made[key])
    return made


def test_classes_are_folders_and_files_come_sorted(tmp_path: Path) -> None:
    made = cells(tmp_path)
    got = load_images(str(tmp_path))
    assert got.class_names == ("eos", "lymph", "mono")
    assert got.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert np.array_equal(got.images, np.stack([made[key] for key in sorted(made)]))
    assert (got.levels, got.preprocessing, got.groups, got.reference) == (255, (), None, str(tmp_path))


def test_the_hash_does_not_depend_on_the_order_files_were_made(tmp_path: Path) -> None:
    made = cells(tmp_path / "one")
    for key in sorted(made, reverse=True):
        save(tmp_path / "other" / key, made[key])
    one, other = load_images(f"{tmp_path}/one/"), load_images(f"{tmp_path}/other")
    assert one.sha256() == other.sha256()
    save(tmp_path / "other" / "eos" / "0.png", 255 - RGB)
    assert load_images(f"{tmp_path}/other").sha256() != one.sha256()


def test_jpeg_is_what_its_decoder_says(tmp_path: Path) -> None:
    made = cells(tmp_path, ("jpg",))
    got = load_images(str(tmp_path))
    for i, key in enumerate(sorted(made)):
        with Image.open(tmp_path / key) as image:
            assert np.array_equal(got.images[i], np.asarray(image))


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_sixteen_bits_are_never_narrowed(tmp_path: Path, ending: str) -> None:
    for i in range(3):
        save(tmp_path / "a" / f"{i}.{ending}", np.roll(DEEP, i))
    got = load_images(str(tmp_path))
    assert (got.levels, got.images.dtype, got.shape) == (65535, np.uint16, (1, 6, 8))
    assert np.array_equal(got.images[2, ..., 0], np.roll(DEEP, 2))
    coarse = load_images(str(tmp_path), DataOptions(quantise=8))
    assert np.array_equal(coarse.images[..., 0], np.rint(got.images[..., 0] / 257).astype(np.uint8))
    assert (coarse.levels, coarse.preprocessing) == (255, ("quantised to 8 bits from 65535 levels",))


def test_values_below_4096_in_16_bits_need_a_word(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png", TWELVE)
    save(tmp_path / "a" / "1.png", TWELVE // 2)
    with refuses("E-DATA-146", match=r"--quantise 12 or 16"):
        load_images(str(tmp_path))
    for bits, levels in ((12, 4095), (16, 65535)):
        got = load_images(str(tmp_path), DataOptions(quantise=bits))
        assert (got.levels, got.preprocessing) == (levels, ())
        assert np.array_equal(got.images[0, ..., 0], TWELVE)
    save(tmp_path / "a" / "2.png", DEEP)
    with refuses("E-DATA-145", match=r"--quantise 12 expects .* up to \d{5}"):
        load_images(str(tmp_path), DataOptions(quantise=12))


def test_splits_share_their_classes(tmp_path: Path) -> None:
    cells(tmp_path / "train")
    save(tmp_path / "val" / "lymph" / "9.png", RGB)
    save(tmp_path / "docs" / "figures" / "plot.png", RGB)
    got = load_images(f"{tmp_path}#val")
    assert (got.class_names, got.labels.tolist()) == (("eos", "lymph", "mono"), [1])
    assert got.reference == f"{tmp_path}#val"


def test_folders_inside_classes_are_searched_and_junk_is_not_seen(tmp_path: Path) -> None:
    save(tmp_path / "a" / "patient 1" / "x.png", RGB)
    save(tmp_path / "a" / "b.png", 255 - RGB)
    for junk in ("a/.DS_Store", "a/Thumbs.db", ".git/x", "__MACOSX/a/y", "README.txt", "labels.csv"):
        (tmp_path / junk).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / junk).write_text("junk")
    got = load_images(str(tmp_path))
    assert np.array_equal(got.images, np.stack([255 - RGB, RGB]))


def test_progress_is_told_of_every_file(tmp_path: Path) -> None:
    cells(tmp_path)
    told: list[tuple[int, int]] = []
    load_images(str(tmp_path), progress=lambda done, total: told.append((done, total)))
    assert told == [(i, 9) for i in range(1, 10)]


def deep_colour(path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + DEEP[row].astype(">u2").tobytes() * 3 for row in range(6))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 6, 16, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def alpha(path: Path) -> None:
    save(path, np.dstack([RGB, GREY]))


ODD = {
    "nothing inside": (lambda root: [], "one folder per class.*, got no folder"),
    "no class folders": (lambda root: save(root / "x.png", RGB), r"one folder per class, got images, such as x\.png"),
    "an empty class": (lambda root: (root / "a" / "deep").mkdir(parents=True), "the class folder a contains no image"),
    "stray images": (
        lambda root: [save(root / "a" / "x.png", RGB), save(root / "y.png", RGB)],
        r"outside the class folders, such as y\.png",
    ),
    "no image in a class": (
        lambda root: [save(root / "a" / "x.png", RGB), (root / "a" / "x.webp").write_text("x")],
        r"x\.webp: expected only images",
    ),
    "text named .png": (
        lambda root: [save(root / "a" / "0.png", RGB), (root / "a" / "x.png").write_text("hello")],
        r"x\.png: expected an image file",
    ),
    "a broken link": (
        lambda root: [save(root / "a" / "0.png", RGB), (root / "a" / "x.png").symlink_to("nowhere")],
        r"x\.png: expected a file",
    ),
    "a loop": (
        lambda root: [save(root / "a" / "0.png", RGB), (root / "a" / "up").symlink_to(root)],
        "up: expected a file, got a link to a folder",
    ),
    "a pipe": (
        lambda root: [save(root / "a" / "0.png", RGB), os.mkfifo(root / "a" / "x.png")],
        r"x\.png: expected a file",
    ),
    "grey among colour": (
        lambda root: [save(root / "a" / "0.png", RGB), save(root / "a" / "1.png", GREY)],
        r"1\.png: .*grey, but the first, .*0\.png, is colour",
    ),
    "other sizes": (
        lambda root: [save(root / "a" / "0.png", RGB), save(root / "a" / "1.png", RGB[:5])],
        r"1\.png: .*8 pixels wide and 5 high, but the first, .*0\.png, is 8 by 6; .*--resize",
    ),
    "other depths": (
        lambda root: [save(root / "a" / "0.png", GREY), save(root / "a" / "1.png", DEEP)],
        r"1\.png: .*16 bits per value, but the first, .*0\.png, has 8",
    ),
    "deep colour": (
        lambda root: [(root / "a").mkdir(), deep_colour(root / "a" / "0.png")],
        "more than 8 bits per value",
    ),
    "transparency": (lambda root: alpha(root / "a" / "0.png"), r"0\.png: the image has transparency"),
    "one bit": (
        lambda root: [(root / "a").mkdir(), Image.fromarray(GREY).convert("1").save(root / "a" / "0.png")],
        r"0\.png: .*16 bits per value, got 1 bit",
    ),
    "splits": (lambda root: [cells(root / "train"), cells(root / "Val")], r"choose one: .*#Val or .*#train\."),
    "splits beside others": (lambda root: [cells(root / "train"), cells(root / "x")], "look like splits, not classes"),
    "splits without classes": (lambda root: save(root / "train" / "0.png", RGB), "look like splits, not classes"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_has_its_own_sentence(tmp_path: Path, case: str) -> None:
    make, sentence = ODD[case]
    make(tmp_path)
    with pytest.raises(DataError, match=sentence) as refused:
        load_images(str(tmp_path))
    said = str(refused.value)
    assert said.startswith(str(tmp_path))
    assert said.endswith(".")
    assert "\n" not in said


def test_wrong_names(tmp_path: Path) -> None:
    cells(tmp_path / "train")
    with refuses("E-DATA-043"):
        load_images(f"{tmp_path}#val")
    with refuses("E-DATA-041"):
        load_images(f"{tmp_path}/none/")
    with refuses("E-DATA-001"):
        load_images(f"{tmp_path}#train", DataOptions(subgroups=("sex",)))
    with refuses("E-DATA-038"):
        load_images(f"{tmp_path}#train", DataOptions(window=(40, 400)))


def test_too_many_for_the_memory_is_said_at_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells(tmp_path)
    monkeypatch.setattr("smoothcert.data.stack.memory_limit", lambda: 9 * RGB.nbytes - 1)
    with refuses("E-DATA-115", match="9 images of 8 by 6 pixels"):
        load_images(str(tmp_path))


def test_one_array_is_allocated_once(tmp_path: Path) -> None:
    import tracemalloc

    large = RNG.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    for i in range(20):
        save(tmp_path / "a" / f"{i}.bmp", large)
    load_images(str(tmp_path))  # what is imported once does not count
    tracemalloc.start()
    got = load_images(str(tmp_path))
    got.sha256()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < got.images.nbytes + 6 * large.nbytes
