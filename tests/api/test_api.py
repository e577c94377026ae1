"""A whole run from Python objects: the same evidence as from files, resumed with the same objects only."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import smoothcert as sc
from refusals import refuses
from smoothcert.cli import main
from smoothcert.data import load_images
from smoothcert.engine import session
from smoothcert.errors import DataError, EvidenceError, ModelError, SpecError
from smoothcert.evidence.events import RESUMED
from smoothcert.in_memory import classifier_of
from smoothcert.models import state
from smoothcert.models.denoisers.adapt import denoiser_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # networks at random look wrong, as they should
QUICK = {"sigma": 0.25, "radii": (0.1, 0.25), "n_max": 200, "seed": 7}


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 4))


def pictures(count: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(3)
    images = torch.from_numpy(rng.integers(0, 256, (count, 3, 6, 6), np.uint8))
    return images, torch.from_numpy(rng.integers(0, 4, count))


def test_a_run_is_sealed_and_verifies(tmp_path):
    run = sc.certify(network(), pictures(), out=tmp_path / "run", class_names="abcd", k=(1, 2), **QUICK)
    assert run.sealed
    assert run.verify().faults == ()
    assert run.spec.data.class_names == tuple("abcd")
    table = run.results()
    assert [(each.k, each.radius) for each in table] == [(1, 0.1), (1, 0.25), (2, 0.1), (2, 0.25)]
    frame = table.to_pandas()
    assert frame["certified"].tolist() == [each.certified for each in table]
    assert table.at(sigma=0.25, radius=0.1, k=2) == table[2]
    assert "sealed" in repr(run)
    assert repr(table).count("\n") >= len(table)
    with pytest.raises(KeyError):
        table.at(sigma=9, radius=0.1)


def test_every_way_to_hand_over_the_images_gives_the_same_votes(tmp_path):
    images, labels = pictures()
    floats = images.float() / 255
    given = {
        "tensors": (images, labels),
        "floats": (floats, labels[:, None]),
        "arrays": (images.numpy(), labels.numpy()),
        "dataset": TensorDataset(images, labels),
        "loader": DataLoader(TensorDataset(images, labels), batch_size=5, shuffle=True),
        "items": [(image, int(label)) for image, label in zip(images, labels, strict=True)],
    }
    hashes = {
        name: sc.certify(network(), data, out=tmp_path / name, **QUICK).ledger.sha256() for name, data in given.items()
    }
    assert len(set(hashes.values())) == 1, hashes


def test_the_votes_are_those_of_the_command_line(tmp_path):
    """The same network as a file and as an object, the same drawn images: the same votes."""
    from smoothcert.models import load_classifier

    shared = {"sigma": "0.25", "n_max": 200, "seed": 7, "radius": "0.1,0.25"}
    flags = [part for name, value in shared.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    with pytest.raises(SystemExit):
        main(["certify", "--model", "demo", "--data", "synthetic:6", *flags, "--out", str(tmp_path / "cli")])
    run = sc.certify(load_classifier("demo"), load_images("synthetic:6"), out=tmp_path / "objects", **QUICK)
    theirs = sc.open_run(tmp_path / "cli")
    votes = [{line.index: (line.selection, line.looks) for line in each.ledger.lines} for each in (run, theirs)]
    assert votes[0] == votes[1] != {}


def test_what_looks_wrong_is_a_python_warning(tmp_path):
    images = torch.zeros(2, 3, 6, 6, dtype=torch.uint8)
    with pytest.warns(UserWarning, match="duplicate"):
        sc.certify(network(), (images, torch.tensor([0, 1])), out=tmp_path / "run", **QUICK)


class StopError(Exception):
    pass


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A run that stopped after its first image."""
    append = session.LedgerWriter.append

    def stop(self, line):
        append(self, line)
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(session.LedgerWriter, "append", stop)
        with pytest.raises(StopError):
            sc.certify(network(), pictures(), out=tmp_path / "run", **QUICK)
    return tmp_path / "run"


def test_resumed_with_the_same_objects_it_is_the_run_that_was_not_interrupted(interrupted, tmp_path):
    assert sc.open_run(interrupted).missing > 0
    assert "missing" in repr(sc.open_run(interrupted))
    run = sc.resume(interrupted, network(), pictures())
    assert run.sealed
    assert run.verify().faults == ()
    assert RESUMED in [event.event for event in run.events]
    whole = sc.certify(network(), pictures(), out=tmp_path / "whole", **QUICK)
    assert run.ledger.sha256() == whole.ledger.sha256()
    assert sc.resume(run, network(1), pictures(3)).sealed  # nothing is missing: nothing is compared or drawn


def test_other_objects_are_refused(interrupted):
    with pytest.raises(EvidenceError):
        sc.resume(interrupted, network(1), pictures())
    with pytest.raises(EvidenceError):
        sc.resume(interrupted, network(), pictures(11))
    images, labels = pictures()
    with pytest.raises(EvidenceError):
        sc.resume(interrupted, network(), (images, labels.roll(1)))
    assert sc.open_run(interrupted).missing > 0


def test_the_command_line_cannot_resume_it_and_says_what_can(interrupted, capsys):
    with pytest.raises(SystemExit) as done:
        main(["resume", str(interrupted)])
    assert done.value.code == 2
    assert "smoothcert.resume" in capsys.readouterr().err


def test_a_run_from_files_is_not_resumed_with_objects(tmp_path):
    from pathlib import Path
    from shutil import copytree

    written = Path(__file__).parents[1] / "golden" / "written" / "interrupted"
    with refuses("E-RUN-001"):
        sc.resume(copytree(written, tmp_path / "run"), network(), pictures())


def test_one_model_per_noise_level(tmp_path):
    models = {0.25: network(0), 0.5: network(1)}
    run = sc.certify(models, pictures(6), out=tmp_path / "run", **QUICK | {"sigma": (0.25, 0.5)})
    assert len({each.sha256 for each in run.spec.models}) == 2
    with pytest.raises(ModelError):
        sc.certify(models, pictures(6), out=tmp_path / "other", **QUICK)
    assert not (tmp_path / "other").exists()


def test_a_function_is_recognised_by_its_source(tmp_path):
    run = sc.certify(brightness, pictures(6), out=tmp_path / "run", **QUICK)
    assert run.spec.models[0].source_sha256.startswith("sha256:")


NET = network()


def scaled(x: torch.Tensor, scale: float = 2.0) -> torch.Tensor:
    return scale * brightness(x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, net=NET: net(x),
        (lambda net: lambda x: net(x))(network()),
        lambda x: NET(x),
        scaled,
        NET.forward,
        eval("lambda x: x.flatten(1)[:, :4]"),
    ],
    ids=["default", "closure", "global", "default number", "method", "no source"],
)
def test_a_function_that_uses_more_than_its_argument_is_refused(tmp_path, function):
    """Its source would not tell one network from another, so a run could be continued with other weights."""
    with refuses("E-MODEL-021"):
        sc.certify(function, pictures(6), out=tmp_path / "run", **QUICK)
    assert not (tmp_path / "run").exists()


class Scaled(nn.Module):
    """The same tensors, another function for each scale."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.net, self.scale, self.shift = network(), scale, torch.full((1,), scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * self.net(x) + self.shift


@pytest.mark.parametrize("other", [Scaled(2.0), nn.Sequential(nn.Flatten(), network()[1], nn.Tanh())])
def test_equal_tensors_in_another_network_are_another_model(other):
    mine = Scaled(1.0) if isinstance(other, Scaled) else network()
    one, two = classifier_of(mine), classifier_of(other)
    assert one.sha256 == two.sha256
    assert one.source_sha256 != two.source_sha256
    assert classifier_of(Scaled(2.0)).source_sha256 == classifier_of(Scaled(2.0)).source_sha256


def test_a_run_is_not_continued_with_equal_tensors_in_another_network(interrupted):
    with refuses("E-RUN-088"):
        sc.resume(interrupted, nn.Sequential(*network(), nn.Tanh()), pictures())
    assert sc.open_run(interrupted).missing > 0


def test_one_model_for_several_noise_levels_is_hashed_once(tmp_path, monkeypatch):
    hashed = []
    real = state.tensors_sha256
    monkeypatch.setattr(state, "tensors_sha256", lambda tensors: hashed.append(len(tensors)) or real(tensors))
    sc.certify(network(), pictures(6), out=tmp_path / "run", **QUICK | {"sigma": (0.25, 0.5, 1.0)})
    assert hashed.count(2) == 2  # to recognise it, and for the spec


def test_a_run_from_objects_is_bundled_from_python(tmp_path, capsys):
    run = sc.certify(network(), pictures(6), out=tmp_path / "run", **QUICK)
    with pytest.raises(SystemExit):
        main(["bundle", str(tmp_path / "run"), "--out", str(tmp_path / "no")])
    assert "E-MODEL-112" in capsys.readouterr().err
    g = sc.SmoothedClassifier(network(), sigma=0.25, num_classes=4)
    g.save(tmp_path / "bundle", run=run)
    assert sc.SmoothedClassifier.load(tmp_path / "bundle", network(5)).bundle.certified is not None


def test_a_device_that_was_asked_for_is_not_replaced(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with refuses("E-RECIPE-007"):
        sc.certify(network(), pictures(6), out=tmp_path / "run", device="cuda", **QUICK)


def brightness(x: torch.Tensor) -> torch.Tensor:
    mean = x.flatten(1).mean(1, keepdim=True)
    return torch.cat([mean, 1 - mean, mean - 1, -mean], 1)


def test_a_network_in_training_mode_keeps_its_batch_statistics(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
    before = {name: value.clone() for name, value in model.train().state_dict().items()}
    run = sc.certify(model, pictures(6), out=tmp_path / "run", **QUICK)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    facts = run.spec.models[0]
    assert facts.sha256 == facts.state_sha256


def test_a_denoiser_in_memory_gets_images_in_the_range_that_was_asked_for(tmp_path):
    class Signed(nn.Module):
        def forward(self, x, sigma):
            seen.append(sigma)
            return x

    seen = []
    settings = {**QUICK, "denoiser": Signed(), "denoiser_range": (-1, 1)}
    run = sc.certify(network(), pictures(6), out=tmp_path / "run", **settings)
    assert max(set(seen), key=seen.count) == 0.5  # twice as wide a range, twice the noise; the preflight tries others
    assert run.spec.models[0].denoiser.adapted == ("images from -1 to 1",)


def test_a_loaded_denoiser_has_its_value_range(tmp_path):
    settings = {**QUICK, "denoiser": denoiser_of(nn.Identity(), "own"), "denoiser_range": (-1, 1)}
    with refuses("E-MODEL-199", "own"):
        sc.certify(network(), pictures(6), out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_training_flags_are_restored(tmp_path):
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(108, 4)).train()
    sc.certify(model, pictures(6), out=tmp_path / "run", **QUICK)
    assert all(part.training for part in model.modules())


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"alpha": 2}, SpecError),
        ({"no_such_setting": 1}, SpecError),
        ({"k": 4}, SpecError),
        ({"weights": "net.pt"}, ModelError),
        ({"denoiser": nn.Identity(), "denoiser_weights": "net.pt"}, ModelError),
        ({"model": "net.h5"}, ModelError),
        ({"dataset": (torch.rand(4, 3, 6, 6), torch.zeros(4, dtype=torch.long))}, DataError),
        ({"dataset": (pictures()[0], torch.zeros(12, 4, dtype=torch.long))}, DataError),
        ({"dataset": (pictures()[0], torch.rand(12))}, DataError),
        ({"dataset": (pictures()[0], pictures(11)[1])}, DataError),
        ({"dataset": 3}, DataError),
        ({"class_names": "ab"}, DataError),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(tmp_path, change, error):
    model, dataset = change.pop("model", network()), change.pop("dataset", pictures())
    with pytest.raises(error):
        sc.certify(model, dataset, out=tmp_path / "run", **QUICK | change)
    assert not (tmp_path / "run").exists()


def test_quantise_puts_floats_on_a_grid(tmp_path):
    run = sc.certify(network(), (torch.rand(4, 3, 6, 6), torch.arange(4)), out=tmp_path / "run", quantise=8, **QUICK)
    assert any("8" in step for step in run.spec.data.preprocessing)


def test_a_run_is_never_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("kept")
    with pytest.raises(EvidenceError):
        sc.certify(network(), pictures(), out=tmp_path / "run", **QUICK)
    assert (tmp_path / "run" / "mine").read_text() == "kept"


def test_opening_a_run_needs_no_torch():
    code = "import smoothcert, sys; smoothcert.open_run, smoothcert.certify; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
