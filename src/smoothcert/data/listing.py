"""Image files with their labels, as a folder or a manifest lists them, read into one `ImageSet`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from smoothcert.data.checks import IntArray, Pixels
from smoothcert.data.dataset import ImageSet
from smoothcert.data.options import DataOptions
from smoothcert.data.picture import Picture, read_picture
from smoothcert.data.stack import Stack
from smoothcert.data.stored import RefusedError
from smoothcert.errors import DataError, printable

Progress = Callable[[int, int], None]
"""Told after each image: how many are read, and how many there are."""


@dataclass(frozen=True, eq=False)
class Listing:
    """Files and what is known of them, in the order of the data set.

    Args:
        reference: the data as the user named them.
        paths: one file an image.
        labels: int64 (n,), in 0..c-1.
        class_names: c names, or empty: digits.
        groups: one name an image, or None: the patients' pseudonyms where the files name patients.
        subgroups: for each column of interest one value an image.
    """

    reference: str
    paths: tuple[Path, ...]
    labels: IntArray
    class_names: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    subgroups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_listing(listing: Listing, options: DataOptions, progress: Progress | None = None) -> ImageSet:
    """Read every file; the first says what the others must be like.

    Raises:
        DataError: a file cannot be read, or is not like the first.
        MissingExtraError: a DICOM file without the extra `dicom`.
    """
    reading = _Reading(Stack(len(listing.paths), options))
    for i, path in enumerate(listing.paths):
        reading.add(path, read_picture(path, options))
        if progress is not None:
            progress(i + 1, len(listing.paths))
    if options.window is not None and not reading.windowed:
        raise DataError(f"{listing.reference}: --window is for grey DICOM images, and there are none; leave it out.")
    images, levels, done = _finished(reading.stack, listing.reference)
    return ImageSet(
        reference=listing.reference,
        images=images,
        labels=listing.labels,
        class_names=listing.class_names,
        groups=listing.groups if listing.groups is not None else reading.groups(listing.reference),
        levels=levels,
        preprocessing=(*reading.done, *done),
        subgroups=listing.subgroups,
    )


def _finished(stack: Stack, reference: str) -> tuple[Pixels, int, tuple[str, ...]]:
    try:
        return stack.finish()
    except DataError as error:
        raise DataError(f"{reference}: {error}") from None


class _Reading:
    """What has been read so far."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.windowed = False
        self.done: dict[str, None] = {}  # an ordered set
        self._patients: list[str | None] = []

    def add(self, path: Path, picture: Picture) -> None:
        name = printable(str(path))
        try:
            self.stack.put(picture.pixels, picture.bits, name)
        except RefusedError as error:
            raise DataError(f"{name}: {error}") from None
        self._patients.append(picture.patient)
        self.done |= dict.fromkeys(picture.done)
        self.windowed |= picture.windowed

    def groups(self, reference: str) -> tuple[str, ...] | None:
        """The patients, if every file names one."""
        known = tuple(patient for patient in self._patients if patient is not None)
        if known and len(known) != len(self._patients):
            raise DataError(
                f"{reference}: {len(known):,} files name a patient and {len(self._patients) - len(known):,} do not, so "
                "images of one patient cannot be kept together; list the files in a manifest with a column `group`."
            )
        return known or None
