"""`bundle`, `predict` and `verify --bundle`, as typed: what they print, write and refuse."""

import contextlib
import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from torch import nn

import smoothcert
from smoothcert import SmoothedClassifier
from smoothcert import progress as counting
from smoothcert.cli import predict_work as prediction
from smoothcert.cli import terminal
from smoothcert.evidence import open_run
from smoothcert.evidence.bundle.files import read_bundle
from smoothcert.sampling import smoothing as smooth

CODE = ("--model", "cli_nets:brightness")
HOSTILE = ('=cmd("calc")', "a\nb", "\x1b[31mred\x1b[0m", "[bold]x[/]", "[/]", "@SUM(A1)", "| x |", "\u202egnp.exe")


class Brightness(nn.Module):
    """Eight classes by the mean grey value: 16, 48, 80, ..."""

    def forward(self, x):
        import torch

        return -200 * (x.mean((1, 2, 3))[:, None] - (torch.arange(8) * 32 + 16) / 255) ** 2


@pytest.fixture
def images(project, tmp_path):
    """The run's images as files: a folder with 12 PNGs in two folders."""
    with np.load(project / "images.npz") as arrays:
        for i, (image, label) in enumerate(zip(arrays["images"], arrays["labels"], strict=True)):
            folder = tmp_path / "images" / ("first" if i < 6 else "second")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{i:02d}_{label}.png")
    return tmp_path / "images"


@pytest.fixture(scope="module")
def bundled(project, tmp_path_factory):
    """The bundle of the finished run at sigma 0.25."""
    from smoothcert.sampling.save_bundle import BundleRequest, bundle_run

    out = tmp_path_factory.mktemp("bundled") / "bundle"
    bundle_run(open_run(project / "run"), out, 0.25, BundleRequest(n=300), {"model": "cli_nets:brightness"})
    return out


@pytest.fixture
def bundle(bundled, tmp_path):
    return shutil.copytree(bundled, tmp_path / "bundle")


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """A bundle whose class names are attacks, and an image of each class."""
    g = SmoothedClassifier(Brightness(), 0.05, 8, batch_size=16)
    g.save(tmp_path / "hostile", n=40, class_names=HOSTILE, shape=(1, 6, 6))
    for c in range(8):
        Image.fromarray(np.full((6, 6), c * 32 + 16, np.uint8)).save(tmp_path / f"={c}.png")
    (tmp_path / "hostile_nets.py").write_text(
        "from cli.test_cli_predict import Brightness\n\ndef make():\n    return Brightness()\n"
    )
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "hostile"
    sys.modules.pop("hostile_nets", None)


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


# ---- bundle


def test_bundle_of_a_run(say, real_run, tmp_path):
    said = say("bundle", real_run, *CODE, "--sigma", "0.50", "--n", "200", "--alpha", "0.01", "--out", tmp_path / "b")
    assert said.code == 0
    assert said.out.splitlines()[0] == f"Bundle: {tmp_path / 'b'}"
    assert "up to 200 samples per prediction at alpha 0.01; certified on 12 images, ledger " in said.out
    assert f"smoothcert predict {tmp_path / 'b'} IMAGE... --model package.module:factory" in said.out
    record = read_bundle(tmp_path / "b")
    assert (record.sigma, record.n, record.alpha) == (0.5, 200, 0.01)
    assert record.certified.ledger_sha256 == open_run(real_run).ledger.sha256()


REFUSED = {
    "no sigma": ((), r"--sigma: .* has classifiers for sigma 0\.25, 0\.5.*got none. Add --sigma 0\.25"),
    "another sigma": (("--sigma", "1"), r"--sigma: .*got 1\. Add"),
    "too few samples": (("--sigma", "0.25", "--n", "10"), "expected n >= 11"),
    "no samples": (("--sigma", "0.25", "--n", "0"), "expected n >= 11"),
    "alpha of one": (("--sigma", "0.25", "--alpha", "1"), "alpha"),
    "alpha too large": (("--sigma", "0.25", "--alpha", "0.7"), "alpha: expected a probability"),
    "alpha that nobody means": (("--sigma", "0.25", "--alpha", "0.49"), "alpha: expected at most"),
    "other weights": (
        ("--sigma", "0.25", "--model", "cli_nets:other"),
        "is not the classifier that this run certified",
    ),
    "no such file": (("--sigma", "0.25", "--weights", "none.pt"), r"none\.pt: no such file. If it was moved"),
    "an image": (("--sigma", "0.25", "--weights", "images.npz"), r"\.safetensors or a state dict"),
}


def refused(said):
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("smoothcert: ")
    assert said.err.count("\n") == 1
    assert not any(word in said.err for word in ("Traceback", "pydantic", "http"))
    return said.err


@pytest.mark.parametrize("case", REFUSED)
def test_a_bundle_that_cannot_be_made(say, real_run, tmp_path, case):
    flags, sentence = REFUSED[case]
    assert re.search(sentence, refused(say("bundle", real_run, "--trust-model", *flags, "--out", tmp_path / "b")))
    assert not (tmp_path / "b").exists()


def test_unsealed_and_damaged_runs_and_taken_places_are_refused(say, unfinished, bundle, tmp_path):
    flags = ("--sigma", "0.25", "--out")
    assert "is not sealed: 2 of 24 results are missing" in refused(say("bundle", unfinished, *flags, tmp_path / "b"))
    assert "is not an empty folder" in refused(say("bundle", unfinished, *flags, bundle))
    path = unfinished / "spec.json"
    path.write_text(path.read_text().replace('"n0": 100', '"n0": 101'))
    assert "is damaged: spec.json is not the spec" in refused(say("bundle", unfinished, *flags, tmp_path / "b"))
    assert "Expected a run directory" in refused(say("bundle", tmp_path / "none", *flags, tmp_path / "b"))


# ---- predict


def test_predict_prints_a_row_an_image_and_what_it_means(say, bundle, images):
    said = say("predict", bundle, images, *CODE)
    assert said.code == 0
    table = said.out.splitlines()
    assert re.fullmatch(r"\| image +\| class \| label +\| vote share \| samples \|", table[0])
    assert len(table) == 2 + 12
    for line in table[2:]:
        _, name, number, label, share, samples, _ = (entry.strip() for entry in line.split("|"))
        assert number == label == re.search(r"_(\d)\.png$", name)[1]  # bright, grey and dark are told apart
        assert re.fullmatch(r"[01]\.\d{4}", share)
        assert 16 <= int(samples) <= 300
    assert [line.split("|")[1].strip() for line in table[2:]] == sorted(map(str, images.rglob("*.png")))
    words = " ".join(said.err.split())
    assert "A class is the one most probable under noise (sigma 0.25)" in words
    assert "wrong with probability at most alpha = 0.001. An abstention means" in words
    ledger = read_bundle(bundle).certified.ledger_sha256
    assert f"run with ledger {ledger[:12]}... (12 images of images.npz)" in words
    assert "warning" not in said.err


def test_predict_takes_files_and_folders_in_the_order_given(say, bundle, images):
    some = [images / "second" / "11_2.png", images / "first", images / "second" / "06_0.png"]
    found = rows(say("predict", bundle, *some, *CODE, "--format", "csv").out)
    first = [str(images / "first" / path.name) for path in sorted((images / "first").iterdir())]
    assert [row["image"] for row in found] == [str(some[0]), *first, str(some[2])]
    assert list(found[0]) == ["image", "class", "label", "share", "samples", "abstained", "recipe"]
    assert {(row["abstained"], row["recipe"]) for row in found} == {("false", "as certified")}


def test_certify_gives_class_abstention_and_radius_from_one_procedure(say, bundle, images, monkeypatch):
    asked = []
    certify = SmoothedClassifier.certificates

    def watched(g, pixels, *more, **named):
        asked.append((more, named))
        return certify(g, pixels, *more, **named)

    monkeypatch.setattr(SmoothedClassifier, "certificates", watched)
    monkeypatch.setattr(SmoothedClassifier, "predictions", None)  # any call would fail
    flags = ("--certify", "--radius", "0.1,0.3", "--format", "csv")
    found = rows(say("predict", bundle, images, *CODE, *flags, "--n-max", "2000", "--alpha", "0.01").out)
    assert asked[0] == ((1, (0.1, 0.3)), {"n_max": 2000, "alpha": 0.01})
    names = ["image", "class", "label", "samples", "abstained", "radius", "certified_radii", "recipe"]
    assert list(found[0]) == names
    for row in found:
        assert row["class"] == re.search(r"_(\d)\.png$", row["image"])[1]
        assert re.fullmatch(r"0\.\d{6}", row["radius"])
        assert row["certified_radii"] == "; ".join(r for r in ("0.1", "0.3") if float(r) <= float(row["radius"]))


def test_certify_takes_radii_and_samples_of_the_run(say, bundle, images):
    said = say("predict", bundle, images / "first" / "00_0.png", *CODE, "--certify", "--format", "json")
    record = json.loads(said.out)
    assert (record["procedure"], record["n"], record["radii"]) == ("certify", 200, [0.1, 0.25, 0.9])
    assert "up to 200 noise samples" in " ".join(said.err.split())


def test_certify_with_betting_selects_the_class_and_gives_radii_of_its_grid(say, tmp_path, images):
    g = SmoothedClassifier(Brightness(), 0.05, 8, batch_size=64, bound="betting")
    g.save(tmp_path / "bets", n=200, class_names=[str(c) for c in range(8)], shape=(3, 8, 8))
    model = ("--model", "cli.test_cli_predict:Brightness")
    flags = ("--certify", "--radius", "0.02,0.05,3", "--n-max", "1000", "--alpha", "0.01", "--format", "csv")
    for row in rows(say("predict", tmp_path / "bets", images / "first" / "00_0.png", *model, *flags).out):
        assert row["class"] == "0"
        assert int(row["samples"]) > 100  # the first look comes after the selection
        assert float(row["radius"]) >= 0.05
        assert row["certified_radii"] == "0.02; 0.05"


def test_printed_radii_are_rounded_down(say, bundle, images, monkeypatch):
    certificate = smoothcert.Certificate(0, 1, 0.1234567, (0.1,), 300)
    monkeypatch.setattr(SmoothedClassifier, "certificates", lambda g, pixels, *_, **__: [certificate] * len(pixels))
    flags = (*CODE, "--certify")
    assert "0.123456 " in say("predict", bundle, images, *flags).out
    assert rows(say("predict", bundle, images, *flags, "--format", "csv").out)[0]["radius"] == "0.123456"
    assert (
        json.loads(say("predict", bundle, images, *flags, "--format", "json").out)["answers"][0]["radius"] == 0.1234567
    )


def test_an_abstention_is_an_answer(say, bundle, tmp_path):
    """Half way between two classes nothing can be told."""
    Image.fromarray(np.full((8, 8, 3), 64, np.uint8)).save(tmp_path / "between.png")
    between = ("predict", bundle, tmp_path / "between.png", *CODE, "--n", "20")
    line = say(*between).out.splitlines()[2]
    assert re.search(r"\| +- +\| abstained +\|", line)
    (row,) = rows(say(*between, "--format", "csv").out)
    assert (row["class"], row["label"], row["abstained"], row["samples"]) == ("", "", "true", "20")
    (answer,) = json.loads(say(*between, "--format", "json").out)["answers"]
    assert (answer["classes"], answer["labels"], answer["abstained"]) == ([], [], True)
    assert say(*between).code == 0


def test_sets_of_classes(say, bundle, images):
    image = images / "first" / "00_0.png"
    (row,) = rows(say("predict", bundle, image, *CODE, "--k", "2", "--format", "csv").out)
    assert row["class"] in ("0; 1", "")
    said = say("predict", bundle, image, *CODE, "--k", "2")
    assert "The 2 classes are those most probable under noise" in " ".join(said.err.split())


def test_json_tells_all_that_a_device_should_log(say, project, bundle, images):
    record = json.loads(say("predict", bundle, images, *CODE, "--format", "json").out)
    kept = read_bundle(bundle)
    assert record["weights_sha256"] == kept.model.sha256
    assert record["ledger_sha256"] == kept.certified.ledger_sha256
    assert record["recipe"] == kept.recipe.model_dump()
    assert (record["warnings"], record["k"], record["alpha"], record["n"]) == ([], 1, 0.001, 300)
    assert (record["sigma"], record["smoothcert"]) == (0.25, smoothcert.__version__)
    assert record["bundle_sha256"] == hashlib.sha256((bundle / "bundle.json").read_bytes()).hexdigest()
    run = open_run(project / "run")
    assert sorted(a["image_sha256"] for a in record["answers"]) == sorted(line.image for line in run.ledger.at(0.25))
    assert "seed" not in json.dumps(record)


def test_answers_are_written_whole(say, bundle, images, tmp_path, monkeypatch):
    out = tmp_path / "answers.csv"
    said = say("predict", bundle, images, *CODE, "--out", out)
    assert (said.code, said.out) == (0, "")
    assert f"Answers for 12 images, 0 of them abstentions: {out}" in said.err
    assert len(rows(out.read_text())) == 12
    assert "never overwritten" in refused(say("predict", bundle, images, *CODE, "--out", out))
    say("predict", bundle, images, *CODE, "--out", tmp_path / "a.json")
    assert len(json.loads((tmp_path / "a.json").read_text())["answers"]) == 12
    say("predict", bundle, images, *CODE, "--out", tmp_path / "a.txt", "--format", "csv")
    assert (tmp_path / "a.txt").read_text().startswith("image,class,label")

    def stopped(*_, **__):
        raise KeyboardInterrupt

    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(SmoothedClassifier, "predictions", stopped)
    assert say("predict", bundle, images, *CODE, "--out", tmp_path / "b.csv").code == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == before


HOLDER = """
import sys
from pathlib import Path
from smoothcert.cli.predict_work import reserved
with reserved(Path(sys.argv[1])) as write:
    print("here", flush=True)
    sys.stdin.readline()
    write("first")
"""


@pytest.mark.parametrize("ends", ["written", "killed"])
def test_two_processes_never_write_one_file(say, bundle, images, tmp_path, ends):
    out = tmp_path / "answers.csv"
    command = [sys.executable, "-c", HOLDER, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "here\n"
        refused(say("predict", bundle, images, *CODE, "--out", out))
        assert not out.exists()
        if ends == "killed":
            first.kill()
        else:
            first.communicate("go\n")
    if ends == "killed":
        assert say("predict", bundle, images, *CODE, "--out", out).code == 0
        assert len(rows(out.read_text())) == 12
    else:
        refused(say("predict", bundle, images, *CODE, "--out", out))
        assert out.read_text() == "first\n"
    assert not list(tmp_path.glob(".*"))


def test_every_call_draws_fresh_secret_noise(say, bundle, images, monkeypatch):
    """Each part of the images has a seed of its own, and no flag gives one."""
    drawn = []
    randbits = smooth.secrets.randbits
    monkeypatch.setattr(smooth.secrets, "randbits", lambda bits: drawn.append(randbits(bits)) or drawn[-1])
    monkeypatch.setattr(prediction, "PART", 5)
    for _ in range(2):
        say("predict", bundle, images, *CODE)
    assert len(set(drawn)) == len(drawn) == 2 * 3
    assert "--seed" in refused(say("predict", bundle, images, *CODE, "--seed", "3"))
    assert not re.search(r"--seed [A-Z]", say("predict", "--help-all").out)


def test_parts_change_no_answer(say, bundle, images, monkeypatch):
    one = rows(say("predict", bundle, images, *CODE, "--format", "csv").out)
    monkeypatch.setattr(prediction, "PART", 1)
    many = rows(say("predict", bundle, images, *CODE, "--format", "csv").out)
    assert [(row["image"], row["class"]) for row in one] == [(row["image"], row["class"]) for row in many]


def test_another_recipe_is_said_loudly(say, bundle, images, monkeypatch):
    monkeypatch.setattr("smoothcert.sampling.recipe._instructions", lambda: "x86_64 sse2")
    said = say("predict", bundle, images, *CODE, "--format", "csv")
    assert said.code == 0
    assert 'warning: recipe: instructions is "x86_64 sse2"' in said.err
    assert "numeric recipe of this machine is not that of the run" in " ".join(said.err.split())
    assert {row["recipe"] for row in rows(said.out)} == {"differs"}
    record = json.loads(say("predict", bundle, images, *CODE, "--format", "json").out)
    assert record["recipe"]["instructions"] == "x86_64 sse2"
    assert record["warnings"][0].startswith("recipe: instructions")


BAD = {
    "no image": ((), "Expected image files"),
    "no such file": (("none.png",), r"none\.png: no such image file or folder"),
    "an empty folder": (("empty",), "contains no image file"),
    "n too small": (("IMAGES", "--n", "10"), "expected n >= 11"),
    "alpha too large": (("IMAGES", "--alpha", "2"), "alpha"),
    "k too large": (("IMAGES", "--k", "3"), r"k: expected 1 to 2 .*got 3"),
    "k of zero": (("IMAGES", "--k", "0"), "k"),
    "n with certify": (("IMAGES", "--certify", "--n", "300"), "with --certify use --n-max"),
    "n-max without": (("IMAGES", "--n-max", "300"), "are for --certify"),
    "radius without": (("IMAGES", "--radius", "0.1"), "are for --certify"),
    "radius not a number": (("IMAGES", "--certify", "--radius", "far"), "--radius"),
    "radius below 0": (("IMAGES", "--certify", "--radius", "-1"), "radius"),
    "n-max too small": (("IMAGES", "--certify", "--n-max", "50"), "n_max: expected at least 100"),
    "n-max of zero": (("IMAGES", "--certify", "--n-max", "0"), "n_max: expected"),
    "k too large to certify": (("IMAGES", "--certify", "--k", "3"), "k"),
    "alpha too large to certify": (("IMAGES", "--certify", "--alpha", "0.6"), "alpha: expected a probability"),
    "a seed": (("IMAGES", "--seed", "1"), "--seed"),
    "out without a form": (("IMAGES", "--out", "x.xlsx"), r"ending in \.csv or \.json"),
    "out nowhere": (("IMAGES", "--out", "none/x.csv"), "in a folder that does not exist"),
    "another form": (("IMAGES", "--format", "md"), "--format"),
    "a weights file as code": (("IMAGES", "--model", "net.pt"), "--model: expected package.module:factory"),
    "code that fails": (("IMAGES", "--model", "cli_nets:fails"), r"RuntimeError: out of order"),
    "code that does not fit": (("IMAGES", "--model", "cli_nets:maps"), "do not match the architecture"),
    "code that normalises": (("IMAGES", "--model", "cli_nets:half_mean"), "declares the normalisation mean"),
    "no code": (("IMAGES", None), r"its code must be given: --model package\.module:factory"),
    "no accelerator": (("IMAGES", "--device", "cuda"), "Expected a CUDA device"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_predicted(say, bundle, images, tmp_path, case, monkeypatch):
    flags, sentence = BAD[case]
    (tmp_path / "empty").mkdir()
    code = () if "--model" in flags or None in flags else CODE
    before = sorted(tmp_path.rglob("*"))
    words = [images if word == "IMAGES" else tmp_path / word if word == "empty" else word for word in flags if word]
    assert re.search(sentence, refused(say("predict", bundle, *words, *code)))
    assert sorted(tmp_path.rglob("*")) == before


def test_one_bad_file_in_a_folder_stops_all_before_the_first_prediction(say, bundle, images, tmp_path, monkeypatch):
    monkeypatch.setattr("smoothcert.sampling.load_bundle.load_bundle", None)  # any call would fail
    (images / "second" / "zz.png").write_bytes((images / "first" / "00_0.png").read_bytes()[:-30])
    out = tmp_path / "a.csv"
    sentence = refused(say("predict", bundle, images, *CODE, "--out", out))
    assert f"{images / 'second' / 'zz.png'}: the image is damaged or cut short" in sentence
    assert not out.exists()
    Image.fromarray(np.zeros((9, 8, 3), np.uint8)).save(images / "second" / "zz.png")
    assert "got 8 by 9" in refused(say("predict", bundle, images, *CODE, "--out", out))


def test_a_file_that_changes_after_the_check_leaves_nothing(say, bundle, images, tmp_path, monkeypatch):
    load = prediction._load

    def late(*arguments):
        (images / "second" / "11_2.png").write_bytes(b"gone")
        return load(*arguments)

    monkeypatch.setattr(prediction, "_load", late)
    assert "11_2.png" in refused(say("predict", bundle, images, *CODE, "--out", tmp_path / "a.csv"))
    assert not list(tmp_path.glob("*.csv*"))


@pytest.mark.parametrize("name", ["README.md", "SHA256SUMS", "bundle.json", "weights.safetensors"])
def test_a_changed_bundle_is_refused(say, bundle, images, name):
    path = bundle / name
    path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    assert "is not the bundle that was written" in refused(say("predict", bundle, images, *CODE))
    path.unlink()
    assert f"{name} is missing" in refused(say("predict", bundle, images, *CODE))
    assert "Expected a bundle directory" in refused(say("predict", images, images, *CODE))


# ---- names that come from data


def test_hostile_class_names_are_inert_everywhere(say, hostile, monkeypatch):
    files = [f"={c}.png" for c in range(8)]
    command = ("predict", hostile, *files, "--model", "hostile_nets:make")
    text = say(*command, "--format", "csv").out
    assert [row["class"] for row in rows(text)] == list("01234567")
    assert [row["image"] for row in rows(text)] == [f"./={c}.png" for c in range(8)]
    for row in rows(text):
        assert row["label"].isprintable()
        assert row["label"][0] not in "=+-@"
    assert len(text.splitlines()) == 9
    plain = say(*command)
    assert len(plain.out.splitlines()) == 10
    assert plain.out.replace("\n", "").isprintable()
    assert "\\\\x1b[31mred\\\\x1b[0m" in plain.out  # Markdown: a backslash is written twice
    assert [a["labels"][0] for a in json.loads(say(*command, "--format", "json").out)["answers"]] == list(HOSTILE)
    monkeypatch.setattr(terminal.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    shown = say(*command)
    assert shown.code == 0
    assert "[bold]x[/]" in shown.out
    assert "\x1b[31m" not in shown.out.replace("\\x1b[31m", "")
    assert "The bundle names no certification run." in " ".join(shown.err.split())


def test_a_hostile_bundle_page_is_plain(hostile):
    assert (hostile / "README.md").read_text().isascii()
    assert "\x1b" not in (hostile / "bundle.json").read_text()


# ---- verify --bundle


def test_verify_compares_run_and_bundle(say, real_run, bundle):
    said = say("verify", real_run, "--bundle", bundle)
    assert said.code == 0
    assert f"{bundle} is what this run certified at sigma 0.25: the tensors the run certified" in said.out
    assert "Not shown by this: that a device runs this bundle" in said.out


def test_verify_names_each_difference_and_each_changed_file(say, real_run, bundle, hostile):
    (bundle / "README.md").write_text("other")
    (bundle / "x").touch()
    said = say("verify", real_run, "--bundle", bundle)
    assert said.code == 1
    assert f'FAULT  {bundle}: "x" was added' in said.out
    assert f"FAULT  {bundle}: README.md was changed" in said.out
    assert f"{bundle} is NOT what this run certified: 2 differences named." in said.out
    said = say("verify", real_run, "--bundle", hostile)
    assert said.code == 1
    assert "sigma is 0.05, certified: 0.25 and 0.5" in said.out
    assert "Expected a bundle directory" in refused(say("verify", real_run, "--bundle", real_run))


def test_verify_of_a_changed_run_comes_first(say, real_run, bundle):
    path = real_run / "ledger" / "local-0.jsonl"
    path.write_text(path.read_text().replace('"label": 1', '"label": 2', 1).replace('"label":1', '"label":2', 1))
    said = say("verify", real_run, "--bundle", bundle)
    assert said.code == 1
    assert "does NOT verify" in said.out
    assert "is what this run certified" not in said.out


NO_TORCH = """
import sys
from smoothcert.cli import main
try:
    main(sys.argv[1:])
except SystemExit as done:
    assert done.code in (0, 2), done.code
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize(
    "arguments", ["verify run --bundle BUNDLE", "predict BUNDLE none.png", "predict --help", "bundle --help"]
)
def test_checks_need_no_torch(project, bundled, arguments):
    words = [str(bundled) if word == "BUNDLE" else word for word in arguments.split()]
    subprocess.run([sys.executable, "-c", NO_TORCH, *words], cwd=project, check=True, capture_output=True)


# ---- progress


def test_each_decided_image_is_counted(say, bundle, images, monkeypatch):
    told = []
    monkeypatch.setattr(prediction, "counting", lambda *_: contextlib.nullcontext(told.append))
    monkeypatch.setattr(prediction, "PART", 5)
    for flags in ((), ("--certify",)):
        told.clear()
        say("predict", bundle, images, *CODE, *flags)
        assert told[:12] == [*range(1, 13)]  # checked
        assert told[12:] == sorted(told[12:])
        assert told[-1] == 12  # decided


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("passes", [False, True])
def test_a_bar_appears_after_a_while(monkeypatch, passes):
    """Even before the first thing is done; `passes`: whether the while is over at once, or never."""
    ended = []

    class Timer:
        def __init__(self, after, function):
            assert after == counting.SHOWN_AFTER
            self.start = function if passes else lambda: None
            self.cancel = lambda: ended.append(self)

    monkeypatch.setattr(counting, "Timer", Timer)
    screen = Screen()
    with counting.counting(Console(file=screen, force_terminal=True, width=80), "predicting", 8) as tell:
        end = time.monotonic() + 60
        while passes and "0/8" not in screen.getvalue() and time.monotonic() < end:
            time.sleep(0.01)  # a thread of its own draws the bar
        assert ("0/8" in screen.getvalue()) == passes
        tell(4)
    assert ("predicting" in screen.getvalue()) == passes
    assert ("4/8" in screen.getvalue()) == passes
    assert len(ended) == 1


def test_elsewhere_a_line_now_and_then(monkeypatch):
    clock = iter([0.0, 5.0, 12.0, 15.0, 24.0])
    monkeypatch.setattr(counting.time, "monotonic", lambda: next(clock))
    page = io.StringIO()
    with counting.counting(Console(file=page), "predicting", 40) as tell:
        for done in (5, 10, 15, 20):
            tell(done)
    assert page.getvalue().splitlines() == [
        "predicting: 10/40, about 36 s left",
        "predicting: 20/40, about 24 s left",
    ]
