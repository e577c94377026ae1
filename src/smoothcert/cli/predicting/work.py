"""What `predict` does once its flags are read: check every file, predict in parts, print or write the answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smoothcert.cli.predict import Asked
from smoothcert.cli.predicting.answers import Answer, as_table, in_words
from smoothcert.cli.predicting.question import Question, check_flags, form_of, question_of, reserved
from smoothcert.cli.predicting.records import as_csv, as_json
from smoothcert.cli.terminal import Screen, show
from smoothcert.data.checks import Pixels
from smoothcert.data.image_file import image_files, pixels_sha256, read_image
from smoothcert.errors import ModelError
from smoothcert.evidence.bundle.files import RECORD, read_bundle
from smoothcert.evidence.bundle.record import Bundle
from smoothcert.evidence.directory import file_sha256
from smoothcert.import_factory import FACTORY
from smoothcert.progress import Count, counting
from smoothcert.report import Table

if TYPE_CHECKING:
    from torch import nn

    from smoothcert.sampling import SmoothedClassifier

PART, VALUES = 512, 2**26
"""Images that are read and predicted together, at most; and pixel values."""


def predict_and_report(path: Path, images: Sequence[Path], asked: Asked) -> int:
    """Predict with a bundle; return the exit status."""
    form = form_of(asked)
    check_flags(images, asked)
    with nullcontext(print) if asked.out is None else reserved(asked.out) as write:
        return _predicted(path, images, asked, form, write)


def _predicted(path: Path, images: Sequence[Path], asked: Asked, form: str, write: Callable[[str], None]) -> int:
    bundle = read_bundle(path)
    question = question_of(bundle, asked)
    console = Screen(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    files = list(image_files(images))
    with counting(console, "checking", len(files)) as tell:
        for number, file in enumerate(files, 1):
            read_image(file, bundle.shape, bundle.levels)
            tell(number)
    with counting(console, "loading", None):
        g = _load(path, bundle, asked)
    for warning in g.warnings:
        console.print(f"warning: {warning}", style="bold yellow", markup=False)
    if g.warnings:
        console.print(_OTHER_RECIPE if bundle.certified else _OTHER_MACHINE, style="yellow", markup=False)
    with counting(console, "certifying" if asked.certify else "predicting", len(files)) as tell:
        answers = list(_answers((g, bundle, question), files, tell))
    content = _rendered(form, answers, (g, bundle, question), path)
    if isinstance(content, Table):
        show(content)
    else:
        write(content)
    if asked.out is not None and not isinstance(content, Table):
        without = sum(not answer.classes for answer in answers)
        count = f"{len(answers):,} image{'' if len(answers) == 1 else 's'}"
        console.print(f"Answers for {count}, {without:,} of them abstentions: {asked.out}", markup=False)
    console.print(in_words(bundle, question), markup=False)
    return 0


_OTHER_RECIPE = (
    "This machine computes otherwise than the certified one: the run's certificates hold for the classifier with its "
    "numeric recipe, and single votes can differ here. What is answered below is about the classifier as this machine "
    "computes it."
)
_OTHER_MACHINE = "This machine computes otherwise than the one that saved the bundle, and single votes can differ."


def _load(path: Path, bundle: Bundle, asked: Asked) -> SmoothedClassifier:
    from smoothcert.sampling import SmoothedClassifier

    model = None if asked.model is None else _built(asked.model, bundle)
    return SmoothedClassifier.load(path, model, asked.device)


def _built(name: str, bundle: Bundle) -> nn.Module:
    """Return the network that the user's own code builds."""
    from smoothcert.models import ModelOptions
    from smoothcert.models.factory import read_factory

    match = FACTORY.fullmatch(name)
    if match is None:
        raise ModelError(f"--model: expected package.module:factory, got {name!r}; the weights come from the bundle.")
    options = ModelOptions(num_classes=len(bundle.class_names), in_channels=bundle.shape[0])
    return read_factory(match["module"], match["factory"], options).module


def _answers(
    deployed: tuple[SmoothedClassifier, Bundle, Question], files: Sequence[Path], tell: Count
) -> Iterator[Answer]:
    """Yield an answer a file, in parts that are read, predicted and forgotten; each part draws fresh secret noise."""
    g, bundle, question = deployed
    part = max(1, min(PART, VALUES // int(np.prod(bundle.shape))))
    decided = 0

    def heard(more: int) -> None:
        nonlocal decided
        decided += more
        tell(decided)

    g.on_decided = heard
    for start in range(0, len(files), part):
        some = files[start : start + part]
        pixels = np.stack([read_image(file, bundle.shape, bundle.levels) for file in some])
        yield from _of_part(g, question, some, pixels)


def _of_part(g: SmoothedClassifier, question: Question, part: Sequence[Path], pixels: Pixels) -> Iterator[Answer]:
    names = [(file, pixels_sha256(each)) for file, each in zip(part, pixels, strict=True)]
    if question.radii is not None:
        found = g.certificates(pixels, question.k, question.radii, n_max=question.n, alpha=question.alpha)
        for named, each in zip(names, found, strict=True):
            classes = () if each.label is None else (each.label,)
            yield Answer(*named, classes, each.samples, radius=each.radius, certified_at=each.certified_at)
        return
    for named, one in zip(names, g.predictions(pixels, question.k, question.n, question.alpha), strict=True):
        answer = frozenset({one.answer}) if isinstance(one.answer, int) else one.answer or frozenset()
        yield Answer(*named, tuple(sorted(answer)), one.samples, share=one.share)


def _rendered(
    form: str, answers: Sequence[Answer], deployed: tuple[SmoothedClassifier, Bundle, Question], path: Path
) -> Table | str:
    g, bundle, question = deployed
    if form == "csv":
        before = "as saved" if bundle.certified is None else "as certified"
        return as_csv(answers, bundle, question, "differs" if g.warnings else before)
    if form == "json":
        facts = {"bundle_sha256": file_sha256(path / RECORD), "recipe": g.recipe(bundle.shape).model_dump()}
        return as_json(answers, bundle, question, {**facts, "warnings": list(g.warnings)})
    return as_table(answers, bundle, question)
