"""Whatever the terminal can encode and however a file is named, every verb ends with a status and no traceback."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from factories import make_run
from smoothcert.cli import main
from smoothcert.formats.card import Card
from smoothcert.models.checkpoints import save_weights
from smoothcert.models.resnet import build

NAMES = ("白血球", "é ≥ 3", "x")
ODD = os.fsdecode(b"\xff")
"""Stands for a byte of another encoding in a name of a file."""
CLASSIFIER = "--model net.safetensors --data images.npz --sigma 0.25 --device cpu"
SETTINGS = f"{CLASSIFIER} --n0 10 --n-max 100 --radius 0.1 --seed 1 --batch-size 64"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a run, the same under a name that is no text, images and weights."""
    monkeypatch.chdir(tmp_path)
    make_run(Path("run"), images=12, classes=3, data={"class_names": NAMES}, k="1,2")
    shutil.copytree("run", f"run{ODD}")
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    np.savez("images.npz", images=images, labels=np.arange(6) % 3, class_names=np.array(NAMES))
    Image.fromarray(images[0]).save(f"image{ODD}.png")
    torch.manual_seed(0)
    save_weights(build("resnet8", 3, 3).eval(), Card("resnet8", 3, 3, class_names=NAMES), Path("net.safetensors"))
    return tmp_path


@pytest.fixture
def status(monkeypatch):
    """The exit status of a command whose output goes to a terminal of some encoding, and what it wrote there."""

    def run(encoding, *arguments):
        pages = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
        with monkeypatch.context() as patch:
            for name, page in pages.items():
                patch.setattr(sys, name, page)
            with pytest.raises(SystemExit) as done:
                main(arguments)
        for page in pages.values():
            page.flush()
        said = [page.buffer.getvalue().decode(encoding) for page in pages.values()]
        return done.value.code or 0, *said

    return run


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_letters_that_the_terminal_lacks(folder, status, encoding):
    for verb in ("status run", "verify run", *(f"table run --show classes{form}" for form in FORMS)):
        code, said, _ = status(encoding, *verb.split())
        assert code == 0
        assert verb.startswith(("status", "verify")) or "\\u767d" in said  # an escape, and nothing left out
    code, _, refused = status(encoding, "table", "run", "--show", "é≥")
    assert code == 2
    assert refused


FORMS = ("", " --format md", " --format csv", " --format tex", " --format json")


def test_letters_that_the_terminal_lacks_while_sampling(folder, status):
    assert status("ascii", "check", *CLASSIFIER.split())[0] in (0, 1)
    assert status("ascii", "certify", *SETTINGS.split(), "--out", "made")[0] == 0


def test_names_that_are_no_text(folder, status):
    for code, verb in VERBS:
        assert status("utf-8", *(f"{word}".replace("?", ODD) for word in verb.split()))[0] == code, verb
    assert not (folder / f"run{ODD}" / "results" / "results.csv").exists()


VERBS = (
    *((0, f"{verb} run?") for verb in ("status", "verify", "table", "table --show classes")),
    (2, "report run?"),  # before anything is written: libraries take no such path
    (2, "status none?"),
    (0, f"certify {SETTINGS} --out made?"),
    (0, "resume made?"),
    (0, "verify made?"),
    (2, f"certify {SETTINGS.replace('net.', 'net?.')} --out other"),
    (2, f"certify {SETTINGS.replace('images.', 'images?.')} --out other"),
    (2, "certify --config settings?.yaml"),
    (0, "bundle made? --sigma 0.25 --out bundle?"),
    (0, "verify made? --bundle bundle?"),
    (0, "predict bundle? image?.png --n 100 --device cpu"),
    (0, "predict bundle? image?.png --n 100 --device cpu --out answers?.json"),
    (2, "merge run? none? --out merged?"),
    (0, "plan --classes 3 --n-max 200 --sigma 0.25 --radius 0.1 --out plan?"),
    (2, f"certify {SETTINGS} --plan none? --out other?"),
    (0, "train --data images.npz --sigma 0.25 --arch resnet8 --epochs 1 --batch-size 3 --out trained?.safetensors"),
    (2, "table run --sponsor none?.yaml --show production"),
    (2, "radius none? --sigma 0.25"),
    (2, "verb?"),
    (2, "certify --option?"),
)


@pytest.mark.parametrize("settings", ["PYTHONIOENCODING=ascii", "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"])
def test_as_a_process(folder, settings):
    """As the installed command meets it; Python itself then takes names of files for ASCII."""
    more = dict(pair.split("=") for pair in settings.split())
    found = subprocess.run(
        [sys.executable, "-c", "from smoothcert.cli import main; main()", "table", f"run{ODD}", "--show", "classes"],
        env=os.environ | more,
        capture_output=True,
    )
    assert (found.returncode, found.stderr) == (0, b"")
    assert b"\\u767d" in found.stdout
