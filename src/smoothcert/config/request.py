"""`Request`: the settings of a run in four groups, the same in Python, in the YAML file and as flags."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from smoothcert.config.certify import CertifyConfig, RuntimeConfig
from smoothcert.config.inputs import DataConfig, ModelConfig
from smoothcert.config.values import make
from smoothcert.errors import SpecError

MOST_SHARDS = 1_000_000


@dataclass(frozen=True)
class Share:
    """Shard i of n: one part of the images of a run, for machines that share no storage.

    Attributes:
        number: i, from 0.
        of: n, the number of shards.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def part(self, indices: Sequence[int]) -> list[int]:
        """Return the indices at positions p with p mod n = i, so that every shard has images from the whole data set.

        >>> Share(1, 3).part([10, 20, 30, 40, 50])
        [20, 50]
        """
        return list(indices[self.number :: self.of])


def parse_share(text: str) -> Share:
    """Parse "i/n".

    Raises:
        SpecError: the text is not i/n with i from 0 to n - 1.

    >>> parse_share("0/4")
    Share(number=0, of=4)
    """
    found = re.fullmatch(r"(\d{1,7})/(\d{1,7})", text, re.ASCII)
    if found is None or not int(found[1]) < int(found[2]) <= MOST_SHARDS:
        raise SpecError(
            f"--shard: expected i/n with i from 0 to n - 1, such as 0/4 for the first of four parts, got {text!r:.40}.",
            code="E-SPEC-001",
        )
    return Share(int(found[1]), int(found[2]))


IN_MEMORY = "in memory"
"""Stands for a model or a data set that was passed as a Python object."""


class Request(ModelConfig, DataConfig, CertifyConfig, RuntimeConfig):
    """The settings of a run. Every field is a flag of `smoothcert certify` and a key of `--config`."""

    def plain(self) -> dict[str, Any]:
        """Return the settings as plain values in the form of a `--config` file, noise levels as typed.

        `trust_model` is left out, because a file cannot set it.
        """
        known = self.model_dump(mode="json", exclude_none=True, exclude={"trust_model"})
        return known | {"sigma": [sigma.text for sigma in self.sigma]}


def make_request(**fields: Any) -> Request:
    """Build a request from plain values.

    Raises:
        SpecError: a field is unknown, missing or out of range; the message names it.

    Example:
        >>> make_request(model="m.safetensors", data="d.npz", sigma="0.25,0.5").sigma
        (0.25, 0.5)
        >>> make_request(model="m.safetensors", data="d.npz", alpha=2)
        Traceback (most recent call last):
            ...
        smoothcert.errors.SpecError: alpha: expected a probability from 1e-12 to below 0.5, got 2.0; 0.001 is usual.
    """
    return make(Request, **fields)
