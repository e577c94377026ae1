"""The long look: what it measures is what is there, and it leaves nothing behind."""

import os

import pytest

from networks import loaded, small_request, write_grey_images, write_resnet
from refusals import refuses
from smoothcert.engine.check import Agreement, check


def test_a_sound_pair(grey, tmp_path):
    data = write_grey_images(tmp_path / "many.npz", each=40)
    before, stages = sorted(os.listdir(tmp_path)), []
    seen = check(loaded(small_request("nets:robust", data, sigma="0.25,0.5")), stages.append)
    assert [look.sigma for look in seen.looks] == [0.25, 0.5]
    assert all(look.clean.images == 160 and look.clean.accuracy == look.clean.auc == 1.0 for look in seen.looks)
    assert not any(look.warnings for look in seen.looks)
    assert seen.bit_equal == {0.25: True, 0.5: True}
    assert stages[-2:] == ["precisions", "batch sizes"]
    assert len(stages) == 4
    assert sorted(set(os.listdir(tmp_path)) - {"__pycache__"}) == sorted(set(before) - {"__pycache__"})


@pytest.mark.slow
def test_precisions_are_compared_on_the_same_copies(grey, tmp_path):
    work = loaded(small_request(write_resnet(tmp_path / "net.safetensors"), grey, batch_size=64))
    found = check(work).agreement
    assert isinstance(found, Agreement)
    assert (found.precisions, found.samples) == (("fp32", "bf16"), 512)
    assert 0 <= found.differing < 60  # a random network's scores lie close together
    assert min(found.rates) > 0


def test_batches_are_those_that_fit(grey):
    seen = check(loaded(small_request("nets:robust", grey, batch_size=40)))
    assert [size for size, _ in seen.batches] == [16, 32, 40, 64, 128, 256, 512, 1024, 2048]
    assert seen.best_batch in dict(seen.batches)


def test_what_cannot_be_certified_is_refused(grey):
    with refuses("E-MODEL-049"):
        check(loaded(small_request("nets:spoilt", grey)))
