"""Synthetic images: reproducible, on the grid, named synthetic, and with distinguishable classes."""

import numpy as np
import pytest

from refusals import refuses
from smoothcert.data import DataOptions, load_images
from smoothcert.data.synthetic import KINDS, synthetic


def test_an_image_follows_from_split_and_index_alone() -> None:
    few, many = synthetic(9), synthetic(17)
    assert np.array_equal(few.images, many.images[:9])
    assert not np.array_equal(few.images, synthetic(9, "train").images)


def test_everything_says_synthetic() -> None:
    images = load_images("synthetic:16")
    assert images.reference == "synthetic:16"
    assert all(name.startswith("synthetic") for name in images.class_names)
    assert any("synthetic" in step for step in images.preprocessing)
    assert len(load_images("synthetic")) == 300


def test_classes_come_in_turn_and_differ() -> None:
    images = synthetic(160)
    assert np.bincount(images.labels).tolist() == [20] * len(KINDS)
    means = np.stack([images.images[images.labels == c].mean(axis=0) for c in range(len(KINDS))])
    spread = images.images.std(axis=0).mean()
    apart = min(np.abs(means[a] - means[b]).mean() for a in range(len(KINDS)) for b in range(a))
    assert 0.03 * spread < apart < 2 * spread


@pytest.mark.parametrize("reference", ["synthetic:0", "synthetic:9999999"])
def test_a_senseless_number_is_refused(reference: str) -> None:
    with refuses("E-DATA-120", match=r"1 to 1,000,000"):
        load_images(reference)


def test_training_images_are_others() -> None:
    train, test = load_images("synthetic:16#train"), load_images("synthetic:16")
    assert train.reference == "synthetic:16#train"
    assert not set(map(train.image_sha256, range(16))) & set(map(test.image_sha256, range(16)))
    with refuses("E-DATA-121"):
        load_images("synthetic:16#val")


def test_quantise_is_refused() -> None:
    with refuses("E-DATA-002", match="8-bit grid"):
        load_images("synthetic:8", DataOptions(quantise=8))
