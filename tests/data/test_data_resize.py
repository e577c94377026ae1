"""Resizing and cropping: against a filter written here, on the grid, unchanged if the size is right already."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, __version__

from refusals import refuses
from smoothcert.data import DataOptions, load_images
from smoothcert.data.transforms import fitted, fitted_all
from smoothcert.errors import DataError

RNG = np.random.default_rng(0)


def weights(old: int, new: int) -> np.ndarray:
    """The bicubic filter (a = -0.5), widened by the scale where it shrinks: a row an output pixel."""
    scale = old / new
    wide = max(scale, 1.0)
    centres = (np.arange(new) + 0.5) * scale
    x = np.abs((np.arange(old) + 0.5 - centres[:, None]) / wide)
    kernel = np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0.0))
    return kernel / kernel.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("levels", [255, 4095, 65535])
@pytest.mark.parametrize(("height", "width", "side", "size"), [(40, 31, 16, (20, 16)), (12, 20, 30, (30, 50))])
def test_resizing_is_the_written_out_filter(levels: int, height: int, width: int, side: int, size: tuple) -> None:
    image = RNG.integers(0, levels + 1, (height, width, 3)).astype(np.uint8 if levels == 255 else np.uint16)
    got = fitted(image, DataOptions(resize=side), levels)
    wanted = np.einsum("yi,xj,ijc->yxc", weights(height, size[0]), weights(width, size[1]), image.astype(float))
    assert got.dtype == image.dtype
    assert got.shape == (*size, 3)
    assert np.abs(got - np.clip(wanted, 0, levels)).max() <= 0.5 + levels * 1e-6


def test_the_depth_is_kept() -> None:
    image = RNG.integers(0, 65536, (40, 40, 1), dtype=np.uint16)
    got = fitted(image, DataOptions(resize=39), 65535)
    assert len(np.unique(got)) > 1000
    assert (got % 257 != 0).mean() > 0.9


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_the_shorter_side_is_what_was_asked_and_flat_stays_flat(height: int, width: int, side: int) -> None:
    got = fitted(np.full((height, width, 1), 201, np.uint8), DataOptions(resize=side), 255)
    assert min(got.shape[:2]) == side
    assert (got == 201).all()
    assert abs(max(got.shape[:2]) - side * max(height, width) / min(height, width)) < 1


def test_an_image_of_the_size_is_returned_bit_for_bit() -> None:
    image = RNG.integers(0, 256, (16, 24, 3), dtype=np.uint8)
    assert fitted(image, DataOptions(resize=16), 255) is image
    square = image[:, :16]
    assert np.array_equal(fitted(square, DataOptions(resize=16, crop=16), 255), square)


def test_a_crop_keeps_the_middle() -> None:
    image = np.arange(6 * 9, dtype=np.uint8).reshape(6, 9, 1)
    assert np.array_equal(fitted(image, DataOptions(crop=4), 255), image[1:5, 2:6])
    assert np.array_equal(fitted(image, DataOptions(crop=6), 255), image[:, 2:8])
    with refuses("E-DATA-135", match=r"--crop 7 is larger than the image, 9 pixels wide and 6 high.*--resize 7"):
        fitted(image, DataOptions(crop=7), 255)
    with refuses("E-DATA-134", match="--resize takes up to 8,192 pixels, got 100,000"):
        fitted(image, DataOptions(resize=100_000), 255)


def test_many_are_fitted_as_one(tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)
    options = DataOptions(resize=12, crop=10)
    one_by_one = np.stack([fitted(image, options, 255) for image in images])
    assert np.array_equal(fitted_all(images, options, 255), one_by_one)
    np.savez(tmp_path / "set.npz", images=images, labels=np.zeros(5, int))
    for i, image in enumerate(images):
        (tmp_path / "f" / "a").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "f" / "a" / f"{i}.png")
    archive, folder = load_images(f"{tmp_path}/set.npz", options), load_images(f"{tmp_path}/f", options)
    assert np.array_equal(archive.images, one_by_one)
    assert archive.sha256() == folder.sha256()
    steps = (
        f"shorter side to 12 pixels (Pillow {__version__} bicubic), on the grid of 255 steps",
        "the 10 x 10 pixels in the middle",
    )
    assert archive.preprocessing == folder.preprocessing == steps


def test_other_shapes_after_resizing_need_a_crop(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name, size in (("0", (20, 30)), ("1", (20, 40))):
        Image.fromarray(RNG.integers(0, 256, size, dtype=np.uint8)).save(tmp_path / "a" / f"{name}.png")
    with refuses("E-DATA-113", match=r"20 pixels wide and 10 high after --resize 10.*is 15 by 10; .*--crop 10"):
        load_images(str(tmp_path), DataOptions(resize=10))
    assert load_images(str(tmp_path), DataOptions(resize=10, crop=10)).shape == (1, 10, 10)


def test_overshoot_does_not_hide_twelve_bits(tmp_path: Path) -> None:
    """Bicubic edges overshoot 4095; the stored values decide the grid, not the resized ones."""
    edge = np.zeros((20, 20), np.uint16)
    edge[:, 10:] = 4095
    (tmp_path / "a").mkdir()
    Image.fromarray(edge).save(tmp_path / "a" / "0.png")
    with refuses("E-DATA-146", match="no value above 4095 may be 12-bit"):
        load_images(str(tmp_path), DataOptions(resize=30))
    got = load_images(str(tmp_path), DataOptions(resize=30, quantise=12))
    assert (got.levels, int(got.images.max())) == (4095, 4095)


FACTORY = """
import numpy as np
class Images(list):
    levels = None
    subgroups = {"site": ["A", "B"]}
def sizes():
    return Images([(np.full((1, 9 + i, 12), 40 * i, np.uint8), i) for i in range(2)])
def floats():
    return Images([(np.full((1, 9, 12), i / 255, np.float32), i) for i in range(2)])
def float_sizes():
    return Images([(np.zeros((1, 9 + i, 12), np.float32), i) for i in range(2)])
def types():
    return Images([(np.zeros((1, 9, 12), [np.uint8, np.uint16][i]), i) for i in range(2)])
def hollow():
    return Images([(np.zeros((1, 0, 12), np.uint8), 0)])
def cmyk():
    from PIL import Image
    return Images([(Image.new("CMYK", (4, 4)), 0)])
def lab():
    from PIL import Image
    return Images([(Image.new("LAB", (4, 4)), 0)])
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fit_images.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "fit_images", raising=False)


@pytest.mark.usefixtures("module")
def test_a_factory_may_return_integers_of_many_sizes() -> None:
    told: list[int] = []
    asked = DataOptions(resize=6, crop=6, subgroups=("site",))
    got = load_images("fit_images:sizes", asked, lambda done, total: told.append(done))
    assert (got.shape, told, got.subgroups) == ((1, 6, 6), [1, 2], {"site": ("A", "B")})
    assert len(got.preprocessing) == 2
    assert load_images("fit_images:floats", asked).images[1].max() == 1


@pytest.mark.usefixtures("module")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("float_sizes", "item 1: float images must have one shape, got"),
        ("types", r"one shape and dtype, got uint16 after uint8 \(item 1\)"),
        ("hollow", "item 0: expected an image with pixels"),
        ("cmyk", r"item 0: the image must be grey \(L, I;16\) or RGB, got mode CMYK"),
        ("lab", "got mode LAB; convert it"),
    ],
)
def test_a_factory_is_told_what_is_wrong(name: str, message: str) -> None:
    with pytest.raises(DataError, match=f"^fit_images:{name}: .*{message}"):
        load_images(f"fit_images:{name}", DataOptions(resize=6))
    with refuses("E-DATA-133"):
        load_images("fit_images:floats", DataOptions(subgroups=("sex",)))
    with refuses("E-DATA-099"):
        load_images("fit_images:floats", DataOptions(window=(1, 2)))
