import math
from pathlib import Path

import numpy as np
import pytest
import torch

from smoothcert.data import ImageSet, load_images
from smoothcert.errors import ModelError, SpecError
from smoothcert.models import load_classifier
from smoothcert.training import EpochReport, TrainingSettings, save, train
from smoothcert.training.batches import epoch_rows, noise_levels, noisy, pool_of, split, turned
from smoothcert.training.gaussian import disagreement

TINY = TrainingSettings(sigma=0.1, arch="resnet8", epochs=4, batch_size=16, holdout=0.25, precision="fp32")


@pytest.fixture(autouse=True)
def quick(one_thread: None) -> None:
    """Every test here runs on one thread."""


def stripes(m: int = 96, dtype: type = np.uint8, channels: int = 1) -> ImageSet:
    """Bright, dark and grey images: easy to tell apart."""
    labels = np.arange(m) % 3
    levels = np.iinfo(dtype).max
    grey = (labels[:, None, None, None] * (levels // 2)).astype(dtype)
    images = np.broadcast_to(grey, (m, 8, 8, channels)).copy()
    return ImageSet("stripes", images, labels)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("consistency", [0.0, 2.0])
def test_training_lowers_the_loss(precision: str, consistency: float) -> None:
    settings = TrainingSettings(
        sigma=0.1,
        arch="resnet8",
        epochs=4,
        batch_size=16,
        holdout=0.25,
        precision=precision,
        consistency=consistency,
    )
    reports: list[EpochReport] = []
    module = train(stripes(), settings, reports.append)
    assert [report.epoch for report in reports] == [1, 2, 3, 4]
    assert reports[-1].loss < 0.7 * reports[0].loss
    assert reports[-1].holdout_accuracy is not None
    assert 0 <= reports[-1].accuracy <= 1
    assert not module.training
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_the_seed_decides_everything_and_leaves_the_process_alone() -> None:
    torch.manual_seed(7)
    state = torch.random.get_rng_state()
    first = train(stripes(), TINY).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(8)
    watched = train(stripes(), TINY, lambda report: None).state_dict()
    assert all(torch.equal(first[name], watched[name]) for name in first)
    other = train(stripes(), TrainingSettings(**{**TINY.as_dict(), "seed": 1})).state_dict()
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_one_classifier_for_several_noise_levels(tmp_path: Path) -> None:
    settings = TrainingSettings(sigma=1.0, sigma_low=0.25, arch="resnet8", epochs=1, batch_size=16)
    drawn = noise_levels(settings, 4000, torch.Generator().manual_seed(0))
    assert isinstance(drawn, torch.Tensor)
    assert drawn.shape == (4000, 1, 1, 1)
    assert 0.25 <= float(drawn.min()) < 0.26
    assert 0.98 < float(drawn.max()) <= 1.0
    assert float(drawn.log2().mean()) == pytest.approx(-1.0, abs=0.05)  # log-uniform: the middle is 0.5
    images, file = stripes(48), tmp_path / "net.safetensors"
    save(train(images, settings), settings, images, file)
    assert load_classifier(str(file)).sigma is None  # trained for a range, so no single level is declared


@pytest.mark.parametrize("low", [0.0, 0.5, 0.7, -1.0])
def test_the_lower_level_lies_below_sigma(low: float) -> None:
    with pytest.raises(SpecError, match="sigma_low must lie above 0 and below sigma"):
        TrainingSettings(sigma=0.5, sigma_low=low)


def test_one_level_an_image_is_applied_to_that_image() -> None:
    grey = torch.full((2, 8, 8, 3), 128, dtype=torch.uint8)
    sigma = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    seen = noisy(grey, 255, sigma, torch.Generator().manual_seed(0))
    assert float(seen[0].std()) == 0.0
    assert float(seen[1].std()) == pytest.approx(2.0, rel=0.2)  # normalised by a standard deviation of 0.5


def test_sixteen_bit_colour_images_train_too() -> None:
    train(stripes(32, np.uint16, channels=3), TrainingSettings(sigma=0.1, arch="resnet8", epochs=1, batch_size=8))


def test_saved_weights_load_as_a_classifier(tmp_path: Path) -> None:
    images, file = stripes(48), tmp_path / "net.safetensors"
    module = train(images, TINY)
    save(module, TINY, images, file)
    got = load_classifier(str(file))
    assert (got.arch, got.sigma, got.num_classes, got.input_shape) == ("resnet8", 0.1, 3, (1, 8, 8))
    assert (got.mean, got.std, got.class_names) == ((0.5,), (0.5,), ("0", "1", "2"))
    seen = torch.randn(2, 1, 8, 8)
    assert torch.equal(got.module(seen), module(seen))
    with pytest.raises(ModelError, match="exists already"):
        save(module, TINY, images, file)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": -0.1}, "sigma must lie in"),
        ({"sigma": math.nan}, "sigma must lie in"),
        ({"sigma": "0.5"}, "sigma must lie in .* got '0.5'"),
        ({"epochs": 0}, "epochs must lie in"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"batch_size": 1}, "batch_size must lie in"),
        ({"holdout": 0.9}, "holdout must lie in"),
        ({"precision": "fp8"}, "precision must be bf16 or fp32"),
        ({"device": "tpu"}, "device must be cpu or cuda"),
        ({"learning_rate": True}, "learning_rate must lie in"),
    ],
)
def test_refused_settings(settings: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        TrainingSettings(**({"sigma": 0.5} | settings))


def test_other_names_are_not_invented() -> None:
    import smoothcert.training

    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        smoothcert.training.fit  # noqa: B018


def test_refused_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="at least 2 images"):
        train(stripes(3).first(1), TINY)
    with pytest.raises(ModelError, match="--arch takes"):
        train(stripes(9), TrainingSettings(sigma=0.1, arch="vgg"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SpecError, match="no CUDA device"):
        train(stripes(9), TrainingSettings(sigma=0.1, device="cuda"))


def test_a_loss_that_explodes_is_named() -> None:
    wild = TrainingSettings(**{**TINY.as_dict(), "learning_rate": 100.0, "weight_decay": 1.0, "epochs": 30})
    with pytest.raises(ModelError, match="lower the learning rate"):
        train(stripes(), wild)


def test_the_holdout_is_apart_from_the_training_images() -> None:
    pool = pool_of(ImageSet("x", np.zeros((20, 2, 2, 1), np.uint8), np.arange(20)), "cpu")
    training, holdout = split(pool, 0.3, torch.Generator().manual_seed(0))
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
    after = turned(images)
    assert after.shape == images.shape
    assert torch.equal(after.flatten(1).sort(1).values, images.flatten(1).sort(1).values)


def test_the_eight_ways_of_a_square_are_all_taken() -> None:
    one = torch.arange(9.0).reshape(1, 3, 3, 1)
    assert len({tuple(image.flatten().tolist()) for image in turned(one.expand(8, 3, 3, 1))}) == 8


def test_noise_is_added_in_the_unit_range_before_normalisation() -> None:
    grey = torch.full((50, 20, 20, 1), 51, dtype=torch.uint8)
    seen = noisy(grey, 255, 0.25, torch.Generator().manual_seed(0))
    assert seen.shape == (50, 1, 20, 20)
    assert abs(float(seen.mean()) - (0.2 - 0.5) / 0.5) < 0.02
    assert abs(float(seen.std()) - 0.25 / 0.5) < 0.02
    assert (grey == 51).all()


def test_disagreement_is_nought_only_for_equal_copies() -> None:
    logits = torch.randn(5, 3)
    assert float(disagreement(torch.cat([logits, logits]), 2)) == pytest.approx(0, abs=1e-6)
    assert float(disagreement(torch.cat([logits, -logits]), 2)) > 0.01


@pytest.mark.slow
def test_real_blood_cells_are_learned_under_noise(shared_data: Path) -> None:
    images = load_images(f"{shared_data / 'pbc28.npz'}#train").first(2000)
    reports: list[EpochReport] = []
    train(images, TrainingSettings(sigma=0.25, arch="resnet8", epochs=4, batch_size=64), reports.append)
    assert reports[-1].accuracy > 0.6
