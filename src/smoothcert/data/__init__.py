"""Reading labelled images: one reference in, one validated `ImageSet` out."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from smoothcert.data.changes import CHANGES, change_norms
from smoothcert.data.dataset import ImageSet
from smoothcert.data.npz import read_npz
from smoothcert.data.options import DataOptions
from smoothcert.errors import DataError
from smoothcert.usercode import FACTORY

__all__ = ["CHANGES", "DataOptions", "ImageSet", "change_norms", "load_images"]


@dataclass(frozen=True)
class _Form:
    """One way to name data: how it is written, what matches it, who reads it."""

    written: str
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str], DataOptions], ImageSet]


def _read_npz(match: re.Match[str], options: DataOptions) -> ImageSet:
    return read_npz(match["path"], match["split"], options.quantise)


def _read_factory(match: re.Match[str], options: DataOptions) -> ImageSet:
    from smoothcert.data.factory import read_factory

    return read_factory(match["module"], match["factory"], options.quantise)


def _draw(match: re.Match[str], options: DataOptions) -> ImageSet:
    from smoothcert.data.smear import synthetic

    if options.quantise is not None:
        raise DataError(f"{match[0]} is drawn on the 8-bit grid; leave out --quantise {options.quantise}.")
    return synthetic(int(match["count"] or 300), match["split"] or "test")


FORMS = (
    _Form("FILE.npz[#split]", re.compile(r"(?P<path>.+\.npz)(?:#(?P<split>[\w.-]+))?", re.I | re.S), _read_npz),
    _Form("module:factory", re.compile(rf"(?!synthetic:){FACTORY.pattern}"), _read_factory),
    _Form("synthetic[:N][#train]", re.compile(r"synthetic(?::(?P<count>[0-9]{1,9}))?(?:#(?P<split>\w+))?"), _draw),
)
"""The forms of `--data`, tried in order; a new source of images is one more line."""


def load_images(reference: str, options: DataOptions | None = None) -> ImageSet:
    """The images a reference names.

    Args:
        reference: ``FILE.npz``, ``FILE.npz#split``, ``module:factory`` returning a torch-style Dataset, or
            ``synthetic:N``, N drawn images (300 if left out; ``#train`` for others than the test images).
        options: what else the user says about them.

    Raises:
        DataError: an unknown form, or data that cannot be used.

    >>> load_images("scan.tiff")
    Traceback (most recent call last):
    smoothcert.errors.DataError: 'scan.tiff' is not a known form of data; --data takes FILE.npz[#split] or ...
    """
    for form in FORMS:
        match = form.pattern.fullmatch(reference)
        if match:
            return form.read(match, options or DataOptions())
    known = " or ".join(form.written for form in FORMS)
    raise DataError(f"{reference!r} is not a known form of data; --data takes {known}.")
