"""What a sponsor states about the images, as far as every document depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NOT_STATED = "population and independence not stated"
NOT_DESCRIBED = "the population is not described"
NOT_INDEPENDENT = "the sponsor states that the images are not independent draws"
NO_GROUPS = "the sponsor states that only groups of images are independent draws, and the run knows no groups"
OF_ONE_GROUP = "the sponsor states that only groups of images are independent draws"
UNKNOWN = "independence is not stated"


@dataclass(frozen=True)
class Reference:
    """An ordinary classifier, trained and run without noise, for comparison; the sponsor's statement, not recomputed.

    Attributes:
        name: what it is.
        correct: images of the comparison that it classifies as labelled.
        images: all images of the comparison, >= 1.
        source: where these counts are recorded.
    """

    name: str
    correct: int
    images: int
    source: str


@dataclass(frozen=True)
class Stated:
    """The sponsor's statement; by default nothing is stated.

    Attributes:
        described: whether the population that the images stand for is described.
        independent: True: the images are independent draws from it (or the groups, if the run has groups); "grouped":
            only groups of images are, such as patients; False: they are not; None: not stated.
        demonstration: whether these are public or demonstration data.
        reference: an ordinary classifier for comparison, or None.
        deviations: the sponsor's words on deviations and on earlier use of the images, or None.
    """

    described: bool = False
    independent: bool | Literal["grouped"] | None = None
    demonstration: bool = False
    reference: Reference | None = None
    deviations: str | None = None

    def no_population(self, grouped: bool) -> str | None:
        """Return why nothing is stated about a population; None if the statement supports it.

        Args:
            grouped: whether the run knows the groups of its images, and so bounds one image per group.
        """
        if self.independent is False:
            return NOT_INDEPENDENT
        if self.independent == "grouped" and not grouped:
            return NO_GROUPS
        if self.independent is None:
            return UNKNOWN if self.described else NOT_STATED
        return None if self.described else NOT_DESCRIBED

    def denied(self, grouped: bool) -> str | None:
        """Return why bounds on a population do not even hold as numbers; None if the sponsor does not deny it."""
        denied = self.independent is False or (self.independent == "grouped" and not grouped)
        return self.no_population(grouped) if denied else None

    @property
    def no_interval(self) -> str | None:
        """Why no interval over images is printed; None if one is, under the condition of `assumed`."""
        return {False: NOT_INDEPENDENT, "grouped": OF_ONE_GROUP}.get(self.independent)

    @property
    def assumed(self) -> str:
        """The condition under which an interval over images holds."""
        return "if the images are independent draws" + (", as the sponsor states" if self.independent is True else "")


UNSTATED = Stated()
"""Nothing is stated."""
