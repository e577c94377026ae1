"""Equal images are found within a set and between two, whatever their labels; each warning is given once."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smoothcert.data import ImageSet
from smoothcert.data.inspection import SHOWN, Pair, inspect_images


def image_set(values: list[int], labels: list[int], **facts: object) -> ImageSet:
    """Flat images: equal values are equal images."""
    images = np.array(values, np.uint8)[:, None, None, None] * np.ones((1, 3, 4, 1), np.uint8)
    return ImageSet("toy", images, np.array(labels), **facts)  # type: ignore[arg-type]


labelled = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=25)


@given(labelled, labelled)
def test_counts_are_those_of_looking_at_every_pair(one: list[tuple[int, int]], two: list[tuple[int, int]]) -> None:
    (values, labels), (others, names) = (list(map(list, zip(*each, strict=True))) for each in (one, two))
    found = inspect_images(image_set(values, labels), image_set(others, names))
    repeats = [(values.index(v), j) for j, v in enumerate(values) if v in values[:j]]
    assert found.duplicates.count == len(repeats) == len(values) - len(set(values))
    assert found.duplicates.pairs == tuple(Pair(i, j) for i, j in repeats[:SHOWN])
    assert found.conflicts.count == sum(labels[i] != labels[j] for i, j in repeats)
    assert found.overlap is not None
    assert found.overlap.count == sum(v in others for v in values)
    assert all(others[pair.earlier] == values[pair.later] for pair in found.overlap.pairs)
    assert sum(found.class_counts) == found.images == len(values)


def test_indices_are_those_of_the_source() -> None:
    found = inspect_images(image_set([5, 6, 5], [0, 1, 0], indices=np.array([40, 7, 9])))
    assert found.duplicates.pairs == (Pair(40, 9),)
    assert found.overlap is None


def test_other_sizes_and_grids_share_nothing() -> None:
    images = image_set([5, 6], [0, 1])
    other = ImageSet("other", np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]))
    assert inspect_images(images, other).overlap is None


@pytest.mark.parametrize(
    ("values", "labels", "facts", "fragment"),
    [
        ([1, 2, 3, 3], [0, 1, 0, 0], {}, "images 2 and 3"),
        ([1, 1, 3], [0, 1, 0], {}, "images 0 and 1"),
        ([1, 2, 3], [1, 2, 3], {}, "subtract 1"),
        ([1, 2, 3], [0, 0, 2], {}, "1 of 3 classes have no image (1)"),
        ([1, 2], [1, 1], {"class_names": ("eos", "mono")}, "all images have the label mono"),
        ([1, 2], [1, 2], {"class_names": ("a", "b", "c")}, "1 of 3 classes have no image (a)"),
        ([1, 2], [0, 1], {"groups": ("p", "p")}, "all images belong to one group"),
    ],
)
def test_warnings(values: list[int], labels: list[int], facts: dict, fragment: str) -> None:
    warnings = inspect_images(image_set(values, labels, **facts)).warnings
    assert any(fragment in warning for warning in warnings)
    assert all(warning.endswith(".") for warning in warnings)


def test_no_warnings_of_a_good_set() -> None:
    images = image_set([1, 2, 3], [0, 1, 2], groups=("p", "q", "q"))
    found = inspect_images(images, image_set([4, 5], [0, 1]))
    assert (found.warnings, found.groups, found.class_counts) == ((), 2, (1, 1, 1))
    assert inspect_images(images, images).warnings[0].startswith("3 of 3 images are also in the other set")


def test_ten_thousand_images_take_less_than_a_second() -> None:
    images = np.random.default_rng(0).integers(0, 256, (10_000, 28, 28, 3), dtype=np.uint8)
    many = ImageSet("many", images, np.arange(10_000) % 8)
    began = time.process_time()
    assert inspect_images(many).duplicates.count == 0
    assert time.process_time() - began < 1
