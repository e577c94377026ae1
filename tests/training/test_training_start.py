import sys
from pathlib import Path

import pytest
import torch

from smoothcert.errors import ModelError
from smoothcert.models import ModelOptions, load_classifier
from smoothcert.training import TrainingSettings, save, train
from smoothcert.training.batches import pool_of
from smoothcert.training.start import pretrained_start
from training.stripes import TINY, stripes

SOURCE = """
import torch
from torch import nn

def plain(num_classes=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))

def grey_levels():
    net = plain()
    net.smoothcert = {"value_range": [0, 255], "mean": [51.0], "std": [102.0]}
    return net

def two():
    net = plain(2)
    net.smoothcert = {"num_classes": 2}
    return net

def colour():
    net = plain()
    net.smoothcert = {"mean": [0, 0, 0], "std": [1, 1, 1]}
    return net

def larger():
    net = plain()
    net.smoothcert = {"input_shape": [1, 9, 9]}
    return net
"""


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "given.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "given", raising=False)


def test_training_begins_with_the_weights_that_were_given() -> None:
    save(train(stripes(), TINY), TINY, stripes(), "w.safetensors")
    given = load_classifier("w.safetensors")
    still = TrainingSettings(sigma=0.1, epochs=1, batch_size=16, learning_rate=1e-8, weight_decay=0.0, precision="fp32")
    after = train(stripes(), still, None, pretrained_start(stripes(), "w.safetensors", ModelOptions()))
    for name, tensor in given.module.named_parameters():
        assert torch.allclose(after.get_parameter(name), tensor, atol=1e-6)


def test_noise_it_never_saw_is_learned() -> None:
    """Fine-tuning a classifier of clean images raises what it gets right under noise."""
    clean = TrainingSettings(**{**TINY.as_dict(), "sigma": 0.0, "consistency": 0.0})
    images = stripes(240)
    save(train(images, clean), clean, images, "clean.safetensors")
    reports: list = []
    noise = TrainingSettings(sigma=0.6, epochs=6, batch_size=16, holdout=0.25, precision="fp32", learning_rate=0.05)
    start = pretrained_start(images, "clean.safetensors", ModelOptions())
    module = train(images, noise, reports.append, start)
    assert reports[-1].noisy > reports[0].noisy - 0.05
    assert reports[-1].loss < 0.9 * reports[0].loss
    save(module, noise, images, "tuned.safetensors", start)
    card = load_classifier("tuned.safetensors")
    assert (card.arch, card.sigma) == ("resnet8", 0.6)


def test_the_weights_say_where_they_come_from() -> None:
    from smoothcert.models.checkpoints import read_weights

    save(train(stripes(), TINY), TINY, stripes(), "w.safetensors")
    start = pretrained_start(stripes(), "w.safetensors", ModelOptions())
    save(train(stripes(), TINY, None, start), TINY, stripes(), "v.safetensors", start)
    recipe = read_weights("v.safetensors").card.recipe
    assert recipe["start"] == {"model": "w.safetensors", "sha256": read_weights("w.safetensors").sha256}
    assert recipe["settings"]["learning_rate"] == 0.02
    assert read_weights("w.safetensors").card.recipe["start"] is None


def test_code_of_the_user_is_trained_and_certified_with_its_own_normalisation() -> None:
    start = pretrained_start(stripes(), "given:grey_levels", ModelOptions())
    assert (start.mean, start.std) == ((0.2,), (0.4,))  # 51 and 102 of 255, as images in [0, 1] need them
    pool = pool_of(stripes(), start.mean, start.std, "cpu")
    seen = pool.noisy(torch.full((1, 8, 8, 1), 153, dtype=torch.uint8), 0.0, torch.Generator())
    assert float(seen.mean()) == pytest.approx((153 - 51) / 102)
    settings = TrainingSettings(sigma=0.1, epochs=4, batch_size=16, precision="fp32")
    module = train(stripes(), settings, None, start)
    save(module, settings, stripes(), "mine.safetensors", start)
    got = load_classifier("given:plain", ModelOptions(weights="mine.safetensors"))
    assert (got.mean, got.std, got.sigma) == ((0.2,), (0.4,), 0.1)
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(got.module(x), module(x))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("given:two", "declares classes 2, but the images have 3"),
        ("given:colour", "declares channels 3, but the images have 1"),
        ("given:larger", r"declares input shape \(1, 9, 9\), but the images have \(1, 8, 8\)"),
        ("net.pt2", "is an exported program, which cannot be trained"),
        ("net.h5", "is not a supported model reference"),
        ("none.safetensors", "cannot be read"),
    ],
)
def test_a_classifier_that_does_not_fit(model: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        pretrained_start(stripes(), model, ModelOptions(num_classes=3, in_channels=1))
