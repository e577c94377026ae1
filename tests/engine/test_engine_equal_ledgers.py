"""Inside one recipe the ledger does not depend on the order of the images or on the number of threads."""

import random

import pytest
import torch

from networks import small_request
from smoothcert.engine.run import certify
from smoothcert.engine.session import Hooks
from smoothcert.evidence import open_run


@pytest.mark.parametrize(
    ("precision", "noise", "bound"),
    [
        ("bf16", "grid", "rankcp"),
        ("bf16", "grid", "betting"),
        pytest.param("fp32", "float", "rankcp", marks=pytest.mark.slow),
        pytest.param("fp32", "grid", "betting", marks=pytest.mark.slow),
        pytest.param("bf16", "float", "rankcp", marks=pytest.mark.slow),
    ],
)
def test_order_and_threads_change_nothing(resnet, tmp_path, precision, noise, bound):
    asked = small_request(
        *resnet, precision=precision, noise=noise, bound=bound, k=(1, 2), radius=(0.02, 0.1), n0=10, n_max=200, limit=8
    )
    shuffled = Hooks(order=lambda indices: random.Random(1).sample(indices, len(indices)))
    hashes = set()
    for name, hooks, threads in (("plain", Hooks(), 1), ("threads", Hooks(), 2), ("order", shuffled, 1)):
        torch.set_num_threads(threads)
        hashes.add(open_run(certify(asked, tmp_path / name, hooks).path).ledger.sha256())
    assert len(hashes) == 1
    run = open_run(tmp_path / "plain")
    level = next(event for event in run.directory.read_events() if event.event == "noise level")
    assert level.facts["self_test"]["bit_equal"] is True
    assert level.facts["noise_test"]["passed"] is True
    assert len({c for line in run.ledger.lines for c in line.selection or line.looks[0][1]}) > 1  # votes are mixed


def test_another_seed_gives_other_votes(resnet, tmp_path):
    hashes = {open_run(certify(small_request(*resnet, seed=s), tmp_path / str(s)).path).ledger.sha256() for s in (1, 2)}
    assert len(hashes) == 2
