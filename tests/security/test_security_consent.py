"""Runs, settings files and bundles are data: whatever they name as code is not run, and a marker file shows it."""

import hashlib
import json
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from factories import denoiser_facts
from networks import (
    FACTORY,
    loaded,
    small_request,
    write_denoisers,
    write_grey_images,
    write_random_images,
    write_resnet,
)
from refusals import refuses
from smoothcert import SmoothedClassifier
from smoothcert.cli import main
from smoothcert.config import read_spec
from smoothcert.engine.messages import Job, Ready, Refusal
from smoothcert.engine.run import certify, freeze_spec, resume
from smoothcert.engine.worker import Worker
from smoothcert.errors import InputError, SpecError
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.import_factory import NO_CONSENT
from smoothcert.models import load_classifier
from smoothcert.models.denoisers.load import load_denoiser
from smoothcert.report.notebook import write_notebook
from smoothcert.sampling.save_bundle import BundleRequest, bundle_run
from tampering import edit_json

from .foreign import forge, unsealed

SMALL = ["--sigma", "0.25", "--n-max", "100", "--n0", "10", "--batch-size", "64", "--device", "cpu", "--radius", "0.1"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A sealed run of a network of ours, and a stopped one."""
    folder = tmp_path_factory.mktemp("finished")
    model, data = write_resnet(folder / "net.safetensors"), write_random_images(folder / "images.npz")
    run = certify(small_request(model, data, n_max=100, n0=10, radius=0.1), folder / "sealed").path
    unsealed(Path(shutil.copytree(run, folder / "stopped")))
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch, finished):
    """The working directory of somebody who was sent things: `evil.py` leaves a marker when it is imported."""
    monkeypatch.chdir(tmp_path)
    write_evil(tmp_path / "evil.py", tmp_path)
    write_grey_images(tmp_path / "grey.npz")
    shutil.copy(finished / "net.safetensors", tmp_path)
    bundle = tmp_path / "hub" / "configs"
    bundle.mkdir(parents=True)
    opened = f"$open({str(tmp_path / 'MARKER')!r}, 'w').write('ran')"
    (bundle / "inference.json").write_text(json.dumps({"network_def": opened}))
    yield tmp_path
    names = [name for name in sys.modules if name.split(".")[-1] in ("evil", "denoisers") and "smoothcert" not in name]
    for name in [*names, *(name for name in sys.modules if name.split(".")[0] == "run")]:
        del sys.modules[name]


def write_evil(path: Path, folder: Path) -> None:
    path.write_text(f"from pathlib import Path\nPath({str(folder / 'MARKER')!r}).write_text('ran')\n{FACTORY}")


def refused(*arguments: object) -> None:
    """The command line refuses with exit status 2."""
    with pytest.raises(SystemExit) as left:
        main([*map(str, arguments)])
    assert left.value.code == 2


def ran(place: Path) -> bool:
    """Whether foreign code was run since the last call."""
    there = (place / "MARKER").exists()
    (place / "MARKER").unlink(missing_ok=True)
    return there


def naming(spec: dict, settings: dict) -> None:
    """Write settings into a spec, with the facts of the denoiser that they name."""
    spec["request"].update(settings)
    if "denoiser" in settings:
        for model in spec["models"]:
            model["denoiser"] = denoiser_facts(settings["denoiser"]).model_dump(mode="json")


CODE = {
    "module": {"model": "evil:robust"},
    "module and trust": {"model": "evil:robust", "trust_model": True},
    "monai": {"model": "monai:hub", "trust_model": True},
    "module by sigma": {"model": "evil{sigma}:robust"},
    "a package of folders": {"model": "run.results.evil:robust"},
    "denoiser": {"denoiser": "evil:robust"},
    "denoiser and trust": {"denoiser": "evil:robust", "trust_model": True},
    "denoiser by sigma": {"denoiser": "evil{sigma}:robust"},
}


@pytest.mark.parametrize("case", CODE)
def test_resume_and_bundle_run_nothing_that_a_run_names(case, place, finished):
    for kind, verb, more in (("stopped", "resume", []), ("sealed", "bundle", ["--out", "b"])):
        run = Path(shutil.copytree(finished / kind, place / verb / "run"))
        forge(run, lambda spec: naming(spec, CODE[case]))
        shutil.copy(place / "evil.py", run / "results" / "evil.py")
        refused(verb, run, *more)
        assert not ran(place)
    assert not (place / "b").exists()


def test_resume_runs_no_code_for_images_that_a_run_names(place, finished):
    run = forge(
        Path(shutil.copytree(finished / "stopped", place / "run")),
        lambda spec: spec["request"].update(data="evil:robust"),
    )
    refused("resume", run)
    assert not ran(place)
    refused("resume", run, "--data", "evil:robust")  # the person consents; it is no data set, which shows afterwards
    assert ran(place)


def test_resume_runs_a_denoiser_that_the_person_names(place, finished):
    run = forge(
        Path(shutil.copytree(finished / "stopped", place / "run")),
        lambda spec: naming(spec, {"denoiser": "evil:robust"}),
    )
    refused("resume", run, "--model", "net.safetensors")
    assert not ran(place)
    refused("resume", run, "--denoiser", "evil:robust")  # it is no denoiser, which shows afterwards
    assert ran(place)


def test_a_bundle_names_no_denoiser_that_is_run(place):
    write_denoisers(place)
    work = load_classifier("net.safetensors"), load_denoiser("denoisers:blur")
    SmoothedClassifier(work[0], 0.25, 4, denoiser=work[1]).save("b", shape=(3, 8, 8))
    edit_json(place / "b" / "bundle.json", lambda record: record["model"]["denoiser"].update(reference="evil:robust"))
    files = sorted(path for path in (place / "b").iterdir() if path.name != "SHA256SUMS")
    sums = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
    (place / "b" / "SHA256SUMS").write_text("".join(sums))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("i.png")
    refused("predict", "b", "i.png")
    assert not ran(place)
    with pytest.raises(SystemExit) as left:
        main(["predict", "b", "i.png", "--denoiser", "denoisers:blur"])
    assert not left.value.code
    assert not ran(place)


class Opens:
    """What unpickles to a file that was opened for writing."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("flags", [["--denoiser", "d.pt"], ["--denoiser", "denoisers:blur", "--denoiser-weights"]])
def test_a_pickled_denoiser_runs_nothing(flags, place, finished):
    write_denoisers(place)
    torch.save({"filter.weight": Opens(place / "MARKER")}, place / "d.pt")
    (place / "raw.pt").write_bytes(pickle.dumps(Opens(place / "MARKER")))
    run = Path(shutil.copytree(finished / "stopped", place / "run"))
    forge(run, lambda spec: naming(spec, {"denoiser": flags[1]}))
    for name in ("d.pt", "raw.pt"):
        named = [*flags, name] if len(flags) == 3 else [flags[0], name]
        refused("certify", "--model", "net.safetensors", "--data", "grey.npz", "--out", "r", *SMALL, *named)
        refused("check", "--model", "net.safetensors", "--data", "grey.npz", *SMALL, *named)
        refused("resume", run, "--model", "net.safetensors", "--data", finished / "images.npz", *named)
        assert not ran(place)
    assert not (place / "r").exists()


@pytest.mark.parametrize("written", ["run.results.evil:robust", "evil:robust", "0.25 ", "nan", "0.5", ""])
def test_a_noise_level_is_no_name(written, place, finished):
    run = Path(shutil.copytree(finished / "sealed", place / "run"))
    write_evil(run / "results" / "evil.py", place)

    def change(spec):
        spec["request"]["model"] = "{sigma}"
        spec["models"][0]["written"] = written

    forge(run, change)
    with pytest.raises(SpecError):
        read_spec((run / "spec.json").read_text())
    for verb in (["report"], ["resume"], ["bundle", "--out", "b"]):
        refused(verb[0], run, *verb[1:])
    assert not ran(place)


@pytest.mark.parametrize("model", [pytest.param("run.results.evil:robust", marks=pytest.mark.slow), "evil:robust"])
def test_the_notebook_loads_nothing_but_networks_of_ours(model, place, finished):
    run = Path(shutil.copytree(finished / "sealed", place / "run"))
    write_evil(run / "results" / "evil.py", place)
    forge(run, lambda spec: spec["request"].update(model=model, data=model, trust_model=True))
    text = write_notebook(open_run(run), run / "results").read_text()
    assert "Skipped: " in text
    assert not ran(place)


@pytest.mark.slow
def test_the_name_of_a_folder_is_no_code_in_the_notebook(place, finished):
    run = Path(shutil.copytree(finished / "sealed", place / "deep" / 'z"); open("MARKER", "w"); Path("'))
    out = place / "out"
    out.mkdir()
    write_notebook(open_run(run), out, live=False)
    assert not list(place.rglob("MARKER"))


@pytest.mark.parametrize(
    "settings",
    [
        "model: monai:hub\ndata: grey.npz\ntrust_model: true\n",
        "model: evil:robust\ndata: grey.npz\n",
        "model: evil{sigma}:robust\ndata: grey.npz\n",
        "model: net.safetensors\ndata: evil:robust\n",
        "model: net.safetensors\ndata: grey.npz\ndenoiser: evil:robust\n",
        "model: net.safetensors\ndata: grey.npz\ntrust-model: true\n",
    ],
)
def test_a_settings_file_names_no_code(settings, place):
    (place / "c.yaml").write_text(settings)
    refused("certify", "--config", "c.yaml", "--out", "r", *SMALL)
    refused("check", "--config", "c.yaml", *SMALL)
    refused("plan", "--config", "c.yaml", *SMALL)
    assert not ran(place)
    assert not (place / "r").exists()


def test_a_settings_file_names_no_training_images_that_are_code_and_no_cluster(place):
    (place / "c.yaml").write_text("model: net.safetensors\ndata: grey.npz\ntrain_data: evil:robust\n")
    refused("check", "--config", "c.yaml", *SMALL)
    (place / "d.yaml").write_text("model: net.safetensors\ndata: grey.npz\nengine: ray\naddress: 203.0.113.1:6379\n")
    refused("certify", "--config", "d.yaml", "--out", "r", *SMALL)
    assert not ran(place)


@pytest.mark.parametrize("consent", [["--model", "evil:robust"], ["--trust-model"]])
def test_consent_on_the_command_line_is_enough(consent, place):
    (place / "c.yaml").write_text("model: evil:robust\ndata: grey.npz\ntrust_model: false\n")
    with pytest.raises(SystemExit) as left:
        main(["certify", "--config", "c.yaml", "--out", "r", *SMALL, *consent])
    assert not left.value.code
    assert ran(place)


def test_printed_settings_are_read_again_with_the_same_consent(place, capsys):
    asked = ["--model", "evil:robust", "--data", "grey.npz", "--trust-model", *SMALL]
    with pytest.raises(SystemExit):
        main(["certify", *asked, "--print-config"])
    (place / "c.yaml").write_text(capsys.readouterr().out)
    with pytest.raises(SystemExit) as left:
        main(["certify", "--config", "c.yaml", "--trust-model", "--out", "r"])
    assert not left.value.code


@pytest.mark.parametrize("name", ["run.results.evil:robust", "evil:robust", "link:robust"])
def test_no_module_is_imported_from_a_run_directory(name, place, finished, monkeypatch):
    run = Path(shutil.copytree(finished / "sealed", place / "run"))
    for folder in (run, run / "results"):
        write_evil(folder / "evil.py", place)
    (place / "link.py").symlink_to(run / "results" / "evil.py")
    if name == "evil:robust":
        monkeypatch.chdir(run)
    for flags in (["--model", name, "--data", place / "grey.npz"], ["--model", "demo", "--data", name]):
        refused("check", *flags, *SMALL, "--trust-model")
    assert not ran(place)


# ---- consent is not enough: it must be the code of the run


@pytest.fixture
def own(place):
    """A stopped run of code in the working directory, made by somebody who named it."""
    (place / "mine.py").write_text(FACTORY)
    run = certify(small_request("mine:robust", place / "grey.npz", n_max=100, n0=10, radius=0.1), place / "own").path
    yield run
    sys.modules.pop("mine", None)


def changed_source(place: Path) -> None:
    (place / "mine.py").write_text(FACTORY.replace("scale=50.0", "scale=40.0"))
    sys.modules.pop("mine", None)


def test_a_run_of_code_is_resumed_by_naming_it(own):
    with pytest.raises(InputError):
        resume(RunDirectory(unsealed(own)), {})
    assert resume(RunDirectory(own), {"model": "mine:robust"}) is True
    assert open_run(own).sealed


def test_trust_is_enough_too(own):
    assert resume(RunDirectory(unsealed(own)), {}, trust_model=True) is True


def test_changed_source_is_refused(own, place):
    bundle_run(open_run(own), place / "b", None, BundleRequest(n=300), {"model": "mine:robust"})
    changed_source(place)
    with refuses("E-RUN-085"):
        bundle_run(open_run(own), place / "c", None, BundleRequest(n=300), {"model": "mine:robust"})
    with refuses("E-RUN-014"):
        resume(RunDirectory(unsealed(own)), {"model": "mine:robust"})


def test_a_run_that_recorded_no_source_says_so(own):
    from smoothcert.engine.session import Hooks

    forge(unsealed(own), lambda spec: [model.pop("source_sha256") for model in spec["models"]])
    heard: list[str] = []
    assert resume(RunDirectory(own), {"model": "mine:robust"}, hooks=Hooks(on_warning=heard.append)) is True
    assert len(heard) == 1


def test_a_worker_has_the_consent_of_the_process_that_started_it(place):
    (place / "mine.py").write_text(FACTORY)
    work = loaded(small_request("mine:robust", place / "grey.npz", n_max=100, n0=10, radius=0.1))
    spec = freeze_spec(work)
    for consent, said in ((work.consent, Ready), (NO_CONSENT, Refusal)):
        job = Job(spec.to_json(), work.resolved, work.recipe, str(place), 1, consent)
        assert isinstance(Worker("w", job, work.images).load(), said)
    sys.modules.pop("mine", None)
