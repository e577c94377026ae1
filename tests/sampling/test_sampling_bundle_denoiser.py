"""A bundle of a denoiser and a classifier: the same votes as the run, and nothing but the certified pipeline."""

import importlib
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from torch import nn

import smoothcert as sc
import smoothcert.sampling.smoothing as smooth
from networks import (
    DENOISERS,
    small_request,
    write_denoiser,
    write_denoisers,
    write_factory,
    write_random_images,
    write_resnet,
)
from refusals import refuses
from smoothcert import SmoothedClassifier
from smoothcert.engine.run import certify
from smoothcert.evidence import open_run
from smoothcert.evidence.bundle.files import read_bundle
from smoothcert.import_factory import working_directory_importable
from smoothcert.models import Denoiser, load_classifier
from smoothcert.models.denoisers.load import load_denoiser
from smoothcert.sampling.save_bundle import BundleRequest, bundle_run
from smoothcert.verify import verify_bundle

from .fakes import Conv, pixels

SHAPE = (3, 8, 8)
OPTIONS = {"batch_size": 64, "n0": 20}
KINDS = {
    "built in": ("net.safetensors", "d.safetensors"),
    "custom denoiser": ("net.safetensors", "denoisers:blur"),
    "custom network": ("nets:robust", "d.safetensors"),
    "both custom": ("nets:robust", "denoisers:blur"),
    "diffusion model": ("net.safetensors", "denoisers:step"),
}


@pytest.fixture(autouse=True)
def workshop(runs, monkeypatch):
    """The working directory: networks, denoisers and images."""
    monkeypatch.chdir(runs.folder)
    yield runs.folder
    for name in ("nets", "denoisers"):
        sys.modules.pop(name, None)


class Runs:
    """Finished runs of each kind, made when first asked for."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def __call__(self, kind):
        if kind not in self.made:
            model, denoiser = KINDS[kind]
            more = {} if denoiser is None else {"denoiser": denoiser}
            asked = small_request(model, "images.npz", n_max=100, radius=0.1, **more)
            self.made[kind] = open_run(certify(asked, self.folder / f"run {len(self.made)}").path)
        return self.made[kind]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workshop")
    write_resnet(folder / "net.safetensors")
    write_random_images(folder / "images.npz")
    write_denoiser(folder / "d.safetensors")
    write_denoiser(folder / "other.safetensors", seed=2)
    write_factory(folder)
    write_denoisers(folder)
    return Runs(folder)


@pytest.fixture
def fixed_noise(monkeypatch):
    """The noise two calls draw is the same; only a test may know it."""
    monkeypatch.setattr(smooth.secrets, "randbits", lambda _: 77)


def modules():
    """What a user's code builds: the module `denoisers` of the working directory."""
    with working_directory_importable():
        return vars(importlib.import_module("denoisers"))


def given(kind):
    """What a user passes to `load`, with weights that are about to be replaced."""
    model, denoiser = KINDS[kind]
    code = {}
    if ":" in model:
        code["model"] = load_classifier(model).module
    if ":" in denoiser:
        code["denoiser"] = load_denoiser(denoiser).module.inner
        for tensor in code["denoiser"].parameters():
            nn.init.zeros_(tensor)
    return code


def moved(kind):
    model, denoiser = KINDS[kind]
    return {"model": model, "denoiser": denoiser}


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_has_the_votes_of_the_run(kind, runs, tmp_path, fixed_noise):
    run = runs(kind)
    bundle = bundle_run(run, tmp_path / "b", None, BundleRequest(n=300), moved(kind))
    assert read_bundle(tmp_path / "b") == bundle
    assert bundle.model.denoiser == run.spec.models[0].denoiser
    assert bool(bundle.probe) == (kind != "built in")
    report = verify_bundle(run, tmp_path / "b")
    assert (report.passed, report.faults) == (True, ())
    g = SmoothedClassifier.load(tmp_path / "b", **given(kind))
    assert (g.warnings, g.recipe(SHAPE)) == ((), run.spec.recipe)
    classifier, denoiser = load_classifier(KINDS[kind][0]), load_denoiser(KINDS[kind][1])
    before = SmoothedClassifier(classifier, 0.25, 4, denoiser=denoiser, **OPTIONS)
    assert g.predictions(pixels()) == before.predictions(pixels(), n=300)
    alone = SmoothedClassifier(classifier, 0.25, 4, **OPTIONS)
    assert g.predictions(pixels()) != alone.predictions(pixels(), n=300)


def test_the_file_of_a_built_in_denoiser_is_copied(runs, workshop, tmp_path):
    bundle_run(runs("built in"), tmp_path / "b", None, BundleRequest())
    assert (tmp_path / "b" / "denoiser.safetensors").read_bytes() == (workshop / "d.safetensors").read_bytes()


@pytest.mark.parametrize("kind", ["built in", "custom denoiser"])
def test_save_with_the_run_that_certified_it(kind, runs, tmp_path):
    run = runs(kind)
    classifier, denoiser = load_classifier("net.safetensors"), load_denoiser(KINDS[kind][1])
    g = SmoothedClassifier(classifier, 0.25, 4, denoiser=denoiser, **OPTIONS)
    g.save(tmp_path / "b", run=run)
    assert read_bundle(tmp_path / "b") == bundle_run(run, tmp_path / "c", None, BundleRequest(), moved(kind))
    for name in ("denoiser.safetensors", "README.md", "SHA256SUMS"):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()


class Shifted(Conv):
    """The same weights, other code."""

    def forward(self, x):
        return super().forward(x) + x.mean()


@pytest.mark.filterwarnings("ignore::UserWarning")  # the networks are not trained
def test_python_objects_are_certified_saved_and_loaded(tmp_path, fixed_noise):
    net, before = Conv(), modules()["blur"]()
    images = np.load("images.npz")
    data = torch.from_numpy(images["images"].transpose(0, 3, 1, 2)), torch.from_numpy(images["labels"])
    settings = {"sigma": 0.25, "radii": (0.1,), "n_max": 100, "seed": 7, "n0": 20, "batch_size": 64}
    run = sc.certify(net, data, out=tmp_path / "run", denoiser=before, **settings)
    with refuses("E-MODEL-112"):
        bundle_run(run, tmp_path / "b", None, BundleRequest())
    g = SmoothedClassifier(net, 0.25, 4, denoiser=before, **OPTIONS)
    g.save(tmp_path / "b", run=run)
    assert verify_bundle(run, tmp_path / "b").passed
    again = SmoothedClassifier.load(tmp_path / "b", Conv(), denoiser=modules()["other"]())
    assert again.predictions(pixels()) == g.predictions(pixels())
    for other in (modules()["other"](), modules()["sharp"](), None):
        with refuses("E-RUN-087"):
            SmoothedClassifier(net, 0.25, 4, denoiser=other, **OPTIONS).save(tmp_path / "c", run=run)
    shifted = Shifted()
    shifted.load_state_dict(net.state_dict())
    with refuses("E-RUN-087", match="source of the network"):
        SmoothedClassifier(shifted, 0.25, 4, denoiser=before, **OPTIONS).save(tmp_path / "c", run=run)


def test_save_without_a_run_keeps_no_seed_and_no_path(tmp_path, fixed_noise):
    g = SmoothedClassifier(Conv(), 0.25, 4, denoiser=modules()["blur"](), **(OPTIONS | {"seed": 77}))
    g.save(tmp_path / "b", shape=SHAPE)
    record = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert (record["certified"], record["denoiser_file"]["value_range"]) == (None, [-1.0, 1.0])
    again = SmoothedClassifier.load(tmp_path / "b", Conv(), denoiser=modules()["blur"]())
    assert again.predictions(pixels()) == g.predictions(pixels())


class Normalised(nn.Module):
    """A denoiser that behaves differently in training mode."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(x).clamp(0, 1)


def test_a_denoiser_in_training_mode_is_saved_as_it_is_evaluated(tmp_path):
    before = Normalised().train()
    state = {name: tensor.clone() for name, tensor in before.state_dict().items()}
    SmoothedClassifier(Conv(), 0.25, 4, denoiser=before, **OPTIONS).save(tmp_path / "b", shape=SHAPE)
    assert before.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in before.state_dict().items())
    SmoothedClassifier.load(tmp_path / "b", Conv(), denoiser=Normalised())


# ---- refusals


@pytest.fixture
def custom(runs, tmp_path):
    """A bundle whose denoiser is code."""
    bundle_run(runs("custom denoiser"), tmp_path / "b", None, BundleRequest(), moved("custom denoiser"))
    return tmp_path / "b"


def test_code_must_be_given_and_be_the_right_code(custom, runs, tmp_path):
    with refuses("E-MODEL-142", match="--denoiser package.module:factory"):
        SmoothedClassifier.load(custom)
    with refuses("E-MODEL-095", match="not the pipeline of this bundle"):
        SmoothedClassifier.load(custom, denoiser=modules()["sharp"]())
    with refuses("E-MODEL-080"):
        SmoothedClassifier.load(custom, denoiser=Conv())
    with refuses("E-MODEL-132"):
        SmoothedClassifier.load(custom, denoiser=3)
    with refuses("E-RUN-092", match="images from -1 to 1"):
        SmoothedClassifier.load(custom, denoiser=Denoiser(modules()["blur"](), "", "not adapted"))
    SmoothedClassifier.load(custom, denoiser=load_denoiser("denoisers:other"))
    bundle_run(runs("built in"), tmp_path / "own", None, BundleRequest())
    with refuses("E-MODEL-141", match="unet-s; remove the denoiser"):
        SmoothedClassifier.load(tmp_path / "own", denoiser=modules()["blur"]())
    SmoothedClassifier(Conv(), 0.25, 4, **OPTIONS).save(tmp_path / "none", shape=SHAPE)
    with refuses("E-MODEL-140"):
        SmoothedClassifier.load(tmp_path / "none", Conv(), denoiser=modules()["blur"]())


@pytest.mark.parametrize(
    ("kind", "more", "code"),
    [
        ("built in", {"denoiser": "other.safetensors"}, "E-RUN-086"),
        ("built in", {"denoiser": "nowhere.safetensors"}, "E-RUN-084"),
        ("built in", {"denoiser": "denoisers:blur"}, "E-RUN-086"),
        ("custom denoiser", {"denoiser": "denoisers:other"}, "E-RUN-086"),
        ("custom denoiser", {}, "E-FILE-007"),
        ("custom denoiser", {"denoiser": "denoisers:blur", "denoiser_weights": "d.safetensors"}, "E-RUN-086"),
    ],
)
def test_another_denoiser_is_not_bundled(kind, more, code, runs, tmp_path):
    with refuses(code):
        bundle_run(runs(kind), tmp_path / "b", None, BundleRequest(), more)
    assert not (tmp_path / "b").exists()


def test_changed_code_is_not_bundled(runs, workshop, tmp_path):
    run, source = runs("custom denoiser"), workshop / "denoisers.py"
    source.write_text(DENOISERS.replace("return x - sigma", "return x - 1.01 * sigma"))
    try:
        sys.modules.pop("denoisers", None)
        with refuses("E-RUN-085", match="--denoiser"):
            bundle_run(run, tmp_path / "b", None, BundleRequest(), {"denoiser": "denoisers:blur"})
    finally:
        write_denoisers(workshop)


def test_a_moved_denoiser_is_found_by_its_flag(runs, workshop, tmp_path):
    moved = shutil.copy(workshop / "d.safetensors", tmp_path / "moved.safetensors")
    bundle_run(runs("built in"), tmp_path / "b", None, BundleRequest(), {"denoiser": str(moved)})
    SmoothedClassifier.load(tmp_path / "b")


def test_a_denoiser_for_a_run_without_one_is_refused(runs, tmp_path):
    run = open_run(certify(small_request("net.safetensors", "images.npz", n_max=100, radius=0.1), tmp_path / "r").path)
    for name in ("denoiser", "denoiser_weights"):
        with refuses("E-RUN-091", match=f"--{name.replace('_', '-')}"):
            bundle_run(run, tmp_path / "b", None, BundleRequest(), {name: "d.safetensors"})
    g = SmoothedClassifier(
        load_classifier("net.safetensors"), 0.25, 4, denoiser=load_denoiser("d.safetensors"), **OPTIONS
    )
    with refuses("E-RUN-087", match="denoiser is sha256:.*, certified: none"):
        g.save(tmp_path / "b", run=run)
