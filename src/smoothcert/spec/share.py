"""One part of a run's images, for machines that share nothing but the command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from smoothcert.errors import SpecError

MOST_SHARDS = 1_000_000


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
