"""What `predict` does once its flags are read: check every file, predict in parts, print or write the answers.

CSV is inert wherever it is opened; JSON is exact.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smoothcert.cli.terminal import Screen, show
from smoothcert.config.predict import PredictSettings
from smoothcert.data.checks import Pixels
from smoothcert.data.image_file import image_files, pixels_sha256, read_image
from smoothcert.errors import InputError, ModelError, printable
from smoothcert.evidence.bundle.files import RECORD, read_bundle
from smoothcert.evidence.bundle.record import Bundle
from smoothcert.evidence.directory import file_sha256
from smoothcert.evidence.events import utc_now
from smoothcert.evidence.lock import locked
from smoothcert.import_factory import FACTORY
from smoothcert.progress import Count, counting
from smoothcert.report import Table
from smoothcert.report.markup import FORMULA
from smoothcert.stats import prediction_looks
from smoothcert.stats.rounding import format_down, full
from smoothcert.version import __version__

if TYPE_CHECKING:
    from torch import nn

    from smoothcert.sampling import SmoothedClassifier


N_MAX, RADII = 10_000, (0.25, 0.5, 1.0)
"""With --certify, where the bundle names no run: copies at most and radii."""


@dataclass(frozen=True)
class Question:
    """What was asked of a bundle, with every default filled in.

    Attributes:
        k: size of the answer.
        alpha: probability, at most, that one answer is not the smoothed classifier's.
        n: noisy copies an image at most.
        radii: None for a prediction; with a certificate, the radii to decide.
    """

    k: int
    alpha: float
    n: int
    radii: tuple[float, ...] | None

    @property
    def certify(self) -> bool:
        """Whether certificates are asked for."""
        return self.radii is not None


def question_of(bundle: Bundle, asked: PredictSettings) -> Question:
    """Fill in what was left out: what the bundle says, or the run that certified it."""
    alpha = bundle.alpha if asked.alpha is None else asked.alpha
    if not asked.certify:
        n = bundle.n if asked.n is None else asked.n
        prediction_looks(n, alpha)  # refuses an n that can never decide
        return Question(asked.k, alpha, n, None)
    certified = bundle.certified
    usual = (certified.n_max, certified.radii) if certified else (N_MAX, RADII)
    n_max = usual[0] if asked.n_max is None else asked.n_max
    return Question(asked.k, alpha, n_max, asked.radius or usual[1])


def form_of(asked: PredictSettings) -> str:
    """Return table, csv or json: what is asked for, or what the file is called."""
    if asked.out is None:
        return asked.format or "table"
    ending = asked.out.suffix.lower().removeprefix(".")
    if asked.format is None and ending not in ("csv", "json"):
        raise InputError(f"--out: expected a file name ending in .csv or .json, got {printable(str(asked.out))}.")
    return asked.format or ending


def check_flags(images: Sequence[Path], asked: PredictSettings) -> None:
    """Refuse flags that contradict each other, and a place to write that cannot be."""
    if not images:
        raise InputError("Name image files, or a folder of them.")
    if asked.certify and asked.n is not None:
        raise InputError("--n counts the copies of a prediction; with --certify use --n-max.")
    if not asked.certify and (asked.radius or asked.n_max is not None):
        raise InputError("--radius and --n-max belong to --certify; add it, or leave them out.")
    if asked.out is not None and not asked.out.absolute().parent.is_dir():
        raise _no_place(asked.out, "lies in a folder that does not exist")


@contextmanager
def reserved(out: Path) -> Iterator[Callable[[str], None]]:
    """Keep a place for the answers, so that no other process writes there meanwhile; a crash lets go of it.

    Yields:
        What writes the answers beside the place and moves them there in one step.

    Raises:
        InputError: there is a file already, or another process is about to write it.
    """
    place, fresh = (out.with_name(f".{out.name}.{ending}") for ending in ("lock", "part"))
    with ExitStack() as stack:
        if sys.platform == "win32":
            stack.callback(_remove, place)  # no open file is removed there
        file = stack.enter_context(place.open("ab"))
        with suppress(OSError):  # a network disk may know no locks
            held = stack.enter_context(locked(file))
            if not (held and place.exists() and os.path.samestat(place.stat(), os.fstat(file.fileno()))):
                raise _no_place(out, "is being written by another process")
        stack.callback(_remove, place)
        stack.callback(_remove, fresh)
        if out.exists():
            raise _no_place(out, "exists, and nothing is overwritten")

        def write(text: str) -> None:
            with fresh.open("wb") as answers:  # over what a process left that was killed
                answers.write(f"{text}\n".encode())
                answers.flush()
                os.fsync(answers.fileno())
            os.replace(fresh, out)

        yield write


def _remove(path: Path) -> None:
    with suppress(PermissionError):  # somebody has it open, on Windows
        path.unlink(missing_ok=True)


def _no_place(out: Path, trouble: str) -> InputError:
    return InputError(f"--out: {printable(str(out))} {trouble}. Choose another name.")


ABSTAINED = "abstained"


@dataclass(frozen=True)
class Answer:
    """What was answered for one image.

    Attributes:
        image: the file.
        sha256: hash of its pixels.
        classes: the class, or the k classes; none for an abstention.
        copies: noisy copies drawn.
        share: the leader's share of the votes of a prediction.
        radius: certified L2 radius of a certificate.
        certified_at: which radii are certified.
    """

    image: Path
    sha256: str
    classes: tuple[int, ...]
    copies: int
    share: float | None = None
    radius: float | None = None
    certified_at: tuple[float, ...] = ()


def as_table(answers: Sequence[Answer], bundle: Bundle, question: Question) -> Table:
    """Return the table that people read; texts from elsewhere are printable and on one line."""
    headings = ("image", "class", "label", *(("radius", "certified at") if question.certify else ("share",)), "copies")
    rows = tuple(tuple(_row(answer, bundle, question).values()) for answer in answers)
    return Table(headings, rows, ({},))


def _row(answer: Answer, bundle: Bundle, question: Question) -> dict[str, str]:
    names = [printable(bundle.class_names[c]) for c in answer.classes]
    row = {
        "image": printable(str(answer.image)),
        "class": ", ".join(map(str, answer.classes)) or "-",
        "label": ", ".join(names) or ABSTAINED,
    }
    if question.certify:
        row["radius"] = format_down(answer.radius or 0.0) if answer.classes else "-"
        row["certified"] = ", ".join(full(r) for r in answer.certified_at) or "-"
    else:
        row["share"] = format_down(answer.share or 0.0, 4)
    return {**row, "copies": f"{answer.copies:,}"}


def in_words(bundle: Bundle, question: Question) -> str:
    """Return what the answers mean, and which run stands behind the classifier."""
    level, alpha = f"sigma {full(bundle.sigma)}", f"with probability at most alpha = {full(question.alpha)}"
    if question.certify:
        stays = "the class" if question.k == 1 else f"among the {question.k} most probable classes"
        meaning = (
            f"Under every change of an image with L2 norm below its radius, in units of the [0, 1] range, its class "
            f"stays {stays} of the smoothed classifier ({level}); of one image, class and radius are wrong together "
            f"{alpha}. An abstention is an answer: up to {question.n:,} noisy copies certified nothing."
        )
    else:
        what = "A class is the one" if question.k == 1 else f"The {question.k} classes are those"
        meaning = (
            f"{what} most probable under noise ({level}); of one image, that is wrong {alpha}. An abstention is an "
            f"answer: up to {question.n:,} noisy copies did not tell the classes apart."
        )
    return f"\n{meaning} Nothing here says that a label is true. {_origin(bundle)}"


def _origin(bundle: Bundle) -> str:
    certified = bundle.certified
    if certified is None:
        return "The bundle names no certification run."
    return (
        f"Tested by the certification run with ledger {certified.ledger_sha256[:12]}... ({certified.images:,} images "
        f"of {printable(certified.data)})."
    )


def as_csv(answers: Sequence[Answer], bundle: Bundle, question: Question, recipe: str) -> str:
    """Return CSV in which no text can act as a formula, a line break or a terminal command."""
    records = []
    for answer in answers:
        names = [printable(bundle.class_names[c]) for c in answer.classes]
        record: dict[str, Any] = {
            "image": _path(printable(str(answer.image))),
            "class": "; ".join(map(str, answer.classes)),
            "label": "; ".join(names),
        }
        if not question.certify:
            record["share"] = format_down(answer.share or 0.0, 4)
        record |= {"copies": answer.copies, "abstained": "false" if answer.classes else "true"}
        if question.certify:
            record["radius"] = format_down(answer.radius or 0.0) if answer.classes else ""
            record["certified_radii"] = "; ".join(full(r) for r in answer.certified_at)
        records.append({**record, "recipe": recipe})
    return Table((), (), tuple(records)).render("csv")


def _path(name: str) -> str:
    """A name that a spreadsheet would take for a formula, as a path that still opens the file."""
    return f"./{name}" if name.startswith(FORMULA) else name


def as_json(answers: Sequence[Answer], bundle: Bundle, question: Question, more: dict[str, Any]) -> str:
    """Return everything a device should log of these answers; texts are exact."""
    asked: dict[str, Any] = {"k": question.k, "alpha": question.alpha, "n": question.n}
    if question.radii is not None:
        asked["radii"] = list(question.radii)
    head = {
        "procedure": "certify" if question.certify else "predict",
        **asked,
        "sigma": bundle.sigma,
        "smoothcert": __version__,
        "weights_sha256": bundle.model.sha256,
        "ledger_sha256": bundle.certified.ledger_sha256 if bundle.certified else None,
        "at": utc_now(),
        **more,
    }
    return json.dumps({**head, "answers": [_record(answer, bundle, question) for answer in answers]}, indent=1)


def _record(answer: Answer, bundle: Bundle, question: Question) -> dict[str, Any]:
    abstained = not answer.classes
    record: dict[str, Any] = {
        "image": os.fspath(answer.image),
        "image_sha256": answer.sha256,
        "classes": list(answer.classes),
        "labels": [bundle.class_names[c] for c in answer.classes],
        "abstained": abstained,
        "copies": answer.copies,
    }
    if not question.certify:
        return {**record, "share": answer.share}
    return {**record, "radius": None if abstained else answer.radius, "certified_at": list(answer.certified_at)}


PART, VALUES = 512, 2**26
"""Images that are read and predicted together, at most; and pixel values."""


def predict_and_report(path: Path, images: Sequence[Path], asked: PredictSettings) -> int:
    """Predict with a bundle; return the exit status."""
    form = form_of(asked)
    check_flags(images, asked)
    with nullcontext(print) if asked.out is None else reserved(asked.out) as write:
        return _predicted(path, images, asked, form, write)


def _predicted(
    path: Path, images: Sequence[Path], asked: PredictSettings, form: str, write: Callable[[str], None]
) -> int:
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


def _load(path: Path, bundle: Bundle, asked: PredictSettings) -> SmoothedClassifier:
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
