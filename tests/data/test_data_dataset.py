from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from refusals import refuses
from smoothcert.data import ImageSet
from smoothcert.errors import DataError


def images(m: int = 4, dtype: type = np.uint8) -> np.ndarray:
    return np.arange(m * 5 * 6 * 3).reshape(m, 5, 6, 3).astype(dtype)


def test_shape_and_defaults() -> None:
    made = ImageSet("toy", images(), np.array([0, 2, 1, 0], np.uint8))
    assert (len(made), made.shape, made.num_classes, made.levels) == (4, (3, 5, 6), 3, 255)
    assert made.labels.dtype == np.int64
    assert made.indices.tolist() == [0, 1, 2, 3]
    assert made.class_names == ("0", "1", "2")
    with pytest.raises(FrozenInstanceError):
        made.levels = 3  # type: ignore[misc]


def test_pixels_are_a_private_contiguous_copy() -> None:
    made = ImageSet("toy", images(), np.zeros(4, int))
    pixels = made.pixels(1)
    assert pixels.shape == (3, 5, 6)
    assert pixels.flags.c_contiguous
    assert np.array_equal(pixels[2], made.images[1, :, :, 2])
    pixels[:] = 0
    assert made.images[1].any()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"images": images().astype(float)}, "uint8 or uint16, got float64"),
        ({"images": [[1]]}, "NumPy array, got list"),
        ({"images": images()[0]}, r"\(n, H, W, C\)"),
        ({"images": images().transpose(0, 3, 1, 2)}, "channels seem to be first"),
        ({"images": images()[:0], "labels": np.zeros(0, int)}, "at least one image"),
        ({"labels": np.array([0, 1])}, "one label per image"),
        ({"labels": np.array([0.0, 1, 1, 0])}, "integers 0..c-1, got float64"),
        ({"labels": np.array([0, -1, 1, 0])}, "got -1 at image 1"),
        ({"labels": np.array([0, 1, 2, 7]), "class_names": ("a", "b", "c")}, "got 7 at image 3"),
        ({"labels": np.array([1, 2, 3, 3]), "class_names": ("a", "b", "c")}, "subtract 1"),
        ({"labels": np.array([0, 1, 2, 10**6])}, "number the classes"),
        ({"groups": ("p1",)}, "4 images and 1 groups"),
        ({"levels": 100}, "levels must be 255"),
        ({"levels": 4095}, "levels must be 255"),
        ({"images": images(dtype=np.uint16) + 4000, "levels": 4095}, "be in 0..4095"),
        ({"indices": np.array([0, 1, 1, 2])}, "indices must be distinct"),
        ({"indices": np.array([0, 1])}, "4 integer indices"),
    ],
)
def test_refusals(kwargs: dict, message: str) -> None:
    given = {"images": images(), "labels": np.array([0, 1, 1, 0])} | kwargs
    with pytest.raises(DataError, match=message):
        ImageSet("toy", **given)


def test_first_keeps_classes_and_indices() -> None:
    made = ImageSet("toy", images(), np.array([0, 1, 2, 0]), groups=("a", "b", "c", "d"))
    part = made.first(2)
    assert (len(part), part.num_classes, part.groups, part.indices.tolist()) == (2, 3, ("a", "b"), [0, 1])
    assert len(made.first(100)) == 4
    with refuses("E-DATA-021", match="got 0"):
        made.first(0)


def test_hashes_follow_the_content_and_nothing_else() -> None:
    labels = np.array([0, 1, 1, 0])
    made = ImageSet("toy", images(), labels)
    same = ImageSet("other name", np.asfortranarray(images()), labels.astype(np.int8), class_names=("x", "y"))
    assert made.sha256() == same.sha256()
    assert made.image_sha256(2) == same.image_sha256(2)
    assert made.image_sha256(2).startswith("sha256:")
    assert len(made.image_sha256(2)) == 7 + 64
    changed = [
        ImageSet("toy", images() ^ 1, labels),
        ImageSet("toy", images(), 1 - labels),
        ImageSet("toy", images(), labels, groups=("a",) * 4),
        ImageSet("toy", images(dtype=np.uint16), labels),
        ImageSet("toy", images(dtype=np.uint16) % 4096, labels, levels=4095),
        made.first(3),
    ]
    assert len({made.sha256(), *(other.sha256() for other in changed)}) == 7
    assert made.labels_sha256() != changed[1].labels_sha256()
    assert made.image_sha256(0) != made.image_sha256(1)


def test_group_names_cannot_be_shifted_between_images() -> None:
    labels = np.array([0, 1])
    one = ImageSet("toy", images(2), labels, groups=("a,1:b", "c"))
    other = ImageSet("toy", images(2), labels, groups=("a", "b,1:c"))
    assert one.sha256() != other.sha256()
