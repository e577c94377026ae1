"""A denoiser before the classifier of a run: its votes, its facts, three accuracies, and what looks wrong."""

import numpy as np
import pytest
import torch

from networks import loaded, small_request, write_denoiser, write_grey_images, write_resnet
from refusals import refuses
from smoothcert.engine.measure import clean_forward, clean_logits
from smoothcert.engine.preflight import preflight
from smoothcert.engine.run import certify
from smoothcert.engine.session import Hooks
from smoothcert.engine.workload import check_models, model_facts
from smoothcert.errors import SpecError
from smoothcert.evidence import open_run
from smoothcert.formats.card import Card
from smoothcert.models import load_classifier
from smoothcert.models.checkpoints import save_weights
from smoothcert.models.denoisers.load import load_denoiser
from smoothcert.noise import Rows, Stage

DENOISERS = """
import torch
from torch import nn


class Box(nn.Module):
    # the mean of the image, which removes nearly all noise of these images
    def forward(self, x, sigma):
        return x.mean(dim=(1, 2, 3), keepdim=True).expand_as(x) + 0 * sigma


class Signed(nn.Module):
    # made for images from -1 to 1, which it does not say
    def forward(self, x):
        return 0.05 * x.mean(dim=(1, 2, 3), keepdim=True).expand_as(x)


class Noise(nn.Module):
    def forward(self, x):
        return x - x.mean(dim=(1, 2, 3), keepdim=True)


class Swallows(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x)


class Wide(Box):
    smoothcert = {"value_range": [-1, 1]}

    def forward(self, x, sigma):
        assert abs(sigma - 0.5) < 1e-9 and x.min() < -0.2
        return super().forward(x, sigma)


class Faint(Box):
    # randomness of its own, too little for the preflight
    def forward(self, x, sigma):
        return super().forward(x, sigma) + 1e-5 * torch.randn_like(x)


def faint():
    return Faint()


def signed():
    return Signed()


def box():
    return Box()


def noise():
    return Noise()


def swallows():
    return Swallows()


def wide():
    return Wide()
"""


@pytest.fixture
def denoisers(grey):
    """The folder of `grey` with the module `boxes` beside the module `nets`."""
    (grey.parent / "boxes.py").write_text(DENOISERS, encoding="utf-8")
    return grey


def test_the_sampler_classifies_denoised_noise_samples(denoisers, tmp_path):
    """Compared with the noise's own reference, denoised and classified by hand."""
    net, unet = write_resnet(tmp_path / "net.safetensors"), write_denoiser(tmp_path / "unet.safetensors")
    work = loaded(small_request(net, denoisers, denoiser=str(unet)))
    assert work.recipe.folded
    sampler = work.sampler(0.25, seed=7)
    for slot in range(4):
        sampler.load(slot, slot)
    slots = np.arange(64) % 4
    rows = Rows.of(slots, slots.astype(np.uint64), np.arange(64, dtype=np.uint64), Stage.TEST)
    found = sampler.logits(rows)
    steps = work.noise(0.25, 7).steps(rows, work.images.shape)
    noisy = torch.from_numpy((np.stack([work.images.pixels(i) for i in slots]) + steps) / 255).float()
    f = load_classifier(str(net))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (f.mean, f.std))
    with torch.no_grad():
        images = load_denoiser(str(unet)).module(noisy, 0.25)
        expected = f.module((images - mean) / std)
    assert not torch.allclose(images, noisy, atol=1e-2)
    assert torch.allclose(found, expected, atol=1e-3 * float(expected.abs().max()))


def test_three_accuracies_are_kept_apart(denoisers, tmp_path):
    near = write_grey_images(tmp_path / "near.npz", (100, 101, 102, 103))
    seen = preflight(loaded(small_request("nets:brittle", near, denoiser="boxes:swallows")), 0.25, seed=1)
    assert seen.denoising.alone == 1.0
    assert seen.clean.accuracy == seen.noisy_accuracy == 0.25  # the pipeline sees nothing
    work = loaded(small_request("nets:brittle", near, denoiser="boxes:swallows"))
    alone = clean_logits(work.behind, 0.25, range(4), clean_forward(work.behind, 0.25))
    assert alone.argmax(axis=1).tolist() == work.images.labels[:4].tolist()


def test_a_good_denoiser_raises_no_warning_and_a_training_without_noise_neither(denoisers, tmp_path):
    seen = preflight(loaded(small_request("nets:robust", denoisers, denoiser="boxes:box")), 0.25, seed=1)
    assert seen.warnings == ()
    assert seen.denoising.after > seen.denoising.before + 3
    assert seen.denoising.before == pytest.approx(12.04, abs=0.3)  # sigma 0.25


def test_a_denoiser_of_another_range_gets_its_own_units(denoisers):
    seen = preflight(loaded(small_request("nets:robust", denoisers, denoiser="boxes:wide")), 0.25, seed=1)
    assert seen.warnings == ()
    declared = small_request("nets:robust", denoisers, denoiser="boxes:box", denoiser_range=(-1, 1))
    assert preflight(loaded(declared), 0.25, seed=1).noisy_accuracy == seen.noisy_accuracy == 1.0


@pytest.mark.parametrize(("name", "words"), [("noise", "minus the noise"), ("swallows", "--denoiser-range")])
def test_a_denoiser_that_makes_images_worse(denoisers, name, words):
    seen = preflight(loaded(small_request("nets:robust", denoisers, denoiser=f"boxes:{name}")), 0.25, seed=1)
    assert seen.denoising.after < seen.denoising.before
    assert any(words in warning for warning in seen.warnings)


def test_a_value_range_that_was_forgotten_is_named(denoisers):
    request = small_request("nets:robust", denoisers, denoiser="boxes:signed")
    seen = preflight(loaded(request), 0.25, seed=1)
    assert any("--denoiser-range=-1,1" in warning for warning in seen.warnings)
    known = preflight(loaded(request.model_copy(update={"denoiser_range": (-1.0, 1.0)})), 0.25, seed=1)
    assert seen.denoising.better == ((-1.0, 1.0), pytest.approx(known.denoising.after))
    assert known.denoising.better is None


def test_warnings_about_the_classifier_alone_say_so(denoisers, tmp_path):
    with np.load(denoisers) as arrays:
        np.savez(tmp_path / "permuted.npz", images=arrays["images"], labels=(arrays["labels"] + 1) % 4)
    request = small_request("nets:robust", tmp_path / "permuted.npz", denoiser="boxes:box")
    (warning,) = [each for each in preflight(loaded(request), 0.25, seed=1).warnings if "order" in each]
    assert warning.startswith("the classifier alone: ")


def test_a_classifier_that_was_trained_behind_a_denoiser_misses_it(denoisers, tmp_path):
    """As `train --denoiser` writes its card."""
    net, unet = tmp_path / "net.safetensors", write_denoiser(tmp_path / "unet.safetensors")
    plain = load_classifier(str(write_resnet(tmp_path / "plain.safetensors")))
    start = {"denoiser": str(unet), "denoiser_sha256": load_denoiser(str(unet)).sha256}
    card = Card("resnet8", 4, 3, mean=plain.mean, std=plain.std, recipe={"start": start})
    save_weights(plain.module, card, net)

    def warned(**settings):
        found = preflight(loaded(small_request(net, denoisers, **settings)), 0.25, seed=1).warnings
        return [each for each in found if "trained behind the denoiser" in each]

    assert warned(denoiser=str(unet)) == []
    assert f"--denoiser {unet}" in warned()[0]
    other = write_denoiser(tmp_path / "other.safetensors", seed=6)
    assert f"not {other}" in warned(denoiser=str(other))[0]


def test_a_denoiser_of_other_noise_levels(denoisers, tmp_path):
    net, unet = write_resnet(tmp_path / "net.safetensors"), write_denoiser(tmp_path / "unet.safetensors")

    def warned(sigma):
        found = preflight(loaded(small_request(net, denoisers, denoiser=str(unet), sigma=sigma)), sigma, seed=1)
        return any(f"trained with sigma 0.1 to 0.5, not {sigma:g}" in warning for warning in found.warnings)

    assert not warned(0.1)
    assert not warned(0.5)
    assert warned(0.75)


def test_the_spec_names_classifier_and_denoiser(denoisers, tmp_path):
    net, unet = write_resnet(tmp_path / "net.safetensors"), write_denoiser(tmp_path / "unet.safetensors")
    request = small_request(net, denoisers, denoiser=str(unet), limit=4)
    run = open_run(certify(request, tmp_path / "run").path)
    facts, alone = run.spec.models[0], load_classifier(str(net))
    assert (facts.sha256, facts.mean, facts.arch) == (alone.sha256, alone.mean, "resnet8")
    assert (facts.denoiser.sha256, facts.denoiser.arch) == (load_denoiser(str(unet)).sha256, "unet-s")
    assert (facts.denoiser.trained_low, facts.denoiser.trained_sigma) == (0.1, 0.5)
    assert run.spec.request.denoiser == str(unet)
    check_models(run.spec, loaded(request))
    for other in (None, str(write_denoiser(tmp_path / "other.safetensors", seed=6))):
        with refuses("E-RUN-090", "0.25"):
            check_models(run.spec, loaded(request.model_copy(update={"denoiser": other})))


def test_without_a_denoiser_the_spec_has_no_word_of_it(grey, tmp_path):
    work = loaded(small_request(write_resnet(tmp_path / "net.safetensors"), grey))
    assert model_facts(work)[0].denoiser is None
    assert work.behind.classifiers == work.classifiers


@pytest.mark.parametrize("name", ["denoiser_weights", "denoiser_range"])
def test_settings_of_a_denoiser_need_one(name):
    values = {"denoiser_weights": "w.safetensors", "denoiser_range": (-1, 1)}
    with pytest.raises(SpecError, match=name):
        small_request("nets:robust", "d.npz", **{name: values[name]})


def test_what_only_the_self_test_finds_is_a_warning_before_the_samples(denoisers, tmp_path):
    texts = []
    hooks = Hooks(on_warning=texts.append)
    run = open_run(
        certify(small_request("nets:robust", denoisers, denoiser="boxes:faint"), tmp_path / "run", hooks).path
    )
    assert [("on chance" in text, "sigma 0.25" in text) for text in texts] == [(True, True)]
    assert not run.arithmetic_covered
    assert certify(small_request("nets:robust", denoisers, denoiser="boxes:box"), tmp_path / "other", hooks)
    assert len(texts) == 1
