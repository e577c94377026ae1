"""The pilot: which images, which noise, and that none of it is a vote of a run."""

import numpy as np
import pytest

from networks import loaded, small_request, write_grey_images, write_resnet
from smoothcert.engine.run import freeze_spec
from smoothcert.noise import Stage
from smoothcert.planning.pilot import draw_pilot
from smoothcert.sampling.sampler import Sampler


@pytest.fixture
def drawn_rows(monkeypatch):
    """Every address that a sampler draws."""
    seen, real = [], Sampler.draw

    def draw(self, rows):
        seen.append(rows)
        real(self, rows)

    monkeypatch.setattr(Sampler, "draw", draw)
    return seen


def test_images_are_drawn_at_random_without_replacement_and_keep_their_labels(grey):
    work = loaded(small_request("nets:robust", grey))
    seen = []
    for seed in range(30):
        votes = draw_pilot(work, 4, 50, np.random.default_rng(seed)).votes[0.25] if seed < 2 else None
        places = np.sort(np.random.default_rng(seed).choice(12, 4, replace=False))
        seen.append(places)
        if votes is not None:
            assert votes.labels.tolist() == work.images.labels[places].tolist()
            assert votes.counts.argmax(axis=1).tolist() == votes.labels.tolist()
    assert all(len(set(places.tolist())) == 4 for places in seen)


def test_each_image_has_its_votes_in_a_stage_and_with_a_seed_of_their_own(grey, drawn_rows):
    work = loaded(small_request("nets:brittle", grey, sigma="0.25,0.5"))
    heard = []
    found = draw_pilot(work, 12, 70, np.random.default_rng(0), heard.append)
    assert {sigma: votes.counts.sum(axis=1).tolist() for sigma, votes in found.votes.items()} == {
        0.25: [70] * 12,
        0.5: [70] * 12,
    }
    stages = {int(stage) for rows in drawn_rows for stage in rows.stage}
    assert stages == {Stage.PLANNING, Stage.TEST}
    planned = [rows for rows in drawn_rows if rows.stage[0] == Stage.PLANNING]
    addresses = [(int(i), int(s)) for rows in planned for i, s in zip(rows.image, rows.sample, strict=True)]
    assert sorted(addresses) == sorted([(i, s) for i in range(12) for s in range(70)] * 2)
    assert heard == sorted(heard)
    assert heard[-1] == found.facts.drawn == 2 * 12 * 70


def test_another_pilot_has_other_noise(grey):
    """The classes of these images are a grey level apart, so every copy is a coin toss of its own."""
    work = loaded(small_request("nets:brittle", write_grey_images(grey.with_name("near.npz"), (100, 101, 102, 103))))
    first, again = (draw_pilot(work, 12, 60, np.random.default_rng(1)).votes[0.25] for _ in range(2))
    assert first.labels.tolist() == again.labels.tolist()
    assert not np.array_equal(first.counts, again.counts)


def test_rates_are_measured_in_each_precision_that_runs(grey):
    found = draw_pilot(loaded(small_request("nets:robust", grey)), 6, 50, np.random.default_rng(2))
    assert {rate.precision for rate in found.other_rates} == {"fp32", "bf16"}
    own = found.votes[0.25].rates[0]
    assert own.precision == found.facts.precision == "fp32"
    assert all(0 < rate.low <= rate.median <= rate.high for rate in (own, *found.other_rates))
    assert found.energy_source


def test_a_pilot_leaves_the_classifier_as_it_was(tmp_path):
    """Measuring in bf16 must not leave the weights rounded for the votes that follow."""
    images = write_grey_images(tmp_path / "grey.npz")
    work = loaded(small_request(write_resnet(tmp_path / "net.safetensors", images=images), images))
    before = [each.detach().clone() for each in work.classifiers[0.25].module.state_dict().values()]
    draw_pilot(work, 4, 50, np.random.default_rng(3))
    after = work.classifiers[0.25].module.state_dict().values()
    assert all(bool((a == b).all()) and a.dtype == b.dtype for a, b in zip(before, after, strict=True))
    assert freeze_spec(work).recipe.precision == "fp32"
