"""What every kind of noise offers to the sampler: its total-variation term, its writer, the noise itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from numpy.typing import NDArray

from smoothcert.noise.address import Rows

Precision = Literal["fp32", "bf16", "fp16"]
Buffer = NDArray[Any]


class Writer(Protocol):
    """Writes noisy, normalised images straight into the classifier's input buffer."""

    @property
    def precision(self) -> Precision:
        """What `out` holds: float32 values, or raw bf16 / fp16 bits as uint16."""

    def fill(self, out: Buffer, images: Buffer, rows: Rows, threads: int = 1) -> None:
        """Write one noisy image a row; row b is image `rows.slot[b]` plus the noise of its address.

        Args:
            out: (B, C, H, W) of any strides, so contiguous and channels-last buffers are both written in place;
                float32 for "fp32", uint16 for the others (pass `tensor.view(torch.uint16).numpy()`).
            images: int32 or uint16 (slots, C, H, W), grid integers in 0..levels.
            rows: B addresses.
            threads: threads to use; the result does not depend on it.

        Raises:
            InputError: shapes or dtypes do not fit together.
        """

    def expected(self, images: Buffer, rows: Rows) -> Buffer:
        """What `fill` must write, computed the slow way: (B, C, H, W), dtype of `out`."""


class Noise(Protocol):
    """One noise distribution on one grid, with one seed."""

    @property
    def name(self) -> str:
        """The word used in specs and reports: "grid" or "float"."""

    @property
    def sigma(self) -> float:
        """Standard deviation, in units of the [0, 1] range."""

    @property
    def levels(self) -> int:
        """Grid steps in [0, 1]; images are integers in 0..levels."""

    @property
    def seed(self) -> int:
        """Seed, 0 to 2^64 - 1."""

    def eta(self, values: int) -> float:
        """Total variation distance to the ideal of one noisy image of `values` values, at most."""

    def writer(self, mean: Sequence[float], std: Sequence[float], precision: Precision) -> Writer:
        """A writer of (x - mean) / std, x in [0, 1] units; (0,) and (1,) repeat over channels."""

    def steps(self, rows: Rows, shape: tuple[int, int, int]) -> Buffer:
        """The noise itself, (B, C, H, W): int32 grid steps ("grid") or float32 in [0, 1] units ("float")."""
