"""From a request to a sealed run: what is written, and that the evidence is what was asked for."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from networks import SEED, small_request, write_grey_images, write_resnet
from refusals import refuses
from smoothcert.data import load_images
from smoothcert.engine.preflight import Preflight
from smoothcert.engine.resources import Placement
from smoothcert.engine.run import certify, resume
from smoothcert.engine.session import Hooks, Progress
from smoothcert.errors import InputError, ModelError, SpecError
from smoothcert.evidence import open_run
from smoothcert.evidence.events import LOCKED, SIGNED, STARTED, broken_link
from smoothcert.noise import Rows, Stage, make_noise
from smoothcert.verify import check_signatures, verify


def test_a_run_holds_a_line_an_image_and_is_sealed(grey, tmp_path):
    heard: list[Progress | Preflight] = []
    hooks = Hooks(on_preflight=heard.append, on_progress=heard.append)
    certify(small_request("nets:robust", grey, k=(1, 3)), tmp_path / "run", hooks)
    run, images = open_run(tmp_path / "run"), load_images(str(grey))
    assert run.sealed
    assert run.missing == 0
    assert [line.index for line in run.ledger.lines] == list(range(12))
    for i, line in enumerate(run.ledger.lines):
        assert (line.label, line.image, line.recipe) == (images.labels[i], images.image_sha256(i), None)
        assert sum(line.selection.values()) == 20
        assert tuple(n for n, _ in line.looks) == run.spec.looks[: len(line.looks)]
        assert all(sum(votes.values()) == n for n, votes in line.looks)
    events = [event.event for event in run.directory.read_events()]
    measured = ["repeated images", "without noise", "changed images", "rates"]
    assert events == ["spec locked", "start", *measured, "noise level", "energy", "finish"]
    assert broken_link(run.directory.events) is None
    assert run.directory.seal().facts["ledger_sha256"] == run.ledger.sha256()
    assert all(entry.certified == 12 for entry in run.results() if entry.radius == 0.1)
    assert isinstance(heard[0], Preflight)
    assert (heard[-1].decided, heard[-1].total) == (12, 12)
    assert heard[-1].samples >= heard[-1].decided_samples == sum(line.samples for line in run.ledger.lines)
    assert json.loads((tmp_path / "run" / "results" / "results.json").read_text())


def test_each_vote_is_the_class_of_one_addressed_copy(grey, tmp_path):
    """The mean of a noisy copy, computed here, names the grey level its vote went to."""
    certify(
        small_request("nets:brittle", write_grey_images(tmp_path / "near.npz", (100, 101, 102, 103))), tmp_path / "run"
    )
    noise, images = make_noise("grid", 0.25, 255, SEED), load_images(str(tmp_path / "near.npz"))
    for line in open_run(tmp_path / "run").ledger.lines:
        for stage, votes in ((Stage.SELECTION, line.selection), *((Stage.ESTIMATION, v) for _, v in line.looks[-1:])):
            steps = noise.steps(Rows.of(0, line.index, range(sum(votes.values())), stage), images.shape)
            means = (images.pixels(line.index).astype(int) + steps).mean(axis=(1, 2, 3))
            nearest = np.abs(means[:, None] - np.array([100, 101, 102, 103])).argmin(axis=1)
            clear = np.abs(means * 2 - np.rint(means * 2)) > 1e-3  # float32 may put a tie on either side
            counted = np.bincount(nearest, minlength=4)
            assert sum(abs(counted[c] - votes.get(c, 0)) for c in range(4)) <= 2 * (~clear).sum()


def test_groups_go_into_the_lines_and_the_spec(grey, tmp_path):
    data = write_grey_images(tmp_path / "grouped.npz", groups=np.array([f"patient {i // 4}" for i in range(12)]))
    certify(small_request("nets:robust", data, limit=6), tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert run.spec.data.grouped
    assert [line.group for line in run.ledger.lines] == ["patient 0"] * 4 + ["patient 1"] * 2


def test_each_noise_level_has_its_own_classifier(tmp_path):
    for sigma in ("0.25", "0.50"):
        write_resnet(tmp_path / f"r_{sigma}.safetensors", float(sigma), seed=int(float(sigma) * 100))
    data = write_grey_images(tmp_path / "grey.npz", each=1)
    asked = small_request(tmp_path / "r_{sigma}.safetensors", data, sigma="0.25,0.50")
    run = open_run(certify(asked, tmp_path / "run").path)
    assert [(m.sigma, m.written, m.reference[-16:]) for m in run.spec.models] == [
        (0.25, "0.25", "0.25.safetensors"),
        (0.5, "0.50", "0.50.safetensors"),
    ]
    assert len({m.sha256 for m in run.spec.models}) == 2
    assert [line.key for line in run.ledger.lines] == [(s, i) for s in (0.25, 0.5) for i in range(4)]
    assert resume(run.directory, {}) is False


def test_without_a_seed_each_run_draws_its_own(grey, tmp_path):
    seeds = {"a": None, "b": None, "c": 5}
    runs = [certify(small_request("nets:robust", grey, seed=s, limit=1), tmp_path / name) for name, s in seeds.items()]
    specs = [run.read_spec() for run in runs]
    assert specs[0].seed != specs[1].seed
    assert [spec.seed_source for spec in specs] == ["operating system", "operating system", "user"]


@pytest.mark.parametrize(
    ("model", "settings", "error", "named"),
    [
        ("nets:spoilt", {}, ModelError, "NaN or infinite"),
        ("nets:narrow", {}, ModelError, "expected logits of shape"),
        ("nets:two", {}, InputError, "labels from 0 to 1"),
        ("nets:robust", {"k": (1, 4)}, SpecError, "k below the number of classes"),
        ("nets:missing", {}, ModelError, "no function"),
        ("nets:robust", {"data": "absent.npz"}, InputError, "no such file"),
        ("nets:robust", {"precision": "fp16"}, InputError, "fp32"),
    ],
)
def test_what_fails_before_the_first_image_leaves_nothing_behind(grey, tmp_path, model, settings, error, named):
    before = sorted(p.name for p in tmp_path.iterdir() if p.name != "__pycache__")
    data = settings.pop("data", grey)
    with pytest.raises(error, match=named):
        certify(small_request(model, data, **settings), tmp_path / "deep" / "run")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "__pycache__") == before


def test_a_run_is_never_overwritten(grey, tmp_path):
    out = certify(small_request("nets:robust", grey, limit=1), tmp_path / "run").path
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with refuses("E-RUN-032"):
        certify(small_request("nets:robust", grey, limit=1), out)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    with refuses("E-RUN-033"):
        certify(small_request("nets:robust", grey), tmp_path)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen")
def test_the_lock_is_signed_before_anything_is_sampled(grey, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    run = certify(small_request("nets:robust", grey), tmp_path / "run", placement=Placement(sign_lock=key))
    assert [event.event for event in run.own_events()[:3]] == [LOCKED, SIGNED, STARTED]
    assert verify(run.path).faults == ()
    (tmp_path / "allowed").write_text(f"me {key.with_suffix('.pub').read_text()}")
    signed = check_signatures(run.path, tmp_path / "allowed")
    assert any("when locked: signed by me, key SHA256:" in note for note in signed.notes)
    assert len(signed.faults) == 1  # nobody signed the evidence


def test_a_key_that_is_none_is_refused_before_anything_is_written(grey, tmp_path):
    with pytest.raises(InputError):
        certify(small_request("nets:robust", grey), tmp_path / "run", placement=Placement(sign_lock=tmp_path / "none"))
    assert not (tmp_path / "run").exists()
