"""The work of `predict`: check every file, predict in parts, print or write the answers.

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
from smoothcert.errors import InputError, printable
from smoothcert.evidence.bundle.files import RECORD, read_bundle
from smoothcert.evidence.bundle.record import Bundle
from smoothcert.evidence.directory import file_sha256
from smoothcert.evidence.events import utc_now
from smoothcert.evidence.lock import locked
from smoothcert.progress import Count, counting
from smoothcert.report import Table
from smoothcert.report.markup import FORMULA
from smoothcert.stats import prediction_looks
from smoothcert.stats.rounding import format_down, full
from smoothcert.version import __version__

if TYPE_CHECKING:
    from smoothcert.sampling import SmoothedClassifier

N_MAX, RADII = 10_000, (0.25, 0.5, 1.0)
"""Defaults of --certify if the bundle names no run: maximum samples per image, and radii."""


@dataclass(frozen=True)
class Question:
    """The settings of a prediction or certificate, with every default filled in.

    Attributes:
        k: number of classes in an answer.
        alpha: error probability of an answer.
        n: maximum samples per image.
        radii: L2 radii to decide; None for a prediction.
    """

    k: int
    alpha: float
    n: int
    radii: tuple[float, ...] | None

    @property
    def certify(self) -> bool:
        """Whether images are certified."""
        return self.radii is not None


def question_of(bundle: Bundle, settings: PredictSettings) -> Question:
    """Return the settings with the defaults of the bundle, or of the run that certified it."""
    alpha = bundle.alpha if settings.alpha is None else settings.alpha
    if not settings.certify:
        n = bundle.n if settings.n is None else settings.n
        prediction_looks(n, alpha)  # refuses an n that can never decide
        return Question(settings.k, alpha, n, None)
    certified = bundle.certified
    usual = (certified.n_max, certified.radii) if certified else (N_MAX, RADII)
    n_max = usual[0] if settings.n_max is None else settings.n_max
    return Question(settings.k, alpha, n_max, settings.radius or usual[1])


def form_of(settings: PredictSettings) -> str:
    """Return the output format, table, csv or json: that of --format, or the ending of --out."""
    if settings.out is None:
        return settings.format or "table"
    ending = settings.out.suffix.lower().removeprefix(".")
    if settings.format is None and ending not in ("csv", "json"):
        name = printable(str(settings.out))
        raise InputError(f"--out: expected a file name ending in .csv or .json, got {name}.", code="E-INPUT-007")
    return settings.format or ending


def check_flags(images: Sequence[Path], settings: PredictSettings) -> None:
    """Refuse flags that contradict each other, and an output file that cannot be written."""
    if not images:
        raise InputError("Expected image files, or a folder of them, got none.", code="E-INPUT-008")
    if settings.certify and settings.n is not None:
        raise InputError("--n is for predictions; with --certify use --n-max.", code="E-INPUT-009")
    if not settings.certify and (settings.radius or settings.n_max is not None):
        raise InputError("--radius and --n-max are for --certify; add it, or remove them.", code="E-INPUT-010")
    if settings.out is not None and not settings.out.absolute().parent.is_dir():
        raise _not_writable(settings.out, "is in a folder that does not exist")


@contextmanager
def reserved(out: Path) -> Iterator[Callable[[str], None]]:
    """Reserve the output file, so that no other process writes it; the OS releases the lock on exit.

    Yields:
        A function that writes the answers to a temporary file and renames it.

    Raises:
        InputError: the file exists, or another process has reserved it.
    """
    place, fresh = (out.with_name(f".{out.name}.{ending}") for ending in ("lock", "part"))
    with ExitStack() as stack:
        if sys.platform == "win32":
            stack.callback(_remove, place)  # Windows removes no open file
        file = stack.enter_context(place.open("ab"))
        with suppress(OSError):  # a network disk may have no locks
            held = stack.enter_context(locked(file))
            if not (held and place.exists() and os.path.samestat(place.stat(), os.fstat(file.fileno()))):
                raise _not_writable(out, "is being written by another process")
        stack.callback(_remove, place)
        stack.callback(_remove, fresh)
        if out.exists():
            raise _not_writable(out, "exists, and is never overwritten")

        def write(text: str) -> None:
            with fresh.open("wb") as answers:  # overwrites what a killed process left
                answers.write(f"{text}\n".encode())
                answers.flush()
                os.fsync(answers.fileno())
            os.replace(fresh, out)

        yield write


def _remove(path: Path) -> None:
    with suppress(PermissionError):  # open in another process, on Windows
        path.unlink(missing_ok=True)


def _not_writable(out: Path, reason: str) -> InputError:
    return InputError(f"--out: {printable(str(out))} {reason}. Choose another name.", code="E-INPUT-011")


ABSTAINED = "abstained"


@dataclass(frozen=True)
class Answer:
    """The answer for one image.

    Attributes:
        image: the file.
        sha256: hash of its pixels.
        classes: the class, or the k classes; none for an abstention.
        samples: noise samples drawn.
        share: vote share of the leading class, for a prediction.
        radius: certified L2 radius, for a certificate.
        certified_at: the radii that are certified.
    """

    image: Path
    sha256: str
    classes: tuple[int, ...]
    samples: int
    share: float | None = None
    radius: float | None = None
    certified_at: tuple[float, ...] = ()


def as_table(answers: Sequence[Answer], bundle: Bundle, question: Question) -> Table:
    """Return the printed table; texts from files are printable and on one line."""
    measure = ("radius", "certified at") if question.certify else ("vote share",)
    headings = ("image", "class", "label", *measure, "samples")
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
    return {**row, "samples": f"{answer.samples:,}"}


def in_words(bundle: Bundle, question: Question) -> str:
    """Return what the answers mean, and which run certified the classifier."""
    level, alpha = f"sigma {full(bundle.sigma)}", f"with probability at most alpha = {full(question.alpha)}"
    if question.certify:
        stays = "the class" if question.k == 1 else f"among the {question.k} most probable classes"
        meaning = (
            f"Under every perturbation of an image with L2 norm below its radius, in units of the [0, 1] range, its "
            f"class stays {stays} of the smoothed classifier ({level}). For each image, class and radius are wrong "
            f"{alpha}. An abstention means that up to {question.n:,} noise samples certified nothing."
        )
    else:
        what = "A class is the one" if question.k == 1 else f"The {question.k} classes are those"
        meaning = (
            f"{what} most probable under noise ({level}). For each image, that is wrong {alpha}. An abstention means "
            f"that up to {question.n:,} noise samples did not separate the classes."
        )
    both = "" if bundle.model.denoiser is None else " The smoothed classifier is that of denoiser and network together."
    return f"\n{meaning}{both} That the class is true is not certified. {_origin(bundle)}"


def _origin(bundle: Bundle) -> str:
    certified = bundle.certified
    if certified is None:
        return "The bundle names no certification run."
    return (
        f"Certified by the run with ledger {certified.ledger_sha256[:12]}... ({certified.images:,} images "
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
        record |= {"samples": answer.samples, "abstained": "false" if answer.classes else "true"}
        if question.certify:
            record["radius"] = format_down(answer.radius or 0.0) if answer.classes else ""
            record["certified_radii"] = "; ".join(full(r) for r in answer.certified_at)
        records.append({**record, "recipe": recipe})
    return Table((), (), tuple(records)).render("csv")


def _path(name: str) -> str:
    """Return a path that opens the same file and that no spreadsheet takes for a formula."""
    return f"./{name}" if name.startswith(FORMULA) else name


def as_json(answers: Sequence[Answer], bundle: Bundle, question: Question, more: dict[str, Any]) -> str:
    """Return what a device should log of these answers, with exact texts."""
    settings: dict[str, Any] = {"k": question.k, "alpha": question.alpha, "n": question.n}
    if question.radii is not None:
        settings["radii"] = list(question.radii)
    head = {
        "procedure": "certify" if question.certify else "predict",
        **settings,
        "sigma": bundle.sigma,
        "smoothcert": __version__,
        "weights_sha256": bundle.model.sha256,
        **({} if bundle.model.denoiser is None else {"denoiser_sha256": bundle.model.denoiser.sha256}),
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
        "samples": answer.samples,
    }
    if not question.certify:
        return {**record, "share": answer.share}
    return {**record, "radius": None if abstained else answer.radius, "certified_at": list(answer.certified_at)}


PART, VALUES = 512, 2**26
"""Images, and pixel values, that are read and predicted together."""


def predict_and_report(path: Path, images: Sequence[Path], settings: PredictSettings) -> int:
    """Predict with a bundle; return the exit status."""
    form = form_of(settings)
    check_flags(images, settings)
    with nullcontext(print) if settings.out is None else reserved(settings.out) as write:
        return _predicted(path, images, settings, form, write)


def _predicted(
    path: Path, images: Sequence[Path], settings: PredictSettings, form: str, write: Callable[[str], None]
) -> int:
    bundle = read_bundle(path)
    question = question_of(bundle, settings)
    console = Screen(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    files = list(image_files(images))
    with counting(console, "checking", len(files)) as count:
        for number, file in enumerate(files, 1):
            read_image(file, bundle.shape, bundle.levels)
            count(number)
    with counting(console, "loading", None):
        g = _load(path, bundle, settings)
    for warning in g.warnings:
        console.print(f"warning: {warning}", style="bold yellow", markup=False)
    if g.warnings:
        console.print(_OTHER_RECIPE if bundle.certified else _OTHER_MACHINE, style="yellow", markup=False)
    with counting(console, "certifying" if settings.certify else "predicting", len(files)) as count:
        answers = list(_answers((g, bundle, question), files, count))
    content = _rendered(form, answers, (g, bundle, question), path)
    if isinstance(content, Table):
        show(content)
    else:
        write(content)
    if settings.out is not None and not isinstance(content, Table):
        without = sum(not answer.classes for answer in answers)
        images_text = f"{len(answers):,} image{'' if len(answers) == 1 else 's'}"
        console.print(f"Answers for {images_text}, {without:,} of them abstentions: {settings.out}", markup=False)
    console.print(in_words(bundle, question), markup=False)
    return 0


_OTHER_RECIPE = (
    "The numeric recipe of this machine is not that of the run: the run's certificates hold for the classifier with "
    "the run's recipe, and single votes can differ here. The answers below are about the classifier as this machine "
    "computes it."
)
_OTHER_MACHINE = "The numeric recipe of this machine is not that of the bundle, and single votes can differ."


def _load(path: Path, bundle: Bundle, settings: PredictSettings) -> SmoothedClassifier:
    from smoothcert.models.denoisers.load import custom_denoiser
    from smoothcert.models.factory import custom_network
    from smoothcert.sampling import SmoothedClassifier

    classes, channels = len(bundle.class_names), bundle.shape[0]
    model = None if settings.model is None else custom_network(settings.model, classes, channels)
    denoiser = None if settings.denoiser is None else custom_denoiser(settings.denoiser, channels)
    return SmoothedClassifier.load(path, model, settings.device, denoiser=denoiser)


def _answers(
    deployed: tuple[SmoothedClassifier, Bundle, Question], files: Sequence[Path], show_count: Count
) -> Iterator[Answer]:
    """Yield one answer per file, part by part; each part draws fresh secret noise."""
    g, bundle, question = deployed
    part = max(1, min(PART, VALUES // int(np.prod(bundle.shape))))
    decided = 0

    def count(more: int) -> None:
        nonlocal decided
        decided += more
        show_count(decided)

    g.on_decided = count
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
