import pytest
import torch

from smoothcert.training.batches import Pool, epoch_rows, flipped_and_rotated, split


def pool(images: torch.Tensor, mean: float = 0.5, std: float = 0.5) -> Pool:
    """Images with a label each."""
    return Pool(images, torch.arange(len(images)), 255, torch.tensor([mean]), torch.tensor([std]))


def test_one_level_an_image_is_applied_to_that_image() -> None:
    grey = torch.full((2, 8, 8, 3), 128, dtype=torch.uint8)
    sigma = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    seen = pool(grey).noisy(grey, sigma, torch.Generator().manual_seed(0))
    assert float(seen[0].std()) == 0.0
    assert float(seen[1].std()) == pytest.approx(2.0, rel=0.2)  # normalised by a standard deviation of 0.5


def test_the_holdout_is_apart_from_the_training_images() -> None:
    whole = pool(torch.zeros((20, 2, 2, 1), dtype=torch.uint8))
    training, holdout = split(whole, 0.3, torch.Generator().manual_seed(0))
    assert (len(training), len(holdout)) == (14, 6)
    assert sorted([*training.labels.tolist(), *holdout.labels.tolist()]) == list(range(20))


@pytest.mark.parametrize(("count", "batch_size", "sizes"), [(10, 4, [4, 4]), (3, 8, [3]), (8, 4, [4, 4])])
def test_an_epoch_shows_a_row_at_most_once(count: int, batch_size: int, sizes: list[int]) -> None:
    rows = list(epoch_rows(count, batch_size, torch.Generator().manual_seed(0)))
    assert [len(row) for row in rows] == sizes
    assert len(torch.cat(rows).unique()) == sum(sizes)


@pytest.mark.parametrize("shape", [(16, 4, 4, 3), (3, 4, 4, 1), (16, 4, 6, 3)])
def test_turning_keeps_every_pixel(shape: tuple[int, ...]) -> None:
    images = torch.randn(shape)
    after = flipped_and_rotated(images)
    assert after.shape == images.shape
    assert torch.equal(after.flatten(1).sort(1).values, images.flatten(1).sort(1).values)


def test_the_eight_ways_of_a_square_are_all_taken() -> None:
    one = torch.arange(9.0).reshape(1, 3, 3, 1)
    assert len({tuple(image.flatten().tolist()) for image in flipped_and_rotated(one.expand(8, 3, 3, 1))}) == 8


def test_noise_is_added_in_the_unit_range_before_normalisation() -> None:
    grey = torch.full((50, 20, 20, 1), 51, dtype=torch.uint8)
    seen = pool(grey).noisy(grey, 0.25, torch.Generator().manual_seed(0))
    assert seen.shape == (50, 1, 20, 20)
    assert abs(float(seen.mean()) - (0.2 - 0.5) / 0.5) < 0.02
    assert abs(float(seen.std()) - 0.25 / 0.5) < 0.02
    assert (grey == 51).all()
