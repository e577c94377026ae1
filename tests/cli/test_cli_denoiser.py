"""A run with a denoiser, as typed: `resume`, `bundle`, `predict` and `verify --bundle` know what was certified."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from networks import write_denoiser, write_denoisers
from smoothcert.cli import main

CODE = ("--model", "cli_nets:brightness")
BLUR = ("--denoiser", "denoisers:blur")


@pytest.fixture(scope="module")
def place(project):
    """The folder of the project, with denoisers and an image."""
    write_denoisers(project)
    write_denoiser(project / "d.safetensors")
    write_denoiser(project / "other.safetensors", seed=2)
    with np.load(project / "images.npz") as arrays:
        Image.fromarray(arrays["images"][0]).save(project / "i.png")
    return project


@pytest.fixture(scope="module")
def made(place, tmp_path_factory):
    """A finished run behind a built-in denoiser, and one behind a custom denoiser, each made when asked for."""
    runs = {}

    def run(say, denoiser):
        if denoiser not in runs:
            out = tmp_path_factory.mktemp("denoised") / "run"
            flags = ("--sigma", "0.25", "--radius", "0.1", "--n-max", "100", "--batch-size", "64", "--seed", "3")
            done = say("certify", *CODE, "--denoiser", denoiser, "--data", "images.npz", *flags, "--out", out)
            assert done.code == 0, done.err
            runs[denoiser] = out
        return runs[denoiser]

    return run


def resum(bundle):
    files = sorted(path for path in bundle.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (bundle / "SHA256SUMS").write_text("".join(lines))


def edit(bundle, change):
    record = json.loads((bundle / "bundle.json").read_text())
    change(record)
    (bundle / "bundle.json").write_text(json.dumps(record))
    resum(bundle)


def test_a_run_behind_a_built_in_denoiser_is_deployed(say, made, place, tmp_path):
    run, out = made(say, "d.safetensors"), tmp_path / "b"
    told = say("bundle", run, *CODE, "--out", out)
    assert (told.code, "not the classifier alone" in told.out) == (0, True)
    assert f"predict {out} IMAGE... --model package.module:factory" in told.out
    assert say("verify", run, "--bundle", out).code == 0
    told = say("predict", out, "i.png", *CODE, "--format", "json")
    assert told.code == 0
    answer = json.loads(told.out)
    assert answer["denoiser_sha256"] == f"sha256:{hashlib.sha256((place / 'd.safetensors').read_bytes()).hexdigest()}"


def test_a_custom_denoiser_is_named_again(say, made, tmp_path):
    run, out = made(say, "denoisers:blur"), tmp_path / "b"
    refused = say("bundle", run, *CODE, "--out", out)
    assert (refused.code, "E-FILE-007" in refused.err) == (2, True)
    told = say("bundle", run, *CODE, *BLUR, "--out", out)
    assert (told.code, "--denoiser package.module:factory" in told.out) == (0, True)
    assert say("verify", run, "--bundle", out).code == 0
    for flags, code in (((), "E-MODEL-142"), (("--denoiser", "d.safetensors"), "E-MODEL-143")):
        refused = say("predict", out, "i.png", *CODE, *flags)
        assert (refused.code, code in refused.err) == (2, True)
    other = say("predict", out, "i.png", *CODE, "--denoiser", "denoisers:sharp")
    assert (other.code, "E-MODEL-095" in other.err, f"{out}: " in other.err) == (2, True, True)
    assert say("predict", out, "i.png", *CODE, *BLUR).code == 0


@pytest.mark.parametrize("flags", [("--denoiser", "other.safetensors"), BLUR, ("--denoiser", "nowhere.safetensors")])
def test_another_denoiser_is_refused(say, made, tmp_path, flags):
    run = shutil.copytree(made(say, "d.safetensors"), tmp_path / "run")
    refused = say("bundle", run, *CODE, *flags, "--out", tmp_path / "b")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    for path, drop in ((run / "events.jsonl", 1), (run / "ledger" / "local-0.jsonl", 2)):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-drop]))
    refused = say("resume", run, *CODE, *flags)
    assert refused.code == 2
    assert say("resume", run, *CODE).code == 0


@pytest.mark.parametrize("verb", [("resume",), ("bundle", "--out", "b", "--sigma", "0.25")])
@pytest.mark.parametrize("flag", ["--denoiser", "--denoiser-weights"])
def test_a_run_without_a_denoiser_takes_none(say, place, unfinished, real_run, verb, flag):
    run = unfinished if verb == ("resume",) else place / "run"
    refused = say(verb[0], run, *verb[1:], *CODE, flag, "d.safetensors")
    assert (refused.code, "E-RUN-091" in refused.err) == (2, True)
    assert not (place / "b").exists()


def replaced(bundle):
    data = (bundle / "denoiser.safetensors").read_bytes()
    data = data[:-1] + bytes([data[-1] ^ 1])
    (bundle / "denoiser.safetensors").write_bytes(data)
    sha256 = f"sha256:{hashlib.sha256(data).hexdigest()}"
    edit(bundle, lambda record: record["denoiser_file"].update(sha256=sha256))


def taken(bundle):
    (bundle / "denoiser.safetensors").unlink()

    def change(record):
        del record["denoiser_file"], record["model"]["denoiser"], record["certified"]["model"]["denoiser"]

    edit(bundle, change)


@pytest.mark.parametrize(
    ("change", "words"), [(replaced, "denoiser.safetensors does not"), (taken, "denoiser is none")]
)
def test_verify_names_the_denoiser_that_differs(say, made, tmp_path, change, words):
    run, out = made(say, "d.safetensors"), tmp_path / "b"
    assert say("bundle", run, *CODE, "--out", out).code == 0
    change(out)
    found = say("verify", run, "--bundle", out)
    assert (found.code, words in found.out) == (1, True)
    if change is replaced:
        assert "E-RUN-079" in say("predict", out, "i.png", *CODE).err


def test_verify_names_a_denoiser_too_many(say, made, place, tmp_path):
    run, out = made(say, "d.safetensors"), tmp_path / "b"
    assert say("bundle", run, *CODE, "--out", out).code == 0
    found = say("verify", place / "run", "--bundle", out)
    assert (found.code, "certified: none" in found.out) == (1, True)


@pytest.mark.parametrize("verb", ["train", "train-denoiser"])
def test_the_log_of_a_training_overwrites_no_file(tmp_path, capsys, verb):
    table = tmp_path / "net.csv"
    table.write_text("mine")
    flags = ["--data", "synthetic:8", "--sigma", "0.25", "--epochs", "1", "--out", str(tmp_path / "net.safetensors")]
    with pytest.raises(SystemExit) as ended:
        main([verb, *flags])
    assert ended.value.code == 2
    assert "E-MODEL-139" in capsys.readouterr().err
    assert table.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.csv"]


def test_an_empty_denoiser_is_not_taken_for_none(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["certify", "--model", "demo", "--data", "synthetic:8", "--denoiser", "", "--out", str(tmp_path / "run")])
    assert ended.value.code == 2
    assert "denoiser" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--denoiser-range", "--input-range"])
def test_a_negative_value_needs_an_equals_sign(say, place, tmp_path, flag):
    command = ("certify", *CODE, *BLUR, "--data", "images.npz", "--limit", "2", "--n-max", "100", "--out")
    refused = say(*command, tmp_path / "run", flag, "-1,1")
    assert (refused.code, "=-1,1" in refused.err) == (2, True)
    assert say(*command, tmp_path / "run", f"{flag}=-1,1", "--sigma", "0.25").code == 0
