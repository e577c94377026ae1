"""Bad input: exit status 2, a sentence or two, no traceback, and nothing written."""

import pickle
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import smoothcert.sampling.recipe as recipe
from smoothcert.formats.card import Card
from smoothcert.models.checkpoints import save_weights
from smoothcert.models.resnet import build

GOOD = {"--model": "cli_nets:brightness", "--data": "images.npz", "--sigma": "0.25", "--n-max": "100"}


def contents(*folders):
    return {
        path: path.read_bytes() if path.is_file() else None
        for folder in folders
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


@pytest.fixture
def refused(say, project, tmp_path):
    """Run a command that must be refused; return its sentence."""

    def run(*arguments):
        before = contents(project, tmp_path)
        said = say(*arguments)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("smoothcert: ")
        assert re.fullmatch(r".+\S\n", said.err)
        assert not any(word in said.err for word in ("Traceback", "pydantic", "http", "Error ("))
        assert len(re.findall(r"[.?](?=\s+[A-Z])", said.err)) < 3 or "Unknown command" in said.err
        assert contents(project, tmp_path) == before
        return said.err.removeprefix("smoothcert: ").rstrip()

    return run


@pytest.fixture
def certify(refused, tmp_path):
    """Refuse `certify` with some settings changed."""

    def run(*more, **changed):
        settings = {**GOOD, **{f"--{name}": value for name, value in changed.items()}}
        flags = [word for pair in settings.items() if pair[0] not in more for word in pair]
        return refused("certify", *flags, *more, "--out", tmp_path / "out")

    return run


SETTINGS = [
    ("--sigma 64", "--sigma: expected noise levels above 0 and at most 4, .*; divide a sigma in grey levels by 255"),
    ("--sigma 0", "--sigma: expected noise levels above 0"),
    ("--sigma -0.25", "--sigma: expected noise levels above 0"),
    ("--sigma loud", "--sigma: expected a number, got 'loud'"),
    ("--sigma 0.25,0.250", "--sigma: expected distinct values"),
    ("--radius 0", "--radius: expected L2 radii above 0"),
    ("--radius -1", "--radius: expected L2 radii above 0"),
    ("--radius far", "--radius: input should be a valid number"),
    ("--alpha 0", "--alpha: expected a probability"),
    ("--alpha 0.5", "--alpha: expected a probability"),
    ("--alpha small", "--alpha: input should be a valid number"),
    ("--k 3", r"k: expected k below the number of classes \(3\), got 3"),
    ("--k 0", "--k: expected k of 1 or more"),
    ("--n-max 99", "--n-max: expected at least 100, the first look, got 99; raise --n-max or use --stopping fixed"),
    ("--n-max 1e3", "--n-max: input should be a valid integer"),
    ("--n-max", "--n-max"),
    ("--n0 0", "--n0: expected a whole number from 1"),
    ("--batch-size 0", "--batch-size: expected a whole number from 1"),
    ("--limit 0", "--limit: expected a whole number from 1"),
    ("--seed -1", "--seed: expected a whole number from 0"),
    ("--seed 18446744073709551616", "--seed: expected a whole number from 0"),
    ("--quantise 10", "--quantise: expected 8, 12 or 16 bits, got 10"),
    ("--bound exact", "--bound: input should be 'rankcp', 'simuem', 'cohen' or 'betting', got 'exact'"),
    ("--precision fp16 --device cpu", "--precision fp16"),
    ("--arch resnet8", "leave out --arch resnet8"),
    ("--frobnicate 3", "--frobnicate"),
    ("--frobnicate", "--frobnicate"),
    ("stray", "stray"),
]


@pytest.mark.parametrize(("flags", "sentence"), SETTINGS, ids=[flags for flags, _ in SETTINGS])
def test_settings(certify, flags, sentence):
    assert re.search(sentence, certify(*flags.split()))


MODELS = [
    ("cli_nets:two_classes", r"expected labels from 0 to 1, the classifier's classes, got 2 at image 2"),
    ("cli_nets:not_a_number", r"returns NaN or infinite logits on clean images"),
    ("cli_nets:maps", r"expected logits of shape \(n, classes\) with n = \d+, got shape \(\d+, 3, 8, 8\)"),
    ("cli_nets:scalar", r"expected logits of shape \(n, classes\)"),
    ("cli_nets:pair", r"expected logits of shape .* got a tuple"),
    (
        "cli_nets:for_larger_images",
        r"declares images of shape \(C, H, W\) = \(3, 28, 28\), but images.npz has \(3, 8, 8",
    ),
    ("cli_nets:no_network", r"must return a torch.nn.Module, got int"),
    ("cli_nets:fails", r"RuntimeError: out of order"),
    ("cli_nets:missing", r"cli_nets has no function 'missing'"),
    ("no_such_nets:net", r"importing no_such_nets from"),
    ("none.safetensors", r"none\.safetensors: the file cannot be read \(No such file"),
    ("net_{sigma}.safetensors", r"net_0\.25\.safetensors: the file cannot be read"),
    ("net.h5", r"'net.h5' is not a supported model reference; --model takes"),
    ("net.pt2", r"a \.pt2 file is code.*--trust-model"),
    ("", r"is not a supported model reference"),
]


@pytest.mark.parametrize(("model", "sentence"), MODELS, ids=[model for model, _ in MODELS])
def test_models(certify, model, sentence):
    assert re.search(sentence, certify(model=model))


LABELS = np.arange(4) % 3
IMAGES = np.full((4, 8, 8, 3), 7, np.uint8)
DATA = {
    "labels outside the classes": ({"labels": np.array([0, 1, 2, 3])}, "expected labels from 0 to 2"),
    "negative labels": ({"labels": np.array([0, 1, -1, 2])}, "label"),
    "float labels": ({"labels": LABELS.astype(float)}, "label"),
    "too few labels": ({"labels": LABELS[:3]}, "label"),
    "off the grid": ({"images": np.full((4, 8, 8, 3), 0.3337)}, "must be on a grid of 255 steps.*--quantise 8"),
    "not a number": ({"images": np.full((4, 8, 8, 3), np.nan)}, "must be finite"),
    "normalised": ({"images": np.full((4, 8, 8, 3), -1.5)}, "They look normalised"),
    "grey values as floats": ({"images": np.full((4, 8, 8, 3), 128.0)}, "They look like grey values"),
    "wrong type": ({"images": IMAGES.astype(np.int32)}, "images must be uint8, uint16 or float"),
    "two channels": ({"images": IMAGES[..., :2]}, "with 1 or 3 channels"),
    "channels first": ({"images": IMAGES.transpose(0, 3, 1, 2)}, "transpose to"),
    "one channel": ({"images": IMAGES[..., 0]}, r"fails on images of shape .* Check channels and image size"),
    "another size": ({"images": np.zeros((4, 9, 9, 3), np.uint8)}, r"fails on images of shape \(n, C, H, W\)"),
    "none": ({"images": IMAGES[:0], "labels": LABELS[:0]}, "at least one image"),
    "objects": ({"labels": np.array([object()] * 4)}, "contains pickled Python objects"),
}


@pytest.mark.parametrize("name", DATA)
def test_data(certify, tmp_path, name):
    arrays, sentence = DATA[name]
    path = tmp_path / "d.npz"
    np.savez(path, allow_pickle=True, **{"images": IMAGES, "labels": LABELS, **arrays})
    assert re.search(sentence, certify(data=str(path)))


REFERENCES = [
    ("images.npz#test", "no test_images and test_labels; it has one set without a split: leave out #test"),
    ("none.npz", "none.npz: no such file"),
    ("no_such_data:make", "importing no_such_data from"),
    ("cli_nets:no_network", "must return a dataset with len"),
    ("images.tiff", "'images.tiff' is not a supported data reference; --data takes"),
]


@pytest.mark.parametrize(("data", "sentence"), REFERENCES, ids=[data for data, _ in REFERENCES])
def test_references_of_data(certify, data, sentence):
    assert re.search(sentence, certify(data=data))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_images_and_weights(certify, project, tmp_path, share):
    whole = (project / "images.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: int(share * len(whole))])
    assert "expected a .npz archive" in certify(data=str(tmp_path / "cut.npz"))
    save_weights(build("resnet8", 3, 3), Card(arch="resnet8", num_classes=3, in_channels=3), tmp_path / "w.safetensors")
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[: int(share * len(whole))])
    assert "damaged or truncated" in certify(model=str(tmp_path / "w.safetensors"))


def test_weights_that_do_not_fit(certify, tmp_path):
    save_file({"1.weight": torch.zeros(3, 100), "1.bias": torch.zeros(3)}, tmp_path / "w.safetensors")
    sentence = certify("--weights", tmp_path / "w.safetensors")
    assert "1.weight must have shape (3, 192), got (3, 100)" in sentence


class Payload:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_a_pickle_that_would_run_code(certify, tmp_path, suffix):
    trace, weights = tmp_path / "trace", tmp_path / f"w{suffix}"
    torch.save({"1.weight": Payload(trace)}, weights)
    assert "could run any code" in certify("--weights", weights)
    weights.write_bytes(pickle.dumps(Payload(trace)))
    certify("--weights", weights)
    certify("--arch", "resnet8", model=str(weights))
    assert not trace.exists()


def test_an_archive_that_would_run_code(certify, tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "d.npz"
    labels = np.array([Payload(trace)] * 4, dtype=object)
    np.savez(path, allow_pickle=True, images=IMAGES, labels=labels)
    assert "could run code" in certify(data=str(path))
    assert not trace.exists()


def test_out_is_needed_and_must_be_free(refused, project, tmp_path):
    flags = [word for pair in GOOD.items() for word in pair]
    assert refused("certify", *flags) == "--out: name the run directory to create. [E-INPUT-004]"
    run = project / "run"
    assert f"{run} already contains a run" in refused("certify", *flags, "--out", run)
    (tmp_path / "file").write_text("mine")
    assert "is not an empty folder" in refused("certify", *flags, "--out", tmp_path / "file")
    assert "is not an empty folder" in refused("certify", *flags, "--out", tmp_path)
    assert "is below a file" in refused("certify", *flags, "--out", tmp_path / "file" / "run")


def test_what_is_required(refused):
    assert "parameter --model requires an argument. See `smoothcert certify --help`." in refused(
        "certify", "--data", "d"
    )
    assert "RUN requires an argument. See `smoothcert verify --help`." in refused("verify")
    assert "Name a run directory, or published per-image logs." in refused("table")


def test_another_verb(refused):
    sentence = refused("certifi")
    assert 'Unknown command "certifi". Did you mean "certify"?' in sentence
    assert sentence.endswith("See `smoothcert --help`.")


@pytest.mark.parametrize("verb", ["resume", "status", "verify", "table", "radius"])
def test_a_path_without_a_run(refused, tmp_path, verb):
    more = ["--sigma", "0.25"] if verb == "radius" else []
    refused(verb, tmp_path / "none", *more)
    refused(verb, tmp_path, *more)
    (tmp_path / "spec.json").mkdir()
    if verb != "verify":  # which finds a fault in it
        refused(verb, tmp_path, *more)


CONFIGS = [
    ("model: [", "c.yaml: expected YAML, got an error in line 1: expected"),
    ("model: m\nalpha: 0.01\nalpha: 0.001\n", "c.yaml: duplicate key `alpha` in line 3"),
    ("sigma: " + "[" * 60_000, "c.yaml: expected lists and mappings nested at most 32 deep, got more."),
    ("#" * 100_001, "c.yaml: expected at most 100,000 bytes of text, got more."),
    ("- 1\n", "expected settings such as"),
    ("", "expected settings such as"),
    ("model: m\ndata: d\nfoo: 1\n", "foo"),
    ("model: m\ndata: d\nalpha: 7\n", "--alpha: expected a probability"),
    ("model: m\ndata: d\nn_max: many\n", "--n-max: input should be a valid integer"),
]


@pytest.mark.parametrize(("text", "sentence"), CONFIGS)
def test_settings_files(refused, tmp_path, text, sentence):
    (tmp_path / "c.yaml").write_text(text)
    assert sentence in refused("certify", "--config", tmp_path / "c.yaml", "--print-config")


def test_settings_files_that_cannot_be_read(refused, tmp_path):
    for value, why in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        assert refused("certify", "--config", value) == f"Cannot read {value}: {why}. [E-INPUT-043]"
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    assert "bytes.yaml: expected UTF-8 text" in refused("certify", f"--config={tmp_path / 'bytes.yaml'}")


@pytest.mark.parametrize("text", ["1: 2", "null: 2", "? [a]\n: 1", "primary: {1: 2}", "criteria: [{true: 2}]"])
def test_keys_of_a_settings_file_that_are_no_text(refused, tmp_path, text):
    (tmp_path / "run.yaml").write_text(f"model: demo\n{text}\n")
    assert "[E-INPUT-053]" in refused("certify", "--config", tmp_path / "run.yaml", "--data", "synthetic:3")


def test_resume_with_a_changed_spec(refused, unfinished):
    spec = unfinished / "spec.json"
    spec.write_text(spec.read_text().replace('"alpha": 0.001', '"alpha": 0.01'))
    assert "is not the spec that was locked before the first image" in refused("resume", unfinished, "--trust-model")
    spec.write_text("{")
    assert "Expected a spec.json of format 1" in refused("resume", unfinished, "--trust-model")


def test_resume_with_another_model_or_other_data(refused, unfinished):
    sentence = refused("resume", unfinished, "--model", "cli_nets:other")
    assert "cli_nets:other is not the classifier of this run at sigma 0.25" in sentence
    trusted = ("resume", unfinished, "--trust-model", "--data")
    assert "does not hold the images of this run" in refused(*trusted, "others.npz")
    assert "none.npz: no such file" in refused(*trusted, "none.npz")


def test_resume_with_another_recipe(refused, unfinished, monkeypatch):
    monkeypatch.setattr(recipe, "_instructions", lambda: "abacus")
    sentence = refused("resume", unfinished, "--trust-model")
    assert "numeric recipe is not the run's: instructions " in sentence
    assert "is now abacus" in sentence
    assert "--accept-recipe" in sentence


@pytest.mark.parametrize("verb", ["resume", "table"])
def test_a_damaged_ledger(refused, unfinished, verb):
    path = unfinished / "ledger" / "local-0.jsonl"
    path.write_text(path.read_text().replace('"looks"', '"lux"', 1))
    assert re.match(r"Line 1 of .*local-0\.jsonl is damaged: .*'lux'.* Restore", refused(verb, unfinished))


def test_counts_and_logs(refused, tmp_path):
    path = tmp_path / "counts.txt"
    path.write_text("90 10 0\n80 30\n")
    assert "Line 2 of" in refused("radius", path, "--sigma", "0.25")
    path.write_text("90 10 0\n")
    for flags, sentence in {
        "--sigma 64": "sigma: expected noise levels above 0",
        "--sigma x": "--sigma",
        "--sigma 0.25 --alpha 0": "alpha: expected a probability",
        "--sigma 0.25 --k 2": "expected 1 <= k < 2",
        "--sigma 0.25 --k 0": "k: expected k of 1 or more",
        "--sigma 0.25 --radius -1": "--radius: expected radii from 0 to 100",
        "--sigma 0.25 --radius far": "--radius: expected numbers such as 0.25,0.5, got far",
        "--sigma 0.25 --bound exact": "bound",
    }.items():
        assert sentence in refused("radius", path, *flags.split())
    assert "Expected the tab-separated columns" in refused("table", path)
    assert re.search("format", refused("table", path, "--format", "docx"))


def test_table_takes_one_run(refused, project):
    assert "Name one run directory at a time." in refused("table", project / "run", project / "run")


def test_train_never_overwrites(refused, project, tmp_path):
    (tmp_path / "w.safetensors").write_text("mine")
    common = ["train", "--data", project / "images.npz", "--sigma", "0.25", "--out"]
    assert "weights are never overwritten" in refused(*common, tmp_path / "w.safetensors")
    assert "expected a file name ending in .safetensors" in refused(*common, tmp_path / "w.pt")
    assert "sigma" in refused("train", "--data", "images.npz", "--sigma", "-1", "--out", tmp_path / "v.safetensors")
    assert "consistency" in refused(*common, tmp_path / "v.safetensors", "--consistency", "-1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--weights w.pt", "--weights belongs to --from package.module:factory"),
        ("--from none.safetensors", "none.safetensors: the file cannot be read"),
        ("--from net.pt2", "is an exported program, which cannot be trained"),
        ("--from cli_nets:two_classes", "must return logits of shape (2, 3) for two images, got (2, 2)"),
        ("--from cli_nets:pair", "got tuple"),
        ("--from cli_nets:for_larger_images", "declares input shape (3, 28, 28), but the images have (3, 8, 8)"),
        ("--from cli_nets:no_network", "must return a torch.nn.Module"),
        ("--entropy -1", "entropy must be in 0..100"),
    ],
)
def test_what_training_cannot_start_from(refused, tmp_path, arguments, message):
    common = ["train", "--data", "images.npz", "--sigma", "0.25", "--out", tmp_path / "w.safetensors"]
    assert message in refused(*common, *arguments.split())


@pytest.mark.parametrize("name", ["ledger", "results"])
def test_a_file_where_a_folder_of_the_run_belongs(refused, unfinished, name):
    shutil.rmtree(unfinished / name)
    (unfinished / name).write_text("in the way")
    message = refused("resume", unfinished, "--trust-model")
    assert f"Expected a folder at {unfinished / name}, found a file; move it away and try again." in message
    assert (unfinished / name).read_text() == "in the way"


def test_a_ledger_file_that_cannot_be_read(refused, unfinished):
    ledger = unfinished / "ledger" / "local-0.jsonl"
    ledger.unlink()
    ledger.mkdir()
    assert refused("resume", unfinished, "--trust-model").startswith(f"Cannot read {ledger}: ")


def test_a_disk_that_fails_under_a_resumed_run(say, unfinished, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    ledger = unfinished / "ledger" / "local-0.jsonl"
    before = ledger.read_bytes()
    monkeypatch.setattr("os.fsync", fail)
    said = say("resume", unfinished, "--trust-model")
    assert said.code == 2
    assert said.err.endswith(
        f"Cannot read or write {unfinished}: No space left on device. Written lines are kept. Fix the cause, then "
        f"continue with `smoothcert resume {unfinished} --trust-model`. [E-RUN-002]\n"
    )
    assert ledger.read_bytes().startswith(before)


def test_names_between_colons_are_printed_as_they_are(refused, project):
    assert "two:smile:two:" in refused("check", "--model", "two:smile:two:", "--data", "images.npz", "--sigma", "0.25")
