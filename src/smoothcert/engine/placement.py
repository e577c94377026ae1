"""Where a run is sampled: by which engine, how many workers, which part of the images. No answer depends on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from smoothcert.errors import SpecError
from smoothcert.spec.values import Count, Frozen

MOST_SHARDS = 1_000_000


class Workers(Frozen):
    """Who samples. Every field is a flag of `smoothcert certify` and `smoothcert resume`; none is part of the spec."""

    engine: Literal["local", "ray"] = "local"
    """local: this process. ray: worker processes, here or on a Ray cluster (extra `ray`). The answer is the same."""
    workers: Count | None = None
    """Workers of --engine ray (default: one a GPU where CUDA is used, else one a processor core)."""
    address: str | None = None
    """Ray cluster that --engine ray joins, such as auto (default: one is started here, and stopped at the end)."""


class Placement(Workers):
    """Who samples, and which part of the images."""

    shard: str | None = None
    """i/n: only the i-th of n parts of the images, i from 0; `smoothcert merge` joins the parts. Needs --seed."""


@dataclass(frozen=True)
class Share:
    """One part of a run's images, for machines that share nothing but the command.

    Attributes:
        number: i, from 0.
        of: n, into how many parts the images are divided.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def part(self, indices: Sequence[int]) -> list[int]:
        """Return the images at positions p with p mod n = i: every part has images from all over the set.

        >>> Share(1, 3).part([10, 20, 30, 40, 50])
        [20, 50]
        """
        return list(indices[self.number :: self.of])


def parse_share(text: str) -> Share:
    """Read a part as it is typed.

    Raises:
        SpecError: it is not i/n with i from 0 to n - 1.

    >>> parse_share("0/4")
    Share(number=0, of=4)
    """
    found = re.fullmatch(r"(\d{1,7})/(\d{1,7})", text, re.ASCII)
    if found is None or not int(found[1]) < int(found[2]) <= MOST_SHARDS:
        raise SpecError(
            f"--shard: expected i/n with i from 0 to n - 1, such as 0/4 for the first of four parts, got {text!r:.40}."
        )
    return Share(int(found[1]), int(found[2]))
