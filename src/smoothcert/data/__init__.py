"""Reading labelled images: one reference in, one validated `ImageSet` out."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from smoothcert.data.checks import shown
from smoothcert.data.dataset import DataOptions, ImageSet
from smoothcert.data.folder import Listing, Progress, read_listing
from smoothcert.data.inspection import CHANGES, change_norms
from smoothcert.data.npz import read_npz
from smoothcert.errors import DataError, is_text, printable
from smoothcert.usercode import FACTORY, not_named

__all__ = ["CHANGES", "DataOptions", "ImageSet", "change_norms", "load_images"]


@dataclass(frozen=True)
class _Asked:
    """What is to be read, taken apart, and how."""

    reference: str
    parts: dict[str, str | None]
    options: DataOptions
    progress: Progress | None

    def part(self, name: str) -> str:
        return self.parts[name] or ""


@dataclass(frozen=True)
class _Form:
    """One way to name data: how it is written, what takes a reference apart (or is None), who reads it."""

    written: str
    parse: Callable[[str], dict[str, str | None] | None]
    read: Callable[[_Asked], ImageSet]


def _pattern(text: str, flags: int = 0) -> Callable[[str], dict[str, str | None] | None]:
    pattern = re.compile(text, flags)

    def parse(reference: str) -> dict[str, str | None] | None:
        match = pattern.fullmatch(reference)
        return match.groupdict() if match else None

    return parse


def _folder(reference: str) -> dict[str, str | None] | None:
    """An existing folder, or a name that ends in a slash; behind # a split."""
    path, mark, split = reference.rpartition("#")
    for name, part in ((reference, None), (path, split)):
        if name and (mark or part is None) and (Path(name).is_dir() or name.endswith("/")):
            return {"path": name, "split": part or None}
    return None


def _read_npz(asked: _Asked) -> ImageSet:
    return read_npz(asked.part("path"), asked.parts["split"], asked.options)


def _read_folder(asked: _Asked) -> ImageSet:
    from smoothcert.data.folder import list_folder

    if asked.options.subgroups:
        raise DataError(
            f"{printable(asked.reference)}: a folder has no columns, but --subgroup names "
            f"{', '.join(asked.options.subgroups)}; list the images with these columns in a manifest (FILE.csv)."
        )
    return _read_files(list_folder(Path(asked.part("path")), asked.parts["split"]), asked)


def _read_manifest(asked: _Asked) -> ImageSet:
    from smoothcert.data.manifest import list_manifest

    return _read_files(list_manifest(Path(asked.part("path")), asked.parts["split"], asked.options.subgroups), asked)


def _read_files(listing: Listing, asked: _Asked) -> ImageSet:
    return read_listing(listing, asked.options, asked.progress)


def _read_medmnist(asked: _Asked) -> ImageSet:
    from smoothcert.data.npz import read_medmnist

    return read_medmnist(asked.part("name"), asked.parts["split"] or "test", asked.options)


def _read_factory(asked: _Asked) -> ImageSet:
    from smoothcert.data.torch_dataset import read_factory

    if not asked.options.named:
        raise not_named(asked.reference, DataError)
    return read_factory(asked.part("module"), asked.part("factory"), asked.options, asked.progress)


def _draw(asked: _Asked) -> ImageSet:
    from smoothcert.data.synthetic import synthetic

    if asked.options != DataOptions():
        raise DataError(
            f"{asked.reference}: the images are drawn, 28 by 28 pixels on the 8-bit grid, without columns; leave out "
            "--quantise, --resize, --crop, --window and --subgroup."
        )
    return synthetic(int(asked.parts["count"] or 300), asked.parts["split"] or "test")


_SPLIT = r"(?:#(?P<split>[\w.-]+))?"

FORMS = (
    _Form("FILE.npz[#split]", _pattern(rf"(?P<path>.+\.npz){_SPLIT}", re.I | re.S), _read_npz),
    _Form(
        "FILE.csv or FILE.parquet[#split]",
        _pattern(rf"(?P<path>.+\.(csv|parquet)){_SPLIT}", re.I | re.S),
        _read_manifest,
    ),
    _Form("medmnist:NAME[#split]", _pattern(rf"medmnist:(?P<name>\w+){_SPLIT}"), _read_medmnist),
    _Form("synthetic[:N][#train]", _pattern(r"synthetic(?::(?P<count>[0-9]{1,9}))?(?:#(?P<split>\w+))?"), _draw),
    _Form("FOLDER[#split]", _folder, _read_folder),
    _Form("module:factory", _pattern(rf"(?!(?:synthetic|medmnist):){FACTORY.pattern}"), _read_factory),
)
"""The forms of `--data`, tried in order; a new source of images is one more line."""


def load_images(reference: str, options: DataOptions | None = None, progress: Progress | None = None) -> ImageSet:
    """The images a reference names. The same files give the same `ImageSet.sha256`.

    Args:
        reference: ``FILE.npz``, ``FILE.npz#split``; ``FOLDER`` with a folder a class, ``FOLDER#val`` where it has split
            folders; ``FILE.csv`` or ``FILE.parquet``, a manifest, ``#val`` for the rows whose `split` is val;
            ``medmnist:NAME``; ``module:factory`` returning a torch-style Dataset; or ``synthetic:N``, N drawn images
            (300 if left out; ``#train`` for others than the test images).
        options: what else the user says about them.
        progress: told after each file or item how many are read and how many there are; archives are read at once.

    Raises:
        DataError: an unknown form, data that cannot be used, or code that no person named.
        MissingExtraError: the form needs an extra that is not installed.

    >>> load_images("scan.tiff")
    Traceback (most recent call last):
    smoothcert.errors.DataError: 'scan.tiff' is not a known form of data; --data takes ...
    """
    if not is_text(reference):
        raise DataError(f"{shown(reference)}: a name of data must be Unicode text, as spec.json keeps it; rename it.")
    for form in FORMS:
        parts = form.parse(reference)
        if parts is not None:
            return form.read(_Asked(reference, parts, options or DataOptions(), progress))
    known = ", ".join(form.written for form in FORMS[:-1]) + f" or {FORMS[-1].written}"
    raise DataError(f"{reference!r} is not a known form of data; --data takes {known}. No such folder is here either.")
