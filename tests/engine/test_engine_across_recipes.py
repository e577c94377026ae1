"""Across recipes only the noise is equal. How often votes and decisions differ is measured here, not promised.

`pytest -m slow -s tests/engine/test_engine_across_recipes.py` prints the rates. The networks are random, so their
votes are closer to ties than those of a trained network.
"""

import shutil

import numpy as np
import pytest
import torch

from networks import SEED, loaded, small_request, write_resnet
from smoothcert.engine.run import certify
from smoothcert.engine.workload import Workload
from smoothcert.evidence import open_run
from smoothcert.noise import Rows, Stage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
]
IMAGES, COPIES, RADII = 8, 1024, (0.02, 0.05, 0.1, 0.2)
EAGER_64, EAGER_1024 = {"batch_size": 64}, {"batch_size": 1024}
COMPILED = {"batch_size": 64, "compile": "on"}


@pytest.fixture
def images(shared_data, tmp_path):
    with np.load(shared_data / "pbc28.npz") as arrays:
        chosen = {"images": arrays["val_images"][::500][:IMAGES], "labels": np.arange(IMAGES)}
    np.savez(tmp_path / "few.npz", **chosen)
    return tmp_path / "few.npz"


def votes(work: Workload) -> np.ndarray:
    """The class of each copy, int (images, copies)."""
    sampler, found = work.sampler(0.25, SEED), []
    for image in range(IMAGES):
        sampler.load(0, image)
        for start in range(0, COPIES, sampler.batch_size):
            rows = Rows.of(0, image, np.arange(start, start + sampler.batch_size), Stage.ESTIMATION)
            found.append(sampler.logits(rows).argmax(dim=1).numpy().copy())
    return np.concatenate(found).reshape(IMAGES, COPIES)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("arch", "one", "other"),
    [("resnet8", EAGER_64, EAGER_1024), ("resnet20", EAGER_64, EAGER_1024), ("resnet8", EAGER_64, COMPILED)],
    ids=["resnet8 batch 64 / 1024", "resnet20 batch 64 / 1024", "resnet8 eager / compiled"],
)
def test_how_often_two_recipes_differ(images, tmp_path, capsys, request_id, arch, one, other, precision):
    if "compile" in other and not shutil.which("g++"):
        pytest.skip("needs a C++ compiler")
    net = write_resnet(tmp_path / "net.safetensors", arch=arch, images=images)
    seen, decided = [], []
    for name, settings in (("one", one), ("other", other)):
        asked = small_request(net, images, precision=precision, n_max=1000, radius=RADII, target="label", **settings)
        seen.append(votes(loaded(asked)))
        run = open_run(certify(asked, tmp_path / name).path)
        decided.append(np.array([run.certificates(0.25).certified_correct(r) for r in RADII]))
    differing, decisions = (seen[0] != seen[1]).mean(), (decided[0] != decided[1]).mean()
    with capsys.disabled():
        print(f"\n{request_id}: {differing:.2%} of {seen[0].size:,} votes and {decisions:.1%} of ", end="")
        print(f"{decided[0].size} decisions differ ({decided[0].mean():.0%} certified)")
    assert differing < 0.05  # another recipe is a rounding, not another classifier


@pytest.fixture
def request_id(request: pytest.FixtureRequest) -> str:
    torch.set_num_threads(2)
    return request.node.callspec.id
