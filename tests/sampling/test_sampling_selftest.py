"""The start-up tests must pass on what is sound and fail on what is not."""

import numpy as np
import pytest
import torch

from smoothcert.noise import make_noise
from smoothcert.sampling.recipe import prepare
from smoothcert.sampling.sampler import noise_test, self_test

from .fakes import SHAPE, Conv, classifier, lived_in_resnet, pixels, recipe, sampler_of

NOISE, IMAGES = make_noise("grid", 0.25, 255, 3), pixels()


@pytest.mark.parametrize("batch", [1, 8, 64, 256])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_residual_network_is_bit_equal(precision, batch):
    model = classifier(lived_in_resnet(), 4, own=True)
    seen = self_test(sampler_of(model, recipe(batch, precision, own=True), NOISE, IMAGES), index=2)
    assert seen.bit_equal
    assert seen.largest_difference == 0.0
    assert 1 <= seen.rows <= 64


@pytest.mark.parametrize("batch", [8, 64, 256])
@pytest.mark.parametrize(
    "doctor",
    [
        lambda logits: logits - logits.mean(dim=0),  # batch statistics
        lambda logits: logits - logits.amax(dim=0),  # batch statistics that no permutation changes
        lambda logits: logits + 1e-6 * torch.roll(logits, 1, dims=0),  # one neighbour
        lambda logits: logits + 1e-3 * torch.arange(len(logits))[:, None],  # the row's position
    ],
)
def test_a_classifier_that_looks_at_its_neighbours_is_caught(doctor, batch):
    model, how = classifier(Conv(), 4), recipe(batch)
    forward = prepare(model, how)
    seen = self_test(sampler_of(model, how, NOISE, IMAGES, forward=lambda x: doctor(forward(x))), index=0)
    assert not seen.bit_equal
    assert seen.largest_difference > 0


def test_the_self_test_gives_threads_back_and_casts_no_vote():
    torch.set_num_threads(2)
    sampler = sampler_of(classifier(Conv(), 4), recipe(16), NOISE, IMAGES)
    self_test(sampler, index=1)
    assert torch.get_num_threads() == 2
    assert sampler.samples == 0
    assert not sampler.take(np.arange(2)).any()


class _Doctored:
    """Grid noise that delivers something else."""

    def __init__(self, wrong):
        self._wrong, self.name, self.sigma, self.levels = wrong, "grid", NOISE.sigma, NOISE.levels

    def steps(self, rows, shape):
        return self._wrong(NOISE.steps(rows, shape))


@pytest.mark.parametrize("kind", ["grid", "float"])
@pytest.mark.parametrize("indices", [[0], [5, 17, 4], list(range(256))])
def test_the_noise_of_a_run_passes(kind, indices):
    seen = noise_test(make_noise(kind, 0.25, 255, 3), indices, SHAPE)
    assert seen["passed"] is True
    assert seen["values"] >= 256 * np.prod(SHAPE)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda steps: steps + 5,
        lambda steps: np.rint(1.05 * steps).astype(np.int32),
        lambda steps: steps // 8 * 8,
        lambda steps: np.repeat(steps[::2], 2, axis=0),
        lambda steps: np.broadcast_to(steps[:, :1], steps.shape),
        lambda steps: np.clip(steps, -120, 120),
        lambda steps: np.full_like(steps, 3),
    ],
)
def test_a_wrong_noise_is_caught(wrong):
    assert noise_test(_Doctored(wrong), [0, 1, 2, 3], SHAPE)["passed"] is False
