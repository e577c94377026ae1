"""The package without what only POSIX systems have: locks, a run and a bundle, in a process that plays Windows."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

READING = "asyncio subprocess tempfile scipy.special scipy.stats"
SAMPLING = f"{READING} multiprocessing numba rich.console rich.live rich.progress scipy.sparse torch cyclopts"
BEGIN = """
import sys
sys.path.insert(0, {folder!r})
import {libraries}
import windows
windows.become()
from pathlib import Path
"""
LOCKS = """
from smoothcert.errors import EvidenceError
from smoothcert.evidence.lock import at_rest, is_written, writing
lock = Path("lock")

def refused(context):
    try:
        with context:
            return False
    except EvidenceError:
        return True

with writing(lock):
    assert is_written(lock) and refused(writing(lock)) and refused(at_rest(lock))
with at_rest(lock), at_rest(lock):
    assert not is_written(lock) and refused(writing(lock))
with writing(lock):
    assert lock.stat().st_size == 0
"""
RUN = """
from smoothcert.cli import main

def say(words):
    try:
        main(words.split())
    except SystemExit as done:
        assert not done.code, words

say("certify --model nets:net --data images.npz --sigma 0.25 --radius 0.1 --k 1 --n-max 100 "
    "--batch-size 8 --out run --device cpu")
say("verify run")
say("bundle run --sigma 0.25 --model nets:net --out bundle")
say("predict bundle image.png --model nets:net --out answers.csv")
assert len(Path("answers.csv").read_text().splitlines()) == 2
print(sorted(path.name for path in Path().iterdir() if path.name != "__pycache__"))
"""


@pytest.fixture
def child(tmp_path):
    """Run Python in a process that plays Windows, in a folder of its own."""
    (tmp_path / "nets.py").write_text(
        "import torch\nfrom torch import nn\n\ndef net():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))\n"
    )
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(4) % 3)
    Image.fromarray(images[0]).save(tmp_path / "image.png")
    (tmp_path / "run").mkdir()

    def run(libraries: str, code: str) -> str:
        begin = BEGIN.format(folder=str(Path(__file__).parent), libraries=", ".join(libraries.split()))
        done = subprocess.run([sys.executable, "-c", begin + code], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_one_writer_or_many_readers(child):
    child(READING, LOCKS)


def test_a_run_is_made_and_verified(child):
    left = child(SAMPLING, RUN).splitlines()[-1]
    assert left == str(["answers.csv", "bundle", "image.png", "images.npz", "nets.py", "run"])
