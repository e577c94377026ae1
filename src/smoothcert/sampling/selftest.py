"""The start-up self-test: inside one recipe a row's logits depend on that row alone, or equal votes are not claimed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoothcert.noise import Noise, Rows, Stage, delivered_test
from smoothcert.sampling.sampler import Sampler

ROWS = 64
NOISE_ROWS, NOISE_VALUES = 256, 4096


@dataclass(frozen=True)
class SelfTest:
    """What the self-test saw.

    Attributes:
        rows: rows compared.
        bit_equal: whether all logits were bit-equal after permuting rows, changing neighbours and using one thread.
        largest_difference: largest absolute difference of a logit.
    """

    rows: int
    bit_equal: bool
    largest_difference: float


def self_test(sampler: Sampler, index: int) -> SelfTest:
    """Compare the logits of the same noisy copies in another order, among other neighbours, on one thread.

    Args:
        sampler: the sampler of the run.
        index: an image of the run; its copies are drawn from the test stage, never from votes that count.
    """
    sampler.load(0, index)
    size = sampler.batch_size
    tested = min(ROWS, max(1, size // 2))  # the other rows of the batch are the neighbours that change
    first = np.arange(size)
    place = np.random.default_rng(0).permutation(size)
    second = np.where(first < tested, first, first + size)[place]
    plain = sampler.logits(_rows(index, first))[:tested]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        moved = sampler.logits(_rows(index, second))[torch.from_numpy(np.argsort(place)[:tested])]
    finally:
        torch.set_num_threads(threads)
    return _compare(plain, moved)


def noise_test(noise: Noise, indices: list[int], shape: tuple[int, int, int]) -> dict[str, float | int | bool]:
    """Test the noise the first selection copies of a run receive; return the outcome as a record.

    Args:
        noise: the noise of one sigma.
        indices: images of the run.
        shape: (channels, height, width).
    """
    wanted = max(NOISE_ROWS, -(-NOISE_VALUES // int(np.prod(shape))))
    copies = -(-wanted // len(indices))
    image = np.repeat(np.array(indices, dtype=np.uint64), copies)
    sample = np.tile(np.arange(copies, dtype=np.uint64), len(indices))
    rows = Rows.of(slot=np.zeros(len(image), dtype=np.int64), image=image, sample=sample, stage=Stage.SELECTION)
    found = delivered_test(noise, noise.steps(rows, shape))
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def _rows(index: int, samples: NDArray[np.int64]) -> Rows:
    return Rows.of(slot=0, image=index, sample=samples.astype(np.uint64), stage=Stage.TEST)


def _compare(one: Tensor, other: Tensor) -> SelfTest:
    return SelfTest(len(one), torch.equal(one, other), float((one - other).abs().max()))
