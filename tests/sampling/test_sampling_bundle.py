"""Saved and loaded, a smoothed classifier gives the same votes; what is not the certified object does not load."""

import hashlib
import json
import pickle
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import smoothcert.sampling.smoothing as smooth
from networks import FACTORY, small_request, write_random_images, write_resnet
from refusals import refuses
from smoothcert import SmoothedClassifier
from smoothcert.engine.run import certify
from smoothcert.errors import EvidenceError, SmoothcertError
from smoothcert.evidence import Run, open_run
from smoothcert.evidence.bundle.differences import differences, state_sha256_of, tie_of
from smoothcert.evidence.bundle.files import read_bundle
from smoothcert.models import ModelOptions, load_classifier
from smoothcert.models.state import state_sha256
from smoothcert.sampling.identity import probe
from smoothcert.sampling.save_bundle import BundleRequest, bundle_run
from smoothcert.verify import verify_bundle

from .fakes import Conv, lived_in_resnet, pixels

SHAPE = (3, 8, 8)
OPTIONS = {"batch_size": 64}


class Other(Conv):
    """The same weights, other code."""

    def forward(self, x):
        return self.layers(0.5 - x)


@pytest.fixture
def fixed_noise(monkeypatch):
    """The noise two calls draw is the same; only a test may know it."""
    monkeypatch.setattr(smooth.secrets, "randbits", lambda _: 77)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A folder with a network of ours, code of a user's, weights in several forms, images."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "bundled_nets.py").write_text(FACTORY + CONV)
    write_resnet(folder / "net.safetensors")
    write_random_images(folder / "images.npz")
    state = load_classifier(str(folder / "net.safetensors")).module.state_dict()
    for name in ("net.pt", "net.ckpt", "net.tar"):
        torch.save({"state_dict": state}, folder / name)
    torch.manual_seed(8)
    convs = {name: torch.randn(tensor.shape) / 4 for name, tensor in Conv().state_dict().items()}
    save_file({f"module.{name}": tensor for name, tensor in convs.items()}, folder / "conv.safetensors")
    torch.save(convs, folder / "conv.pt")
    yield folder
    sys.modules.pop("bundled_nets", None)


CONV = """

class Conv(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, num_classes))
        self.smoothcert = {"mean": [0.5], "std": [0.5]}

    def forward(self, x):
        return self.layers(x)


def conv(num_classes=4):
    return Conv(num_classes)
"""
MODELS = {
    "own": ("net.safetensors", {}, "same file"),
    "own, bf16": ("net.safetensors", {"precision": "bf16"}, "same file"),
    "own, checkpoint": ("net.ckpt", {"arch": "resnet8"}, "same tensors"),
    "own, archive": ("net.tar", {"arch": "resnet8"}, "same tensors"),
    "own, state dict": ("net.pt", {"arch": "resnet8"}, "same tensors"),
    "code": ("bundled_nets:conv", {}, "same tensors"),
    "code, float noise": ("bundled_nets:conv", {"noise": "float", "precision": "bf16"}, "same tensors"),
    "code and safetensors": ("bundled_nets:conv", {"weights": "conv.safetensors"}, "same file"),
    "code and state dict": ("bundled_nets:conv", {"weights": "conv.pt"}, "same tensors"),
    "code without parameters": ("bundled_nets:robust", {}, "same tensors"),
}


@pytest.fixture(scope="module")
def runs(workshop):
    """A finished run of each kind of classifier, made when first asked for."""
    made = {}

    def run(kind: str) -> Run:
        if kind not in made:
            model, more, _ = MODELS[kind]
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(workshop)
                asked = small_request(model, "images.npz", n_max=100, radius=0.1, **more)
                made[kind] = open_run(certify(asked, workshop / f"run {len(made)}").path)
        return made[kind]

    return run


def network(kind):
    """What a user passes to `load`, with weights that are about to be replaced."""
    name = MODELS[kind][0]
    if not name.startswith("bundled_nets:"):
        return None
    sys.path.insert(0, ".")
    try:
        import bundled_nets

        return getattr(bundled_nets, name.removeprefix("bundled_nets:"))()
    finally:
        sys.path.remove(".")


@pytest.mark.parametrize("kind", MODELS)
def test_a_certified_run_becomes_a_bundle_with_the_same_votes(kind, runs, workshop, tmp_path, monkeypatch, fixed_noise):
    run = runs(kind)
    monkeypatch.chdir(workshop)
    bundle = bundle_run(run, tmp_path / "b", None, BundleRequest(n=300), {"model": MODELS[kind][0]})
    assert differences(bundle, run.spec) == ()
    assert read_bundle(tmp_path / "b") == bundle
    assert tie_of((tmp_path / "b" / "weights.safetensors").read_bytes(), bundle.model) == MODELS[kind][2]
    assert "seed" not in (tmp_path / "b" / "bundle.json").read_text()
    g = SmoothedClassifier.load(tmp_path / "b", network(kind))
    assert g.warnings == ()
    assert g.recipe(SHAPE) == run.spec.recipe

    request_ = run.spec.request
    options = {name: getattr(request_, name) for name in ("precision", "batch_size", "bound", "n0")}
    options["noise"] = "gaussian" if request_.noise == "float" else "grid"
    more = {"arch": request_.arch, "weights": request_.weights}
    classifier = load_classifier(request_.model, ModelOptions(num_classes=4, in_channels=3, **more))
    before = SmoothedClassifier(classifier, 0.25, 4, **options)
    images = np.load("images.npz")["images"].transpose(0, 3, 1, 2)
    assert g.predictions(images) == before.predictions(images, n=300)
    assert g.certificates(images[:3], n_max=100, radii=(0.1,)) == before.certificates(
        images[:3], n_max=100, radii=(0.1,)
    )


@pytest.mark.parametrize("kind", ["own, state dict", "own, checkpoint", "code and state dict"])
def test_other_weights_of_any_form_are_no_certified_object(kind, runs, workshop, tmp_path, monkeypatch):
    run = runs(kind)
    monkeypatch.chdir(workshop)
    bundle_run(run, tmp_path / "b", None, BundleRequest(n=300), {"model": MODELS[kind][0]})
    assert verify_bundle(run, tmp_path / "b").passed
    place = tmp_path / "b" / "weights.safetensors"
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    place.write_bytes(data)
    record = json.loads((tmp_path / "b" / "bundle.json").read_text())
    record["file_sha256"] = f"sha256:{hashlib.sha256(data).hexdigest()}"
    (tmp_path / "b" / "bundle.json").write_text(json.dumps(record))
    names = ("README.md", "bundle.json", "weights.safetensors")
    sums = (f"{hashlib.sha256((tmp_path / 'b' / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (tmp_path / "b" / "SHA256SUMS").write_text("".join(sums))
    assert verify_bundle(run, tmp_path / "b").faults
    with pytest.raises(EvidenceError):
        SmoothedClassifier.load(tmp_path / "b", network(kind))


def test_the_bundle_of_a_run_repeats_its_votes(runs, tmp_path, workshop, monkeypatch):
    """With the run's seed, known to the test alone, the certificates of the run come again from the bundle."""
    monkeypatch.chdir(workshop)
    run = runs("own")
    bundle_run(run, tmp_path / "b", None, BundleRequest())
    g = SmoothedClassifier.load(tmp_path / "b")
    monkeypatch.setattr(smooth.secrets, "randbits", lambda _: run.spec.seed)
    images = np.load("images.npz")
    labels = images["labels"].tolist()
    again = g.certificates(images["images"].transpose(0, 3, 1, 2), labels=labels, n_max=100, radii=(0.1,))
    found = run.certificates(0.25)
    assert [c.certified_at == (0.1,) for c in again] == found.certified_correct(0.1).tolist()
    assert [c.samples for c in again] == [line.samples for line in run.ledger.at(0.25)]


# ---- from Python


@pytest.mark.parametrize("kind", ["resnet", "conv", "fixed seed"])
def test_save_and_load_in_memory_modules(kind, tmp_path, fixed_noise):
    net, fresh = (lived_in_resnet(), lived_in_resnet()) if kind == "resnet" else (Conv(), Conv())
    nn.init.normal_(next(iter(fresh.parameters())))
    options = OPTIONS | ({"seed": 99} if kind == "fixed seed" else {})
    g = SmoothedClassifier(net, 0.25, 4, **options)
    g.save(tmp_path / "b", n=200, alpha=0.01, class_names=("a", "b", "c", "d"), shape=SHAPE)
    text = (tmp_path / "b" / "bundle.json").read_text()
    assert "seed" not in text
    assert json.loads(text)["certified"] is None
    again = SmoothedClassifier.load(tmp_path / "b", model=fresh)
    assert again.settings.seed is None
    assert (again.sigma, again.levels, again.warnings) == (0.25, 255, ())
    assert (again.bundle.class_names, again.bundle.n, again.bundle.alpha) == (("a", "b", "c", "d"), 200, 0.01)
    if kind != "fixed seed":
        assert again.predictions(pixels()) == g.predictions(pixels(), n=200, alpha=0.01)


def test_a_loaded_classifier_draws_fresh_noise_at_each_call(tmp_path):
    SmoothedClassifier(Conv(), 0.25, 4, **(OPTIONS | {"seed": 5})).save(tmp_path / "b", shape=SHAPE)
    g = SmoothedClassifier.load(tmp_path / "b", Conv())
    image = np.full((40, *SHAPE), 128)
    assert g.predictions(image, stopping="fixed") != g.predictions(image, stopping="fixed")


def test_save_with_the_run_that_certified_it(runs, workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(workshop)
    run = runs("own")
    options = {"batch_size": 64, "n0": 20}
    g = SmoothedClassifier(load_classifier("net.safetensors"), 0.25, 4, **options)
    g.save(tmp_path / "b", run=run.directory.path)
    assert read_bundle(tmp_path / "b") == bundle_run(run, tmp_path / "other", None, BundleRequest())
    for name in ("bundle.json", "weights.safetensors", "README.md", "SHA256SUMS"):
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


NOT_IT = {
    "other weights": (lambda: Conv(), {}, "weights are sha256:"),
    "other precision": (None, {"precision": "bf16"}, "recipe: precision is"),
    "other batch": (None, {"batch_size": 32}, "recipe: batch size is 32, certified: 64"),
    "other noise": (None, {"noise": "gaussian"}, "noise is"),
}


@pytest.mark.parametrize("case", NOT_IT)
def test_another_object_is_not_saved_as_certified(case, runs, workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(workshop)
    make, options, words = NOT_IT[case]
    model = load_classifier("net.safetensors") if make is None else make()
    g = SmoothedClassifier(model, 0.25, 4, **(OPTIONS | options))
    with refuses("E-RUN-087", match=f"not the classifier that the run certified: .*{words}"):
        g.save(tmp_path / "b", run=runs("own"))
    assert not (tmp_path / "b").exists()


def test_what_cannot_be_saved_is_refused(runs, tmp_path, workshop, monkeypatch):
    monkeypatch.chdir(workshop)
    g = SmoothedClassifier(Conv(), 0.25, 4, **OPTIONS)
    with refuses("E-SPEC-030"):
        g.save(tmp_path / "b")
    with refuses("E-SPEC-031", match="expected 4, one per class"):
        g.save(tmp_path / "b", shape=SHAPE, class_names=("a", "b"))
    with refuses("E-SPEC-077", match="n >= 11"):
        g.save(tmp_path / "b", shape=SHAPE, n=10)
    with refuses("E-SPEC-032", match="alpha: expected a probability"):
        g.save(tmp_path / "b", shape=SHAPE, alpha=0.6)
    with refuses("E-SPEC-032", match="shape: expected"):
        g.save(tmp_path / "b", shape=(3, 8, 0))
    with refuses("E-MODEL-093", match="fails on images of shape \\(n, C, H, W\\) = \\(4, 3, 9, 9\\)"):
        g.save(tmp_path / "b", shape=(3, 9, 9))
    with refuses("E-SPEC-028", match="has classifiers for sigma 0\\.25.*got 0\\.5"):
        SmoothedClassifier(Conv(), 0.5, 4, **OPTIONS).save(tmp_path / "b", run=runs("own"))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    with refuses("E-RUN-033"):
        g.save(tmp_path / "taken", shape=SHAPE)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    g.save(tmp_path / "b", shape=SHAPE)
    with refuses("E-SPEC-029"):
        SmoothedClassifier.load(tmp_path / "b", Conv()).save(tmp_path / "c")


def test_tied_weights_can_be_saved(tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 192), nn.Linear(192, 192), nn.Linear(192, 4))
    net[2].weight = net[1].weight
    SmoothedClassifier(net, 0.25, 4, **OPTIONS).save(tmp_path / "b", shape=SHAPE)
    SmoothedClassifier.load(tmp_path / "b", net)


def test_hashes_of_tensors_need_no_torch(workshop):
    classifier = load_classifier(str(workshop / "net.safetensors"))
    assert state_sha256_of((workshop / "net.safetensors").read_bytes()) == state_sha256(classifier.module)
    assert state_sha256_of((workshop / "net.pt").read_bytes()) is None


# ---- loading refuses


@pytest.fixture
def own(runs, workshop, tmp_path, monkeypatch):
    """A bundle of a network of ours."""
    monkeypatch.chdir(workshop)
    bundle_run(runs("own"), tmp_path / "b", None, BundleRequest())
    return tmp_path / "b"


@pytest.fixture
def foreign(runs, workshop, tmp_path, monkeypatch):
    """A bundle of a network of the user's."""
    monkeypatch.chdir(workshop)
    bundle_run(runs("code"), tmp_path / "f", None, BundleRequest(), {"model": "bundled_nets:conv"})
    return tmp_path / "f"


def resum(folder):
    names = ("README.md", "bundle.json", "weights.safetensors")
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines))


def edit(folder, **changed):
    record = json.loads((folder / "bundle.json").read_text())
    record.update(changed)
    (folder / "bundle.json").write_text(json.dumps(record))
    resum(folder)


UNCERTIFIED = {
    "sigma": ({"sigma": 0.2}, "sigma is 0.2, certified: 0.25"),
    "preprocessing": ({"preprocessing": ["resized"]}, r"preprocessing is \[.resized.\]"),
    "shape": ({"shape": [3, 8, 9]}, "image shape is"),
    "grid": ({"levels": 4095}, "grid is 4095, certified: 255"),
    "normalisation": ({"mean": [0.4, 0.4, 0.4]}, "normalisation mean is"),
    "noise": ({"noise": "float"}, "noise is"),
    "class names": ({"class_names": ["0", "2", "1", "3"]}, "class 1 is"),
}


@pytest.mark.parametrize("case", UNCERTIFIED)
def test_a_bundle_that_is_not_what_was_certified_does_not_load(case, own):
    """Even where somebody has written new hashes."""
    changed, words = UNCERTIFIED[case]
    edit(own, **changed)
    with refuses("E-RUN-079", match=f"is not what its run certified: {words}"):
        SmoothedClassifier.load(own)


def test_other_weights_do_not_load_though_every_hash_fits(own, foreign, workshop):
    write_resnet(own.parent / "other.safetensors", seed=4)
    other = (own.parent / "other.safetensors").read_bytes()
    for folder in (own, foreign):
        (folder / "weights.safetensors").write_bytes(other)
        edit(folder, file_sha256=f"sha256:{hashlib.sha256(other).hexdigest()}")
        with refuses("E-RUN-079", match="weights\\.safetensors does not hold the weights sha256:"):
            SmoothedClassifier.load(folder)


@pytest.mark.parametrize("name", ["README.md", "SHA256SUMS", "bundle.json", "weights.safetensors"])
def test_any_changed_file_keeps_a_bundle_from_loading(own, name):
    data = bytearray((own / name).read_bytes())
    data[len(data) // 2] ^= 4
    (own / name).write_bytes(bytes(data))
    with refuses("E-RUN-016", match=f"is not the bundle that was written: .*{name}"):
        SmoothedClassifier.load(own)


def test_another_recipe_loads_and_is_said(own, monkeypatch):
    SmoothedClassifier(Conv(), 0.25, 4, **OPTIONS).save(own.parent / "plain", shape=SHAPE)
    monkeypatch.setattr("smoothcert.sampling.recipe._instructions", lambda: "x86_64 sse2")
    g, unsaid = SmoothedClassifier.load(own), SmoothedClassifier.load(own.parent / "plain", Conv())
    (warning,) = g.warnings
    assert warning.startswith('recipe: instructions is "x86_64 sse2", certified: "')
    assert g.predict(pixels(), n=50)
    assert unsaid.warnings[0].startswith('recipe: instructions is "x86_64 sse2", saved: "')


def test_a_recipe_changed_in_the_record_is_said(own):
    record = json.loads((own / "bundle.json").read_text())
    edit(own, recipe={**record["recipe"], "precision": "bf16", "batch_size": 16})
    g = SmoothedClassifier.load(own)
    assert [warning.split(",")[0] for warning in g.warnings] == [
        'recipe: precision is "bf16"',
        "recipe: batch size is 16",
    ]


def test_what_was_chosen_is_taken_from_the_bundle(own, monkeypatch):
    """Even if a later version would choose otherwise."""
    monkeypatch.setattr("smoothcert.sampling.recipe._memory_format", lambda _: "contiguous")
    monkeypatch.setattr("smoothcert.sampling.recipe._batch_size", lambda _: 8)
    recipe = SmoothedClassifier.load(own).recipe(SHAPE)
    assert (recipe.memory_format, recipe.batch_size, recipe.folded) == ("channels_last", 64, True)


def test_a_bundle_for_an_accelerator_says_so_elsewhere(own):
    if torch.cuda.is_available():
        pytest.skip("this machine has an accelerator")
    record = json.loads((own / "bundle.json").read_text())
    recipe = {**record["recipe"], "device": "cuda (X)"}
    edit(own, recipe=recipe, certified={**record["certified"], "recipe": recipe})
    assert SmoothedClassifier.load(own).warnings == ('recipe: device is "cpu", certified: "cuda (X)"',)
    with refuses("E-RECIPE-010"):
        SmoothedClassifier.load(own, device="cuda")
    half = {**recipe, "precision": "fp16"}
    edit(own, recipe=half, certified={**record["certified"], "recipe": half})
    with refuses("E-RECIPE-003", match="fp16"):
        SmoothedClassifier.load(own)


def test_code_must_be_given_and_be_the_right_code(foreign, workshop, own):
    with refuses("E-MODEL-096"):
        SmoothedClassifier.load(foreign)
    with refuses("E-MODEL-098"):
        SmoothedClassifier.load(foreign, 3)
    with refuses("E-MODEL-080"):
        SmoothedClassifier.load(foreign, nn.Linear(2, 2))
    other = network("code")
    other.smoothcert = {"mean": [0.4], "std": [0.5]}
    with refuses("E-RUN-081", match="declares the normalisation mean \\(0\\.4,\\), but the bundle was made with"):
        SmoothedClassifier.load(foreign, other)
    with refuses("E-MODEL-097", match="resnet8; remove the model"):
        SmoothedClassifier.load(own, network("code"))


def test_other_code_with_the_same_weights_is_refused(tmp_path):
    SmoothedClassifier(Conv(), 0.25, 4, **OPTIONS).save(tmp_path / "b", shape=SHAPE)
    SmoothedClassifier.load(tmp_path / "b", Conv())
    with refuses("E-MODEL-095"):
        SmoothedClassifier.load(tmp_path / "b", Other())


def test_the_probe_sees_small_changes_of_code_and_no_rounding():
    from .fakes import classifier

    plain, shifted, rounded = Conv(), Conv(), Conv()
    shifted.forward = lambda x: shifted.layers(x - 0.48)
    rounded.forward = lambda x: rounded.layers(x - 0.5).bfloat16().float()
    kept = np.array(probe(classifier(plain, 4), SHAPE, 255, 0.25))
    for module, least, most in ((shifted, 0.01, 1.0), (rounded, 0.0, 0.005)):
        apart = np.abs(np.array(probe(classifier(module, 4), SHAPE, 255, 0.25)) - kept).max() / np.ptp(kept)
        assert least <= apart < most


# ---- runs that may not be bundled


@pytest.fixture
def copied(runs, workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(workshop)
    return shutil.copytree(runs("own").directory.path, tmp_path / "run")


def test_unsealed_and_damaged_runs_are_refused(copied, tmp_path):
    events = copied / "events.jsonl"
    whole = events.read_text()
    events.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    with refuses("E-RUN-083", match="is not sealed: 0 of 10 results are missing.*smoothcert resume"):
        bundle_run(open_run(copied), tmp_path / "b", None, BundleRequest())
    ledger = copied / "ledger" / "local-0.jsonl"
    lines = ledger.read_text()
    ledger.write_text("".join(lines.splitlines(keepends=True)[:-2]))
    with refuses("E-RUN-083", match="is not sealed: 2 of 10 results are missing"):
        bundle_run(open_run(copied), tmp_path / "b", None, BundleRequest())
    events.write_text(whole)
    with refuses("E-RUN-082", match="is damaged: ledger: 8 lines, but 10 were sealed"):
        bundle_run(open_run(copied), tmp_path / "b", None, BundleRequest())
    ledger.write_text(lines)
    spec = copied / "spec.json"
    spec.write_text(spec.read_text().replace('"alpha": 0.001', '"alpha": 0.002'))
    with refuses("E-RUN-082", match=r"spec\.json is not the spec that was locked"):
        bundle_run(open_run(copied), tmp_path / "b", None, BundleRequest())
    assert not (tmp_path / "b").exists()


def test_moved_files_are_hashed_before_they_are_read(copied, workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = open_run(copied)
    with refuses("E-RUN-084"):
        bundle_run(run, tmp_path / "b", None, BundleRequest())
    (tmp_path / "other.safetensors").write_bytes(b"not even a model")
    with refuses("E-RUN-086", match="is not the classifier that this run certified at sigma 0\\.25"):
        bundle_run(run, tmp_path / "b", None, BundleRequest(), {"model": "other.safetensors"})
    bundle_run(run, tmp_path / "b", None, BundleRequest(), {"model": str(workshop / "net.safetensors")})
    SmoothedClassifier.load(tmp_path / "b")


def test_changed_code_is_refused(runs, workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(workshop)
    with refuses("E-RUN-086"):
        bundle_run(runs("code"), tmp_path / "b", None, BundleRequest(), {"model": "bundled_nets:brittle"})
    with pytest.raises(SmoothcertError):
        bundle_run(
            runs("code"), tmp_path / "b", None, BundleRequest(), {"model": "bundled_nets:conv", "weights": "conv.pt"}
        )


def test_images_that_do_not_fit_are_refused_after_loading_too(own):
    g = SmoothedClassifier.load(own)
    with refuses("E-DATA-160", match="grid of steps 1/255"):
        g.predict(np.full((1, *SHAPE), 0.3337))
    with refuses("E-DATA-164", match="Expected images of shape \\(C, H, W\\) = \\(3, 8, 8\\), got \\(3, 8, 9\\)"):
        g.predict(np.zeros((1, 3, 8, 9), np.uint8))


def test_a_loaded_network_is_prepared_once(own, monkeypatch):
    """Compilation and folding are not done anew for each part of a folder; a user's own module may have changed."""
    made = []
    prepare = smooth.prepare
    monkeypatch.setattr(smooth, "prepare", lambda *a: made.append(a) or prepare(*a))
    g = SmoothedClassifier.load(own)
    for _ in range(3):
        g.predict(pixels(), n=50)
    assert len(made) == 1
    assert pickle.loads(pickle.dumps(g)).predict(pixels(), n=50)
    plain = SmoothedClassifier(Conv(), 0.25, 4, **OPTIONS)
    for _ in range(3):
        plain.predict(pixels(), n=50)
    assert len(made) == 5
