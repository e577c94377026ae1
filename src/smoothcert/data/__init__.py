"""Reading labelled images: `load_images` returns a validated `ImageSet` for a reference such as ``pbc28.npz#val``."""

import re
from pathlib import Path

import numpy as np

from smoothcert.data.checks import quoted_name
from smoothcert.data.dataset import DataOptions, ImageSet
from smoothcert.data.folder import Listing, Progress, list_folder, read_listing
from smoothcert.data.image_file import ENDINGS, image_files
from smoothcert.data.inspection import PERTURBATIONS, perturbation_norms
from smoothcert.data.npz import read_medmnist, read_npz
from smoothcert.errors import DataError, is_text, printable
from smoothcert.import_factory import FACTORY, not_named

__all__ = ["PERTURBATIONS", "DataOptions", "ImageSet", "load_images", "load_unlabelled", "perturbation_norms"]


def _folder(reference: str) -> tuple[Path, str | None] | None:
    """Return the folder, which exists or whose name ends in a slash, and the split after #; None for anything else."""
    path, mark, split = reference.rpartition("#")
    for name, part in ((reference, None), (path, split)):
        if name and (mark or part is None) and (Path(name).is_dir() or name.endswith("/")):
            return Path(name), part or None
    return None


def _read_manifest(path: Path, split: str | None, options: DataOptions, progress: Progress | None) -> ImageSet:
    from smoothcert.data.manifest import list_manifest

    return read_listing(list_manifest(path, split, options.subgroups), options, progress)


def _read_folder(path: Path, split: str | None, options: DataOptions, progress: Progress | None) -> ImageSet:
    if options.subgroups:
        raise DataError(
            f"{printable(str(path))}: --subgroup {', '.join(options.subgroups)} needs columns, but the data are a "
            "folder; list the images with these columns in a manifest (FILE.csv).",
            code="E-DATA-001",
        )
    return read_listing(list_folder(path, split), options, progress)


def _draw(reference: str, count: int, split: str, options: DataOptions) -> ImageSet:
    from smoothcert.data.synthetic import synthetic

    if options != DataOptions():
        raise DataError(
            f"{reference}: synthetic images are 28 by 28 pixels on the 8-bit grid, without subgroups; leave out "
            "--quantise, --resize, --crop, --window and --subgroup.",
            code="E-DATA-002",
        )
    return synthetic(count, split)


def load_unlabelled(
    reference: str, options: DataOptions | None = None, progress: Progress | None = None
) -> ImageSet | None:
    """Load a folder of image files that are in no class folders; every label is 0.

    Args:
        reference: ``FOLDER`` with image files directly in it; those of its subfolders are read, too.
        options: how to read them.
        progress: called after each file with the number read and the total.

    Returns:
        The images, or None if the reference is anything else, such as a folder with one subfolder per class.

    Raises:
        DataError: a file cannot be read, or differs from the first.
    """
    folder = Path(reference)
    if not folder.is_dir() or not any(each.suffix.lower() in ENDINGS and each.is_file() for each in folder.iterdir()):
        return None
    paths = tuple(image_files([folder]))
    listing = Listing(reference, paths, np.zeros(len(paths), dtype=np.int64), ())
    return read_listing(listing, options or DataOptions(), progress)


_ARCHIVE = re.compile(r"(?P<path>.+\.npz)(?:#(?P<split>[\w.-]+))?", re.I | re.S)
_MANIFEST = re.compile(r"(?P<path>.+\.(csv|parquet))(?:#(?P<split>[\w.-]+))?", re.I | re.S)
_MEDMNIST = re.compile(r"medmnist:(?P<name>\w+)(?:#(?P<split>[\w.-]+))?")
_SYNTHETIC = re.compile(r"synthetic(?::(?P<count>[0-9]{1,9}))?(?:#(?P<split>\w+))?")

FORMS = (
    "FILE.npz[#split], FILE.csv or FILE.parquet[#split], medmnist:NAME[#split], synthetic[:N][#train], FOLDER[#split] "
    "or module:factory"
)
"""The forms of `--data`, as messages list them."""


def load_images(reference: str, options: DataOptions | None = None, progress: Progress | None = None) -> ImageSet:
    """Load the images of a reference. The same files have the same `ImageSet.sha256`.

    Args:
        reference: ``FILE.npz``, ``FILE.npz#split``; ``FOLDER`` with one folder per class, ``FOLDER#val`` if it has
            split folders; ``FILE.csv`` or ``FILE.parquet``, a manifest, ``#val`` for the rows whose `split` is val;
            ``medmnist:NAME``; ``module:factory`` returning a torch-style Dataset; or ``synthetic:N``, N drawn images
            (default: 300; ``#train`` draws other images than the test images).
        options: how to read them.
        progress: called after each file or item with the number read and the total; not called for archives.

    Raises:
        DataError: the form is unknown, the data cannot be used, or the reference is code that a file named.
        MissingExtraError: the form needs an extra that is not installed.

    >>> load_images("scan.tiff")
    Traceback (most recent call last):
    smoothcert.errors.DataError: 'scan.tiff' is not a supported data reference; --data takes ...
    """
    if not is_text(reference):
        raise DataError(
            f"{quoted_name(reference)}: a data reference must be Unicode text, because it is written to spec.json; "
            "rename the file.",
            code="E-DATA-003",
        )
    options = options or DataOptions()
    if file := _ARCHIVE.fullmatch(reference):
        return read_npz(file["path"], file["split"], options)
    if file := _MANIFEST.fullmatch(reference):
        return _read_manifest(Path(file["path"]), file["split"], options, progress)
    if name := _MEDMNIST.fullmatch(reference):
        return read_medmnist(name["name"], name["split"] or "test", options)
    if drawn := _SYNTHETIC.fullmatch(reference):
        return _draw(reference, int(drawn["count"] or 300), drawn["split"] or "test", options)
    if folder := _folder(reference):
        return _read_folder(*folder, options, progress)
    if (factory := FACTORY.fullmatch(reference)) and factory["module"] not in ("synthetic", "medmnist"):
        from smoothcert.data.torch_dataset import read_factory

        if not options.named:
            raise not_named(reference, DataError)
        return read_factory(factory["module"], factory["factory"], options, progress)
    raise DataError(
        f"{reference!r} is not a supported data reference; --data takes {FORMS}. There is no such folder either.",
        code="E-DATA-004",
    )
