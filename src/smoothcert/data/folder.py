"""``FOLDER``: one folder per class; ``FOLDER#val``: one folder per split, with one folder per class in each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from smoothcert.data.checks import IntArray, Pixels, listed, quoted_name
from smoothcert.data.dataset import DataOptions, ImageSet
from smoothcert.data.image_file import ENDINGS, is_dicom, read_picture
from smoothcert.data.image_header import Picture, RefusedError
from smoothcert.data.stack import Stack
from smoothcert.errors import DataError, printable

Progress = Callable[[int, int], None]
"""Called after each image with the number read and the total."""


@dataclass(frozen=True, eq=False)
class Listing:
    """Image files with labels and further columns, in the order of the data set.

    Args:
        reference: the data as the user named them.
        paths: one file per image.
        labels: int64 (n,), in 0..c-1.
        class_names: c names; empty: the numbers.
        groups: one name per image; None: the patients' pseudonyms if the files have Patient IDs.
        subgroups: for each column one value per image.
    """

    reference: str
    paths: tuple[Path, ...]
    labels: IntArray
    class_names: tuple[str, ...]
    groups: tuple[str, ...] | None = None
    subgroups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_listing(listing: Listing, options: DataOptions, progress: Progress | None = None) -> ImageSet:
    """Read every file; all must have the kind, bit depth and size of the first.

    Raises:
        DataError: a file cannot be read, or differs from the first.
        MissingExtraError: a file is DICOM, and the extra `dicom` is not installed.
    """
    reading = _Reading(Stack(len(listing.paths), options))
    for i, path in enumerate(listing.paths):
        reading.add(path, read_picture(path, options))
        if progress is not None:
            progress(i + 1, len(listing.paths))
    if options.window is not None and not reading.windowed:
        raise DataError(
            f"{listing.reference}: --window needs grey DICOM images, but there are none; leave it out.",
            code="E-DATA-038",
        )
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
        raise DataError(f"{reference}: {error}", code=error.code) from None


class _Reading:
    """The images read so far, and what their files declare."""

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
            raise DataError(f"{name}: {error}", code=error.code) from None
        self._patients.append(picture.patient)
        self.done |= dict.fromkeys(picture.done)
        self.windowed |= picture.windowed

    def groups(self, reference: str) -> tuple[str, ...] | None:
        """Return the patients' pseudonyms if all files have a Patient ID, None if none has."""
        known = tuple(patient for patient in self._patients if patient is not None)
        if known and len(known) != len(self._patients):
            raise DataError(
                f"{reference}: {len(known):,} files have a Patient ID and {len(self._patients) - len(known):,} do not, "
                "so images cannot be grouped by patient; list the files in a manifest with a column `group`.",
                code="E-DATA-039",
            )
        return known or None


SPLITS = ("train", "training", "val", "valid", "validation", "test", "testing")
IGNORED = ("thumbs.db", "desktop.ini", "dicomdir", "__macosx")
"""Files that other programs leave in folders of images."""

KINDS = f"{', '.join(ENDINGS)}, or DICOM"


def list_folder(folder: Path, split: str | None) -> Listing:
    """List the images of a folder, sorted by class and path.

    Class names are the names of the class folders, sorted as text, as in torchvision's ImageFolder; with splits, those
    of all splits, so that a class has the same number in each split. Folders inside class folders are searched too.
    Hidden files are skipped; any other file that is not an image raises an error.

    Args:
        folder: contains class folders, or split folders that contain class folders.
        split: name of a split folder, or None.

    Raises:
        DataError: there are no class folders, one is empty, or a file is in the wrong place or not an image.
    """
    reference = f"{folder}#{split}" if split else str(folder)
    root = _root(folder, split)
    found = {each.name: _images(each) for each in _class_folders(root)}
    empty = [name for name, files in found.items() if not files]
    if empty:
        raise DataError(
            f"{_name(root)}: the class folder {listed(empty)} contains no image ({KINDS}); add images or remove it; "
            "if the classifier has classes without images, list the images in a manifest with numbers as labels.",
            code="E-DATA-040",
        )
    names = _class_names(folder, split, found)
    number = {name: i for i, name in enumerate(names)}
    labels = [number[name] for name, files in found.items() for _ in files]
    paths = tuple(file for files in found.values() for file in files)
    return Listing(reference, paths, np.array(labels, np.int64), names)


def _root(folder: Path, split: str | None) -> Path:
    if not folder.is_dir():
        raise DataError(f"{_name(folder)}: no such folder; check the path.", code="E-DATA-041")
    inside = [each.name for each in _entries(folder) if each.is_dir()]
    if split is None:
        parts = [name for name in inside if name.lower() in SPLITS]
        if parts and (parts == inside or any(each.is_dir() for name in parts for each in _entries(folder / name))):
            raise DataError(
                f"{_name(folder)}: its folders look like splits, not classes; "
                f"choose one: {' or '.join(f'{_name(folder)}#{name}' for name in parts[:3])}.",
                code="E-DATA-042",
            )
        return folder
    if split not in inside:
        raise DataError(
            f"{_name(folder)}: no folder {quoted_name(split)} in it; available: {listed(inside, 'no folders')}.",
            code="E-DATA-043",
        )
    return folder / split


def _class_folders(root: Path) -> list[Path]:
    entries = _entries(root)
    folders = [Path(each.path) for each in entries if each.is_dir()]
    stray = [each.name for each in entries if each.is_file() and _is_image(Path(each.path))]
    if not folders and not stray:
        raise DataError(
            f"{_name(root)}: expected one folder per class with its images, got no folder or image; check the path.",
            code="E-DATA-044",
        )
    if not folders:
        raise DataError(
            f"{_name(root)}: expected one folder per class, got images, such as {printable(stray[0])}; put the images "
            "of each class into a folder, or list them with labels in a manifest (FILE.csv).",
            code="E-DATA-045",
        )
    if stray:
        raise DataError(
            f"{_name(root)}: {len(stray):,} images are outside the class folders, such as {printable(stray[0])}; "
            "move each into the folder of its class, or out of this folder.",
            code="E-DATA-046",
        )
    return folders


def _class_names(folder: Path, split: str | None, found: dict[str, list[Path]]) -> tuple[str, ...]:
    names = set(found)
    if split is not None:
        parts = [Path(each.path) for each in _entries(folder) if each.is_dir()]
        if split.lower() in SPLITS:
            parts = [part for part in parts if part.name.lower() in SPLITS]
        names |= {each.name for part in parts for each in _entries(part) if each.is_dir()}
    return tuple(sorted(names))


def _images(folder: Path) -> list[Path]:
    """Return the images of one class, sorted by path."""
    found = []
    for each in _entries(folder):
        path = Path(each.path)
        if each.is_dir(follow_symlinks=False):
            found += _images(path)
        elif each.is_file() and _is_image(path):
            found.append(path)
        elif not each.is_file():
            raise DataError(
                f"{_name(path)}: expected a file, got a link to a folder or to nothing; copy the images here.",
                code="E-DATA-047",
            )
        else:
            raise DataError(
                f"{_name(path)}: expected only images ({KINDS}) in a class folder, got another file; convert it, or "
                "move it out.",
                code="E-DATA-048",
            )
    return found


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) or is_dicom(path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder that are not hidden, sorted by name; links are followed."""
    try:
        with os.scandir(folder) as found:
            seen = [each for each in found if not each.name.startswith(".") and each.name.lower() not in IGNORED]
    except OSError as error:
        raise DataError(f"{_name(folder)}: the folder cannot be read ({error.strerror}).", code="E-DATA-049") from None
    return sorted(seen, key=lambda each: each.name)


def _name(path: Path) -> str:
    return printable(str(path))
