from pathlib import Path

import numpy as np
import pytest
import torch

from refusals import refuses
from smoothcert.data import load_images
from smoothcert.models import load_classifier
from smoothcert.training import EpochReport, TrainingSettings, save, train
from smoothcert.training.batches import noise_levels
from training.stripes import TINY, stripes


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
    assert reports[-1].noisy is not None
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
    with refuses("E-MODEL-036"):
        save(module, TINY, images, file)


def test_other_names_are_not_invented() -> None:
    import smoothcert.training

    with pytest.raises(AttributeError, match="no attribute 'fit'"):
        smoothcert.training.fit  # noqa: B018


def test_refused_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with refuses("E-SPEC-110", match="at least 2 images"):
        train(stripes(3).first(1), TINY)
    with refuses("E-MODEL-074"):
        train(stripes(9), TrainingSettings(sigma=0.1, arch="vgg"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with refuses("E-SPEC-109"):
        train(stripes(9), TrainingSettings(sigma=0.1, device="cuda"))


def test_a_loss_that_explodes_is_named() -> None:
    wild = TrainingSettings(**{**TINY.as_dict(), "learning_rate": 100.0, "weight_decay": 1.0, "epochs": 30})
    with refuses("E-MODEL-110"):
        train(stripes(), wild)


@pytest.mark.slow
def test_real_blood_cells_are_learned_under_noise(shared_data: Path) -> None:
    images = load_images(f"{shared_data / 'pbc28.npz'}#train").first(2000)
    reports: list[EpochReport] = []
    train(images, TrainingSettings(sigma=0.25, arch="resnet8", epochs=4, batch_size=64), reports.append)
    assert reports[-1].accuracy > 0.6


@pytest.mark.parametrize(("augment", "turns"), [("turns", True), ("none", False)])
def test_augmentation_is_applied_only_with_turns(augment: str, turns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from smoothcert.training import trainer

    seen: list[int] = []
    monkeypatch.setattr(trainer, "flipped_and_rotated", lambda images: (seen.append(len(images)), images)[1])
    train(stripes(), TrainingSettings(**{**TINY.as_dict(), "epochs": 1, "augment": augment}))
    assert bool(seen) is turns


def test_every_epoch_draws_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Order, noise and what a network draws by itself differ between epochs, and not between two trainings."""
    from smoothcert.training import trainer

    rows, drawn = trainer.epoch_rows, []

    def watched(count: int, batch_size: int, generator: torch.Generator) -> object:
        drawn.append((generator.initial_seed(), torch.initial_seed()))
        return rows(count, batch_size, generator)

    monkeypatch.setattr(trainer, "epoch_rows", watched)
    for _ in range(2):
        train(stripes(), TINY)
    assert drawn[: TINY.epochs] == drawn[TINY.epochs :]
    assert all(len(set(seeds)) == TINY.epochs for seeds in zip(*drawn[: TINY.epochs], strict=True))
