"""Training of denoisers for frozen classifiers: what it improves, what it keeps, and that it can be continued."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from refusals import refuses
from smoothcert.cli.train import _describe_denoiser
from smoothcert.data import ImageSet
from smoothcert.models import Classifier
from smoothcert.models.checkpoints import read_tensors, read_weights, write_tensors
from smoothcert.models.classifier import Runtime
from smoothcert.models.denoisers.load import load_denoiser
from smoothcert.models.state import state_sha256
from smoothcert.training.checkpoint import FACTS, write_log
from smoothcert.training.denoiser_trainer import save_denoiser, train_denoiser
from smoothcert.training.settings import DenoiserReport, DenoiserSettings
from training.stripes import stripes

SHORT = DenoiserSettings(
    sigma=0.5, arch="unet-s", epochs=6, pretrain=2, batch_size=16, holdout=0.25, precision="fp32", average=0.9
)


def brittle() -> Classifier:
    """Tells dark, grey and bright images by one corner pixel, so noise flips it; it has no weights to learn."""

    class Corner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.greys = nn.Parameter(torch.tensor([0.0, 0.5, 1.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -20 * (x[:, 0, :1, 0] - self.greys) ** 2

    return Classifier(Corner().eval(), 3, None, (), (), "sha256:corner", "corner", False, None, None)


def trained(settings: DenoiserSettings = SHORT, images: ImageSet | None = None, **more: object) -> list[DenoiserReport]:
    reports: list[DenoiserReport] = []
    torch.set_num_threads(1)
    train_denoiser(images or stripes(), settings, [brittle()], reports.append, **more)
    return reports


@pytest.mark.parametrize("objective", ["mse", "both", "stability"])
def test_a_brittle_classifier_gains_accuracy_under_noise(objective: str) -> None:
    reports = trained(replace(SHORT, objective=objective, epochs=20, learning_rate=0.01))
    first, last = reports[0], reports[-1]
    assert last.alone == 1.0
    assert last.noisy > first.noisy
    assert last.certified_025 >= 0.9
    assert last.certified_05 >= 0.7
    assert last.certified_1 <= last.certified_05 <= last.certified_025
    if objective != "stability":
        assert last.psnr > last.psnr_noisy + 5


def test_consistency_makes_answers_agree() -> None:
    """Twice the samples per step; the votes of held-out images agree at least as much."""
    settings = replace(SHORT, epochs=20, learning_rate=0.01)
    without, with_it = trained(settings)[-1], trained(replace(settings, consistency=2.0))[-1]
    assert with_it.certified_05 >= without.certified_05 - 0.1
    assert with_it.loss != without.loss


class CutError(Exception):
    """The training was cut off."""


def cut_after(epochs: int) -> Callable[[DenoiserReport], None]:
    def on_progress(report: DenoiserReport) -> None:
        if report.epoch == epochs:
            raise CutError

    return on_progress


@pytest.mark.parametrize(("cuts", "precision"), [((1,), "fp32"), ((2, 4), "fp32"), ((3,), "bf16")])
def test_a_training_that_was_cut_off_ends_in_the_same_weights(
    cuts: tuple[int, ...], precision: str, tmp_path: Path
) -> None:
    settings = replace(SHORT, sigma_low=0.25, precision=precision, estimate_every=2)
    whole: list[DenoiserReport] = []
    expected = train_denoiser(stripes(), settings, [brittle()], whole.append).state_dict()
    file = tmp_path / "unet.checkpoint.safetensors"
    for after in cuts:
        with pytest.raises(CutError):
            train_denoiser(stripes(), settings, [brittle()], cut_after(after), file)
    reports: list[DenoiserReport] = []
    found = train_denoiser(stripes(), settings, [brittle()], reports.append, file).state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert [replace(report, seconds=0) for report in reports] == [replace(report, seconds=0) for report in whole]
    with refuses("E-SPEC-102", "epochs was 6, now 7"):
        train_denoiser(stripes(), replace(settings, epochs=7), [brittle()], checkpoint=file)
    with refuses("E-SPEC-102"):
        train_denoiser(stripes(), settings, [replace(brittle(), sha256="sha256:other")], checkpoint=file)


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log[0].update(loss="x"),
        lambda log: log[0].update(loss=None),
        lambda log: log[0].update(more=1),
        lambda log: log[0].pop("loss"),
        lambda log: log[0].update(epoch=2),
        lambda log: log.extend([{**log[0], "epoch": epoch} for epoch in range(2, 9)]),
    ],
)
def test_a_log_that_no_training_wrote_is_refused(
    change: Callable[[list[dict[str, object]]], object], tmp_path: Path
) -> None:
    file = tmp_path / "unet.checkpoint.safetensors"
    with pytest.raises(CutError):
        train_denoiser(stripes(), SHORT, [brittle()], cut_after(1), file)
    tensors, metadata = read_tensors(file)
    facts = json.loads(metadata[FACTS])
    change(facts["log"])
    write_tensors(file, tensors, {FACTS: json.dumps(facts)})
    with refuses("E-MODEL-104"):
        train_denoiser(stripes(), SHORT, [brittle()], checkpoint=file)


def test_the_classifier_is_not_changed() -> None:
    classifier = brittle()
    before = state_sha256(classifier.module)
    classifier.module.train()
    train_denoiser(stripes(), replace(SHORT, epochs=1, pretrain=0), [classifier])
    assert state_sha256(classifier.module) == before
    assert classifier.module.training
    assert all(parameter.requires_grad for parameter in classifier.module.parameters())


def test_images_without_labels_suffice() -> None:
    """Weights and figures are the same, as this classifier is right about every clean image, except its accuracy."""
    images = stripes()
    unlabelled = replace(images, labels=0 * images.labels, class_names=())
    settings = replace(SHORT, epochs=3)
    known, unknown = trained(settings), trained(settings, unlabelled, labelled=False)
    assert [replace(each, seconds=0, alone=None) for each in known] == [replace(each, seconds=0) for each in unknown]
    assert known[0].alone == 1.0
    assert "accuracy 100.0% without denoiser" in _describe_denoiser(settings, known)
    words = _describe_denoiser(settings, unknown)
    assert "agreement" in words
    assert not {"accuracy", "without"} & set(words.split())
    assert "(mse first)" in _describe_denoiser(settings, known[:2])
    assert "(mse first)" not in words


def test_every_training_minimises_its_objective() -> None:
    defaults = {epochs: replace(SHORT, epochs=epochs, pretrain=None).with_defaults() for epochs in (1, 10, 40)}
    assert {epochs: filled.pretrain for epochs, filled in defaults.items()} == {1: 0, 10: 1, 40: 4}
    assert [filled.objective_at(epochs) for epochs, filled in defaults.items()] == ["both"] * 3
    for pretrain in (6, 7):
        with refuses("E-SPEC-190", "of 6"):
            replace(SHORT, pretrain=pretrain)
    assert replace(SHORT, objective="mse", pretrain=7)


def test_the_moving_average_is_what_is_returned() -> None:
    found = {
        average: train_denoiser(stripes(), replace(SHORT, objective="mse", epochs=2, average=average))
        for average in (0.0, 0.9)
    }
    x = torch.rand(2, 1, 8, 8)
    assert not torch.equal(found[0.0](x, 0.5), found[0.9](x, 0.5))


def test_without_a_classifier_only_the_squared_error_can_be_minimised() -> None:
    with refuses("E-SPEC-130", "none"):
        train_denoiser(stripes(), SHORT)
    assert not train_denoiser(stripes(), replace(SHORT, objective="mse", epochs=1)).training


def test_a_classifier_without_gradients_is_only_measured() -> None:
    other = replace(brittle(), runtime=Runtime("another library 1.0"), reference="net.onnx")
    with refuses("E-SPEC-130", r"net\.onnx"):
        train_denoiser(stripes(), SHORT, [other])
    reports: list[DenoiserReport] = []
    train_denoiser(stripes(), replace(SHORT, epochs=3), [other, brittle()], reports.append)
    assert reports[-1].noisy is not None


@pytest.mark.parametrize("channels", [1, 3])
def test_a_saved_denoiser_names_how_it_was_trained(channels: int, tmp_path: Path) -> None:
    settings, images = replace(SHORT, sigma_low=0.25, epochs=1, objective="mse"), stripes(channels=channels)
    module = train_denoiser(images, settings)
    save_denoiser(module, settings, images, tmp_path / "unet.safetensors", [brittle()])
    found = load_denoiser(str(tmp_path / "unet.safetensors"))
    assert (found.arch, found.sigma_low, found.sigma) == ("unet-s", 0.25, 0.5)
    card = read_weights(tmp_path / "unet.safetensors").denoiser
    assert card.recipe["for"] == [{"model": "corner", "sha256": "sha256:corner"}]
    assert card.recipe["settings"]["epochs"] == 1
    assert card.recipe["images_sha256"] == images.sha256()
    with refuses("E-MODEL-036"):
        save_denoiser(module, settings, images, tmp_path / "unet.safetensors")


def test_a_training_starts_from_a_denoiser_and_says_so(tmp_path: Path) -> None:
    settings, images, first = replace(SHORT, epochs=10, pretrain=None), stripes(), tmp_path / "first.safetensors"
    save_denoiser(train_denoiser(images, settings, [brittle()]), settings, images, first)
    start, further = load_denoiser(str(first)), replace(settings, epochs=1, learning_rate=1e-8, average=0.0)
    checkpoint, second = tmp_path / "second.checkpoint.safetensors", tmp_path / "second.safetensors"
    module = train_denoiser(images, further, [brittle()], checkpoint=checkpoint, start=start)
    for name, parameter in module.named_parameters():
        assert torch.allclose(parameter, dict(start.module.named_parameters())[name], atol=1e-6), name
    save_denoiser(module, further, images, second, [brittle()], start)
    recipe = read_weights(second).denoiser.recipe
    assert recipe["start"] == {"denoiser": str(first), "sha256": start.sha256}
    assert recipe["settings"]["pretrain"] == 0
    recorded = read_weights(first).denoiser.recipe["settings"]
    assert (recorded["pretrain"], recorded["arch"]) == (1, "unet-s")
    assert replace(further, arch=None).with_defaults(start.arch) == further.with_defaults(start.arch)
    with refuses("E-SPEC-102", "start"):
        train_denoiser(images, further, [brittle()], checkpoint=checkpoint)
    with refuses("E-MODEL-151", "--arch unet-s"):
        train_denoiser(images, replace(further, arch="unet-m"), [brittle()], start=start)
    with refuses("E-MODEL-150"):
        train_denoiser(images, further, [brittle()], start=replace(start, arch=None))


def test_the_log_has_one_row_per_epoch(tmp_path: Path) -> None:
    reports = trained(replace(SHORT, epochs=2, pretrain=0))
    write_log(tmp_path / "unet.csv", reports)
    head, *rows = (tmp_path / "unet.csv").read_text().splitlines()
    assert head.split(",")[:4] == ["epoch", "epochs", "rate", "loss"]
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sigma": 0.0}, "E-SPEC-131"),
        ({"sigma_low": 0.5}, "E-SPEC-104"),
        ({"average": 1.0}, "E-SPEC-103"),
        ({"pretrain": 1.5}, "E-SPEC-105"),
        ({"objective": "gan"}, "E-SPEC-106"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, object], code: str) -> None:
    with refuses(code):
        replace(SHORT, **change)


def test_a_classifier_for_other_channels_is_refused() -> None:
    with refuses("E-MODEL-134", "3 channels"):
        train_denoiser(stripes(), SHORT, [replace(brittle(), mean=(0.5,) * 3, std=(0.5,) * 3)])
