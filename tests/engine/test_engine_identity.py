"""What is certified is what a run recorded: other code, settings or objects are refused, also where no weights tell."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import smoothcert as sc
from networks import loaded, small_request, write_denoiser, write_grey_images, write_resnet
from refusals import refuses
from smoothcert.config import read_spec
from smoothcert.config.spec import NOTHING
from smoothcert.engine import session
from smoothcert.engine.run import certify, freeze_spec, resume
from smoothcert.engine.workload import check_models, unrecorded
from smoothcert.errors import EvidenceError, SmoothcertError
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.bundle.files import read_bundle
from smoothcert.evidence.events import environment
from smoothcert.evidence.run import difference, settings_of
from smoothcert.models import load_classifier
from smoothcert.models.denoisers.adapt import denoiser_of
from smoothcert.models.denoisers.load import load_denoiser
from smoothcert.sampling.base_model import code_sha256
from smoothcert.sampling.save_bundle import BundleRequest, bundle_run
from smoothcert.verify import verify_bundle

CODE = """
import torch
from torch import nn
from torch.nn.functional import avg_pool2d


class Grey(nn.Module):
    def __init__(self, low=0.3):
        super().__init__()
        self.low = low

    def forward(self, x):
        mean = x.mean(dim=(1, 2, 3))[:, None]
        return -50 * (mean - torch.tensor([[self.low, 0.45, 0.6, 0.75]])) ** 2


class Blur(nn.Module):
    def forward(self, x):
        return avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class Noise(nn.Module):
    def forward(self, x):
        return x - avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class Late(nn.Module):
    # differs from Blur only where pixels leave [0, 1], which happens under noise alone
    def forward(self, x):
        y = avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        return torch.where((x < -0.2) | (x > 1.2), y + 0.5, y)


def grey():
    return Grey()


def dark():
    return Grey(0.1)


def blur():
    return Blur()


def noise():
    return Noise()


def late():
    return Late()
"""
BEFORE_3 = "sha256:36dd4ba937cb27cae3709765bd0d2e183911d60c2b925b4ba8f0474352ff28c8"
"""The code of `nn.Identity()` by the versions before the probe."""
FAST = {"n_max": 100, "radius": 0.1, "limit": 2}


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # the networks are not trained


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory: images, networks of files, and the module `code`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_grey_images(tmp_path / "images.npz")
    write_resnet(tmp_path / "net.safetensors")
    Path("mine.py").write_text(CODE, encoding="utf-8")
    yield tmp_path
    for name in ("mine", "copied"):
        sys.modules.pop(name, None)


def request(model="net.safetensors", **more):
    return small_request(model, "images.npz", **{**FAST, **more})


def interrupted(begin, monkeypatch):
    """Begin a run that is interrupted before its first image."""

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(session.Session, "_level", stop)
        with pytest.raises(KeyboardInterrupt):
            begin()


def begun(monkeypatch, **more):
    interrupted(lambda: certify(request(**more), Path("run")), monkeypatch)
    return RunDirectory(Path("run"))


# ---- the probe of a run


def test_a_spec_has_a_probe_where_code_computes():
    built_in, code = freeze_spec(loaded(request())), freeze_spec(loaded(request("mine:grey")))
    assert built_in.models[0].probe == ()
    assert '"probe"' not in built_in.to_json()
    assert np.shape(code.models[0].probe) == (8, 4)
    assert read_spec(code.to_json()) == code
    behind = freeze_spec(loaded(request(denoiser="mine:blur")))
    assert np.shape(behind.models[0].probe) == (8, 4)
    again = freeze_spec(loaded(request(denoiser="mine:blur")))
    assert again.models[0].probe == behind.models[0].probe


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"model": "mine:grey"}, {"model": "mine:dark"}),
        ({"denoiser": "mine:blur"}, {"denoiser": "mine:noise"}),
        ({"denoiser": "mine:blur"}, {"denoiser": "mine:late"}),
    ],
)
def test_the_probe_tells_code_without_weights_apart(ours, theirs):
    spec, other = freeze_spec(loaded(request(**ours))), loaded(request(**theirs))
    check_models(spec, loaded(request(**ours)))
    with refuses("E-RUN-171"):
        check_models(spec, other)
    same_name = spec.model_copy(update={"models": tuple(_renamed(each, theirs) for each in spec.models)})
    with refuses("E-RUN-170", match="sigma 0.25"):
        check_models(same_name, other)


def _renamed(facts, theirs):
    if "model" in theirs:
        return facts.model_copy(update={"reference": theirs["model"]})
    return facts.model_copy(update={"denoiser": facts.denoiser.model_copy(update={"reference": theirs["denoiser"]})})


def test_a_run_without_a_probe_is_resumed_and_says_what_was_not_compared():
    work = loaded(request(denoiser="mine:blur"))
    spec = freeze_spec(work)
    old = spec.model_copy(update={"models": tuple(each.model_copy(update={"probe": ()}) for each in spec.models)})
    check_models(old, work)
    assert [each for each in unrecorded(old, work) if "sigma 0.25" in each]
    assert not list(unrecorded(spec, work))


def test_resume_refuses_another_function_and_takes_a_copy(monkeypatch, folder):
    run = begun(monkeypatch, denoiser="mine:blur")
    with refuses("E-RUN-171", match="blur"):
        resume(run, {"denoiser": "mine:noise"})
    (folder / "copied.py").write_text(CODE, encoding="utf-8")
    assert resume(run, {"denoiser": "copied:blur"})


def test_no_hash_of_nothing_is_printed(monkeypatch):
    run = begun(monkeypatch, denoiser="mine:blur")
    assert open_run(run.path).spec.models[0].denoiser.sha256 == NOTHING
    other = write_denoiser(Path("other.safetensors"))
    with refuses("E-RUN-090", match="no weights, code sha256:") as raised:
        resume(run, {"denoiser": str(other)})
    assert NOTHING[:19] not in str(raised.value)


def test_a_plan_is_for_one_code():
    spec = freeze_spec(loaded(request(denoiser="mine:blur")))
    planned = SimpleNamespace(settings=settings_of(spec))
    assert difference(planned, spec) is None
    others = request(denoiser="mine:noise"), request(denoiser="mine:blur", denoiser_range=(-1, 1))
    for other in others:
        assert "denoiser at sigma 0.25" in difference(planned, freeze_spec(loaded(other)))
    old = {name: text for name, text in settings_of(spec).items() if not name.startswith("code of")}
    assert difference(SimpleNamespace(settings=old), spec) is None


# ---- bundles


@pytest.fixture
def blurred():
    """A finished run whose denoiser has no weights."""
    return open_run(certify(request(denoiser="mine:blur"), Path("done")).path)


def test_a_bundle_is_made_only_of_the_code_of_the_run(blurred, monkeypatch, tmp_path):
    with refuses("E-RUN-171"):
        bundle_run(blurred, tmp_path / "b", None, BundleRequest(), {"denoiser": "mine:noise"})
    bundle = bundle_run(blurred, tmp_path / "b", None, BundleRequest(), {"denoiser": "mine:blur"})
    assert bundle.probe == blurred.spec.models[0].probe
    report = verify_bundle(blurred, tmp_path / "b")
    assert (report.passed, report.notes) == (True, ())
    assert "denoiser: code without weights" in report.weights
    monkeypatch.setattr(sys.modules["mine"], "blur", sys.modules["mine"].late)  # the same file, other behaviour
    with refuses("E-RUN-170"):
        bundle_run(blurred, tmp_path / "c", None, BundleRequest(), {"denoiser": "mine:blur"})
    assert not (tmp_path / "c").exists()


def test_save_compares_objects_with_a_run_of_files(blurred, tmp_path):
    import mine

    def smoothed(denoiser):
        return sc.SmoothedClassifier(
            load_classifier("net.safetensors"), 0.25, 4, denoiser=denoiser, batch_size=64, n0=20
        )

    for other in (mine.Noise(), mine.Late()):
        with refuses("E-RUN-170"):
            smoothed(other).save(tmp_path / "b", run=blurred)
    smoothed(mine.Blur()).save(tmp_path / "b", run=blurred)
    assert verify_bundle(blurred, tmp_path / "b").passed
    recorded = blurred.spec.models[0].denoiser.model_copy(update={"source_sha256": None})  # an object has no file
    assert read_bundle(tmp_path / "b").model.denoiser == recorded


# ---- objects that were changed


def images():
    arrays = np.load("images.npz")
    return torch.from_numpy(arrays["images"][:2].transpose(0, 3, 1, 2).copy()), torch.from_numpy(arrays["labels"][:2])


SETTINGS = {"sigma": 0.25, "radii": (0.1,), "n_max": 100, "seed": 7, "n0": 20, "batch_size": 64}


@pytest.mark.parametrize("part", ["denoiser", "classifier"])
def test_a_loaded_network_that_was_changed_is_not_its_file(part, tmp_path):
    classifier, denoiser = load_classifier("net.safetensors"), load_denoiser(str(write_denoiser(Path("d.safetensors"))))
    changed = (denoiser if part == "denoiser" else classifier).module
    with torch.no_grad():
        changed.head.bias.add_(3.0)
    run = sc.certify(classifier, images(), out="run", denoiser=denoiser, **SETTINGS)
    facts = run.spec.models[0].denoiser if part == "denoiser" else run.spec.models[0]
    assert facts.sha256 == facts.state_sha256
    assert facts.reference.startswith("in memory")
    g = sc.SmoothedClassifier(classifier, 0.25, 4, denoiser=denoiser, batch_size=64, n0=20)
    g.save(tmp_path / "b", run=run)
    assert verify_bundle(run, tmp_path / "b").passed
    again = sc.SmoothedClassifier.load(tmp_path / "b").classifier
    found = (again.denoiser if part == "denoiser" else again.behind).module
    assert torch.equal(found.head.bias, changed.head.bias)
    other = sc.SmoothedClassifier(
        load_classifier("net.safetensors"), 0.25, 4, denoiser=load_denoiser("d.safetensors"), batch_size=64, n0=20
    )
    with refuses("E-RUN-087"):
        other.save(tmp_path / "c", run=run)


class Scaled(nn.Module):
    """A denoiser whose factor is kept in some place."""

    def __init__(self, **kept):
        super().__init__()
        for name, value in kept.items():
            setattr(self, name, value)

    def forward(self, x):
        return x


class Buffered(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.register_buffer("factor", torch.tensor([factor]), persistent=False)

    def forward(self, x):
        return x * self.factor


def closed(factor):
    class Closed(nn.Module):
        def forward(self, x):
            return x * factor

    return Closed()


def typed(factor):
    """A class without source, as in an interpreter."""
    names = {"nn": nn, "__name__": "typed"}
    exec(f"class Typed(nn.Module):\n  def forward(self, x):\n    return x * {factor}\n", names)
    return names["Typed"]()


def hooked(factor):
    module = nn.Identity()
    module.register_forward_hook(lambda _, __, x: x * factor)
    return module


CHANGES = {
    "dictionary": lambda factor: Scaled(settings={"factor": factor}),
    "array": lambda factor: Scaled(factor=np.full(3, factor)),
    "namespace": lambda factor: Scaled(settings=SimpleNamespace(factor=factor)),
    "list of modules": lambda factor: Scaled(parts=[Buffered(factor)]),
    "number": lambda factor: Scaled(factor=factor),
    "buffer": Buffered,
    "closure": closed,
    "no source": typed,
    "hook": hooked,
}


def with_hook(module):
    module.register_forward_hook(lambda module, given, returned: returned * 0.5)


def with_forward(module):
    module.forward = lambda *given: 0.5 * type(module).forward(module, *given)


@pytest.mark.parametrize("part", ["denoiser", "classifier"])
@pytest.mark.parametrize("change", [with_hook, with_forward])
def test_a_loaded_network_with_code_of_its_own_is_not_its_file(part, change, tmp_path):
    classifier, denoiser = load_classifier("net.safetensors"), load_denoiser(str(write_denoiser(Path("d.safetensors"))))
    plain = sc.certify(classifier, images(), out="plain", denoiser=denoiser, **SETTINGS)
    change((denoiser if part == "denoiser" else classifier).module)
    g = sc.SmoothedClassifier(classifier, 0.25, 4, denoiser=denoiser, batch_size=64, n0=20)
    with pytest.raises(EvidenceError):
        g.save(tmp_path / "a", run=plain)
    run = sc.certify(classifier, images(), out="run", denoiser=denoiser, **SETTINGS)
    facts = run.spec.models[0].denoiser if part == "denoiser" else run.spec.models[0]
    assert facts.reference.startswith("in memory")
    assert facts.arch is None
    assert run.spec.models[0].probe
    g.save(tmp_path / "b", run=run)
    with pytest.raises(SmoothcertError):  # its code is not in the bundle
        sc.SmoothedClassifier.load(tmp_path / "b")


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_object_is_another_one(change):
    make = CHANGES[change]
    assert code_sha256(make(1.0)) == code_sha256(make(1.0))
    assert code_sha256(make(1.0)) != code_sha256(make(0.5))


@pytest.mark.parametrize("change", ["buffer", "number"])
def test_resume_refuses_a_changed_object(change, monkeypatch):
    make, net = CHANGES[change], load_classifier("net.safetensors")
    interrupted(lambda: sc.certify(net, images(), out="run", denoiser=make(1.0), **SETTINGS), monkeypatch)
    with refuses("E-RUN-088", match="denoiser") as raised:
        sc.resume("run", net, images(), denoiser=make(0.5))
    assert "--denoiser" not in str(raised.value)
    assert sc.resume("run", net, images(), denoiser=make(1.0)).sealed


def test_a_private_dictionary_may_be_a_cache():
    assert code_sha256(Scaled(_cache={})) == code_sha256(Scaled(_cache={8: torch.ones(2)}))


def test_a_run_of_an_earlier_version_keeps_its_hash_of_code():
    # what version 0.1.0 computed
    assert code_sha256(nn.Identity(), minor=2) == BEFORE_3
    assert code_sha256(Buffered(1.0), minor=2) == code_sha256(Buffered(0.5), minor=2)


def test_libraries_that_build_a_network_are_listed():
    assert set(environment(1, ["diffusers:folder", "timm:resnet18", "net.safetensors"])["packages"]) == {
        *environment(1)["packages"],
        "diffusers",
        "timm",
    }


def test_a_denoiser_without_a_hash_gets_one():
    import mine

    run = sc.certify(
        load_classifier("net.safetensors"), images(), out="run", denoiser=denoiser_of(mine.Blur(), "blur"), **SETTINGS
    )
    facts = run.spec.models[0].denoiser
    assert (facts.sha256, facts.reference) == (NOTHING, "in memory (blur)")
    assert facts.source_sha256.startswith("sha256:")
