"""Counts of the sampler against a literal reference: one copy at a time, noise, look-up, forward pass, argmax."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from refusals import refuses
from smoothcert.errors import ModelError
from smoothcert.noise import Rows, Stage, make_noise
from smoothcert.sampling.recipe import prepare

from .fakes import SHAPE, Conv, Fixed, classifier, lived_in_resnet, pixels, recipe, rows, sampler_of

MEAN, STD, SEED = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), 11
IMAGES = pixels()
PRECISION = {"fp32": torch.float32, "bf16": torch.bfloat16}


def literal_votes(model, how, noise, addresses, slots):
    """Votes of (image, sample) pairs, each copy alone in its batch, its noise added in float64."""
    forward = prepare(model, how)
    mean, std = (np.reshape(column, (-1, 1, 1)) for column in (model.mean or (0.0,), model.std or (1.0,)))
    counts = np.zeros((slots, model.num_classes), dtype=np.int64)
    for slot, image, sample, stage in zip(*(c.tolist() for c in vars(addresses).values()), strict=True):
        steps = noise.steps(Rows.of(0, image, sample, stage), IMAGES.shape[1:])[0]
        if noise.name == "grid":
            noisy = (((IMAGES[image] + steps) / noise.levels - mean) / std).astype(np.float32)
        else:
            unit = IMAGES[image].astype(np.float32) / np.float32(noise.levels) + steps
            noisy = (unit - mean.astype(np.float32)) / std.astype(np.float32)
        one = torch.from_numpy(noisy).to(torch.float32 if how.autocast else PRECISION[how.precision])
        layout = torch.channels_last if how.memory_format == "channels_last" else torch.contiguous_format
        batch = one.expand(how.batch_size, *SHAPE).contiguous(memory_format=layout)
        with torch.inference_mode():
            counts[slot, int(forward(batch)[0].float().numpy().argmax())] += 1
    return counts


@pytest.mark.parametrize("kind", ["grid", "float"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("own", [True, False])
def test_votes_equal_the_literal_loop(own, precision, kind):
    model = classifier(lived_in_resnet() if own else Conv(), 4, own, mean=MEAN, std=STD)
    how, noise = recipe(16, precision, own), make_noise(kind, 0.25, 255, SEED)
    sampler = sampler_of(model, how, noise, IMAGES)
    addresses = rows([3, 0, 4], range(7, 31))
    for slot, image in enumerate([3, 0, 4]):
        sampler.load(slot, image)
    sampler.draw(addresses)
    votes = sampler.take(np.arange(3))
    assert votes.tolist() == literal_votes(model, how, noise, addresses, 3).tolist()
    assert (votes.sum(axis=1) == 24).all()
    assert (votes > 0).sum() > 3  # mixed enough to tell one class from another


@settings(max_examples=25)
@given(counts=st.lists(st.integers(0, 23), min_size=1, max_size=4), batch=st.integers(1, 20))
def test_padding_is_never_counted(counts, batch):
    sampler = sampler_of(classifier(Fixed([0, 1, 0]), 3), recipe(batch), make_noise("grid", 0.5, 255, 0), IMAGES)
    slot = np.repeat(np.arange(len(counts)), counts)
    if len(slot):
        sampler.draw(Rows.of(slot, 0, np.arange(len(slot)), Stage.ESTIMATION))
    assert sampler.take(np.arange(len(counts))).tolist() == [[0, n, 0] for n in counts]
    assert sampler.samples == sum(counts)


@settings(max_examples=10)
@given(parts=st.lists(st.integers(1, 40), min_size=1, max_size=4), batch=st.sampled_from([8, 16]))
def test_votes_add_up_over_draws_and_are_cleared_by_take(parts, batch):
    model = classifier(Conv(), 4)
    sampler = sampler_of(model, recipe(batch), make_noise("grid", 0.5, 255, SEED), IMAGES)
    edges = np.cumsum([0, *parts])
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        sampler.draw(rows([0], range(start, stop)))
    at_once = sampler_of(model, recipe(batch), make_noise("grid", 0.5, 255, SEED), IMAGES)
    at_once.draw(rows([0], range(sum(parts))))
    first = np.zeros(1, dtype=np.int64)
    assert sampler.take(first).tolist() == at_once.take(first).tolist()
    assert not sampler.take(first).any()


def test_take_leaves_other_slots_alone():
    sampler = sampler_of(classifier(Fixed([1.0, 0.0]), 2), recipe(4), make_noise("grid", 0.5, 255, 0), IMAGES)
    sampler.draw(Rows.of([0, 1, 1, 5], 0, range(4), Stage.ESTIMATION))
    assert sampler.take(np.array([5, 1])).tolist() == [[1, 0], [2, 0]]
    assert sampler.take(np.array([0, 1])).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize(
    ("logits", "precision", "winner"),
    [
        ([2.0, 2.0, 2.0], "fp32", 0),
        ([0.0, 5.0, 5.0], "fp32", 1),
        ([1.0, 1.001, 0.0], "fp32", 1),
        ([1.0, 1.001, 0.0], "bf16", 0),  # equal once rounded to the classifier's own precision
        ([-0.0, 0.0, -1.0], "fp32", 0),
    ],
)
def test_on_equal_logits_the_lowest_class_wins(logits, precision, winner):
    how = recipe(8, precision).model_copy(update={"autocast": False})  # cast, like a network of ours
    model = classifier(Fixed(logits), 3)
    sampler = sampler_of(model, how, make_noise("grid", 0.5, 255, 0), IMAGES)
    sampler.draw(rows([0], range(11)))
    assert sampler.take(np.zeros(1, dtype=np.int64))[0, winner] == 11


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_not_finite_are_no_votes(bad):
    sampler = sampler_of(classifier(Fixed([0.0, bad]), 2), recipe(8), make_noise("grid", 0.5, 255, 0), IMAGES)
    sampler.draw(rows([0], range(3)))
    with refuses("E-MODEL-100"):
        sampler.take(np.zeros(1, dtype=np.int64))


class _Rare(nn.Module):
    """NaN for about one noisy copy in sixty."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        odd = x[:, 0, 0, 0] > IMAGES[0, 0, 0, 0] / 255 + 2.1 * 0.5
        return torch.stack([odd.float() / ~odd, odd.float()], dim=1)


def test_a_single_odd_copy_is_noticed_whenever_it_came():
    sampler = sampler_of(classifier(_Rare(), 2), recipe(16), make_noise("grid", 0.5, 255, 0), IMAGES)
    sampler.load(0, 0)
    sampler.draw(rows([0], range(500)))
    sampler.draw(rows([0], range(500, 504)))
    with pytest.raises(ModelError):
        sampler.take(np.zeros(1, dtype=np.int64))


@pytest.mark.parametrize(
    ("output", "named"),
    [
        (lambda x: torch.zeros(len(x), 4), r"got shape \(8, 4\)"),
        (lambda x: torch.zeros(len(x)), r"got shape \(8,\)"),
        (lambda x: torch.zeros(1, 3), r"got shape \(1, 3\)"),
        (lambda x: (torch.zeros(len(x), 3),), "got a tuple"),
    ],
)
def test_an_output_of_another_shape_is_refused(output, named):
    noise = make_noise("grid", 0.5, 255, 0)
    sampler = sampler_of(classifier(nn.Identity(), 3), recipe(8), noise, IMAGES, forward=output)
    with refuses("E-MODEL-099", match=named):
        sampler.draw(rows([0], range(3)))


@pytest.mark.parametrize("kind", ["grid", "float"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_and_two_threads_give_equal_logits_and_votes(precision, kind):
    model, how = classifier(lived_in_resnet(), 4, own=True), recipe(64, precision, own=True)
    seen = []
    for count in (1, 2):
        torch.set_num_threads(count)
        sampler = sampler_of(model, how, make_noise(kind, 0.5, 255, SEED), IMAGES)
        sampler.load(0, 2)
        sampler.draw(rows([2], range(300)))
        seen.append((sampler.logits(rows([2], range(64))), sampler.take(np.zeros(1, dtype=np.int64))))
    assert torch.equal(seen[0][0], seen[1][0])
    assert seen[0][1].tolist() == seen[1][1].tolist()


@pytest.mark.parametrize("kind", ["grid", "float"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_batches_of_64_and_1024_hold_the_same_bits(precision, kind):
    """What enters the classifier does not depend on the batch shape; what leaves it may."""
    noise, model, addresses = make_noise(kind, 0.5, 255, SEED), classifier(Conv(), 4), rows([1, 2], range(600))
    seen = {}
    for size in (64, 1024):
        batches: list[torch.Tensor] = []

        def keep(batch: torch.Tensor, batches: list[torch.Tensor] = batches) -> torch.Tensor:
            batches.append(batch.clone())
            return torch.zeros(len(batch), 4)

        how = recipe(size, precision).model_copy(update={"autocast": False})
        sampler = sampler_of(model, how, noise, IMAGES, forward=keep)
        for slot, image in enumerate([1, 2]):
            sampler.load(slot, image)
        sampler.draw(addresses)
        seen[size] = torch.cat(batches)[: len(addresses)]
    assert seen[64].dtype == PRECISION[precision]
    assert torch.equal(seen[64], seen[1024])
    wanted = noise.writer((0.0,), (1.0,), precision).expected(IMAGES[[1, 2]], addresses)
    bits = seen[64] if precision == "fp32" else seen[64].view(torch.uint16)
    assert bits.numpy().tobytes() == wanted.tobytes()
    whole = noise.steps(addresses, SHAPE)
    halves = [noise.steps(addresses.part(*span), SHAPE) for span in ((0, 64), (64, 1200))]
    assert whole.tobytes() == np.concatenate(halves).tobytes()


class Failing(nn.Module):
    """Answers twice, then raises."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.left = error, 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.left -= 1
        if self.left < 0:
            raise self.error
        return torch.eye(len(x), 4)


def until_it_fails(error: Exception) -> Exception:
    sampler = sampler_of(classifier(Failing(error), 4), recipe(8), make_noise("grid", 0.25, 255, SEED), IMAGES)
    sampler.load(0, 3)
    sampler.draw(rows([3], range(16)))
    with pytest.raises((ModelError, ValueError)) as caught:
        sampler.draw(rows([3], range(16, 24)))
    assert sampler.samples == 16
    assert sampler.take(np.array([0])).sum() == 16  # a batch that failed left no vote
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((2**40,), np.dtype(np.float64)),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("std::bad_alloc"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_lack_of_memory_says_what_can_be_done(error):
    told = str(until_it_fails(error))
    assert "(n, C, H, W) = (8, 3, 8, 8)" in told
    assert "smoothcert resume RUN" in told
    assert "--batch-size 4 or less" in told


def test_no_memory_for_the_buffers():
    class Hungry:
        """A noise that asks for nothing, so that only the sampler's own buffers are left."""

        def writer(self, *_: object) -> None:
            return None

    with refuses("E-RECIPE-009"):
        sampler_of(classifier(Conv(), 4), recipe(2**50), Hungry(), IMAGES)


def test_a_classifier_that_fails_later_is_named():
    told = str(until_it_fails(RuntimeError("expected channels\nat line 3 of a long story")))
    assert told.startswith("test fails on images of shape (n, C, H, W) = (8, 3, 8, 8): expected channels.")
