"""The drawn runs of the scale benchmark: whole, called synthetic, and decided as the real procedure decides."""

import sys
from pathlib import Path

import numpy as np
import pytest

from smoothcert.evidence import open_run
from smoothcert.evidence.outcomes import plan_of
from smoothcert.sampling.protocol import protocol_of
from smoothcert.verify import verify

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from drawn import SIGMA, Drawn, draw_run


@pytest.mark.parametrize("wanted", [Drawn(60), Drawn(40, classes=1000, k=(1, 5), n_max=2000)])
def test_a_drawn_run_is_sealed_verifies_and_is_synthetic(tmp_path, wanted):
    report = verify(draw_run(tmp_path / "run", wanted))
    assert (report.faults, report.lines, report.missing, report.sealed) == ((), wanted.images, 0, True)
    run = open_run(tmp_path / "run")
    assert run.spec.data.synthetic
    assert len(set(run.ledger.columns.looks.tolist())) > 3
    packed = open_run(draw_run(tmp_path / "packed", wanted, packed=True))
    assert packed.ledger.sha256() == run.ledger.sha256()  # of everything but the time at which a line was drawn


def test_each_image_stops_exactly_when_the_procedure_says(tmp_path):
    run = open_run(draw_run(tmp_path / "run", Drawn(80, classes=7, k=(1, 3), n_max=3000)))
    protocol = protocol_of(run.spec, plan_of(run.spec, SIGMA))
    for line in run.ledger.lines:
        image = protocol.init_state(line.index, line.label)
        steps = [line.selection, *(votes for _, votes in line.looks)]
        before = np.zeros((1, 7), dtype=np.int64)
        for number, votes in enumerate(steps):
            assert image.need is not None
            now = np.array([[votes.get(c, 0) for c in range(7)]])
            protocol.update([image], now - before)
            before = now if number else before
        assert image.need is None
