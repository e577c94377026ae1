"""What `check`, `plan` and `train` do once their settings are read: load, work with progress, say what is next."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from rich.progress import Progress

from smoothcert.cli.consent import typed_again
from smoothcert.cli.progress import live
from smoothcert.cli.terminal import Screen, print_text, show, terminated_is_interrupted
from smoothcert.config import Production, Reading, Request
from smoothcert.config.plan import PlanSettings
from smoothcert.data import DataOptions, ImageSet, load_images
from smoothcert.data.inspection import Inspection, inspect_images
from smoothcert.engine.check import Agreement, Check, check, noisy_accuracy
from smoothcert.engine.workload import Workload, load_workload
from smoothcert.errors import ModelError, printable
from smoothcert.evidence.directory import refuse_occupied
from smoothcert.evidence.forecast import Planned
from smoothcert.import_factory import Consent
from smoothcert.models import ModelOptions
from smoothcert.planning.plan import plan
from smoothcert.progress import counting, duration
from smoothcert.report import Table
from smoothcert.report.memo import read_sponsor
from smoothcert.report.plan.tables import TITLES, tables
from smoothcert.report.plan.write import PLAN, RUN_CONFIG, reading, write_plan
from smoothcert.training.checkpoint import save, write_log
from smoothcert.training.settings import EpochReport, TrainingSettings
from smoothcert.training.start import Start, pretrained_start
from smoothcert.training.trainer import train

NOTABLY = 1.1
"""How many times as fast something must be to be worth a word."""
COLUMNS = 6
"""Classes on a contact sheet."""


def check_and_report(request: Request, train_data: tuple[str | None, bool], out: Path | None, consent: Consent) -> int:
    """Look, print, draw; return the exit status: 1 with a doubt.

    Args:
        request: what to look at.
        train_data: images that the classifier was trained on, and whether a person named them, not a file.
        out: where to draw.
        consent: what may be run.
    """
    if out is not None:
        refuse_occupied(out)
    work = _loaded(request, consent)
    _print_inputs(work)
    inspected = _inspected(work, *train_data)
    seen = check(work, _hear())
    print("\nWithout noise and under it\n")
    show(_looks(seen, work))
    print("\nNoisy copies a second, by batch size\n")
    show(_batches(seen, work))
    print()
    for line in _speed(seen, work):
        print_text(line)
    warnings = [*inspected.warnings, *_warnings_of(seen)]
    for warning in warnings:
        print_text(f"DOUBT  {printable(warning)}")
    if out is not None:
        _draw(work, out)
    _print_end(len(warnings), work)
    return 1 if warnings else 0


def _loaded(request: Request, consent: Consent) -> Workload:
    console = Screen(stderr=True, highlight=False)
    with live(console) as show_live:
        return load_workload(request, show_live.reading, consent=consent)


def _inspected(work: Workload, train_data: str | None, named: bool) -> Inspection:
    """Look for images that occur twice, and say where none does."""
    options = DataOptions.of(work.request, named=named or work.consent.trust)
    other = None if train_data is None else load_images(train_data, options)
    found = inspect_images(work.images, other)
    said = [] if found.duplicates.count else ["no image occurs twice"]
    if found.groups is not None:
        said.append(f"{found.groups:,} groups")
    if other is not None and found.overlap is None:
        said.append(f"{other.reference} has images of another size or grid, so nothing was compared")
    elif found.overlap is not None and not found.overlap.count:
        said.append(f"none is among the {len(other or ()):,} of {train_data}")
    if said:
        print_text("; ".join(said), indent=2)
    return found


def _hear() -> Callable[[str], None]:
    console = Screen(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    return lambda stage: console.print(f"looking: {stage}", style="dim", markup=False)


def _print_inputs(work: Workload) -> None:
    """Say what is tested on what, so that a mistaken file is noticed."""
    images = work.images
    channels, height, width = images.shape
    print_text(
        f"Images: {printable(images.reference)}, {len(images):,} of {height} x {width} pixels, "
        f"{'grey' if channels == 1 else 'colour'}, grid of 1/{images.levels}; "
        + (", ".join(images.preprocessing) or "nothing done to the pixels")
    )
    counts = {name: int((images.labels == c).sum()) for c, name in enumerate(images.class_names)}
    print_text(f"Classes: {', '.join(f'{printable(name)} {count:,}' for name, count in counts.items())}", indent=2)
    for sigma, each in work.classifiers.items():
        fed = f"minus {_some(each.mean)}, divided by {_some(each.std)}" if each.mean else "as they are, from 0 to 1"
        name, kind = printable(each.reference), each.arch or "foreign"
        print_text(f"Classifier at sigma {sigma:g}: {name}, {kind}, {each.sha256[:19]}...")
        print_text("; ".join([f"gets noisy images {fed}", *each.adapted]), indent=2)


def _some(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _looks(seen: Check, work: Workload) -> Table:
    rows = tuple(
        (
            f"{look.sigma:g}",
            f"{look.grey_levels:.1f}",
            f"{look.clean.images}",
            f"{100 * look.clean.accuracy:.1f}",
            f"{100 * look.clean.balanced:.1f}",
            "-" if look.clean.auc is None else f"{look.clean.auc:.3f}",
            f"{100 * look.noisy_accuracy:.1f}",
            f"{look.rate:,.0f}",
            duration(look.seconds_at_most),
            "yes" if seen.bit_equal[look.sigma] else "NO",
        )
        for look in seen.looks
    )
    headings = ("sigma", "grey levels", "images", "right %", "balanced %", "AUC", "right under noise %")
    return Table((*headings, "copies/s", "time at most", "same to the bit"), rows, ())


def _batches(seen: Check, work: Workload) -> Table:
    rows = tuple(
        (f"{size:,}{' (this run)' if size == work.recipe.batch_size else ''}", f"{rate:,.0f}")
        for size, rate in seen.batches
    )
    return Table(("batch size", "copies/s"), rows, ())


def _speed(seen: Check, work: Workload) -> list[str]:
    """What the numbers say about time, and what would be faster."""
    said, rates = [], dict(seen.batches)
    if rates[seen.best_batch] > NOTABLY * rates[work.recipe.batch_size]:
        times = rates[seen.best_batch] / rates[work.recipe.batch_size]
        said.append(f"Faster: --batch-size {seen.best_batch}, {times:.1f} times as many copies a second here.")
    if isinstance(seen.agreement, str):
        return [*said, f"One precision only: {seen.agreement}"]
    return [*said, _precisions(seen.agreement)]


def _precisions(found: Agreement) -> str:
    (mine, other), times = found.precisions, found.rates[1] / found.rates[0]
    words = f"{times:.1f} times as fast" if times > NOTABLY else f"at {times:.1f} times the speed"
    return (
        f"{other} instead of {mine}: another class for {found.differing:,} of {found.copies:,} noisy copies, {words} "
        "here. Either can be certified; what is certified is the classifier in the precision that was used."
    )


def _warnings_of(seen: Check) -> list[str]:
    found = [f"sigma {look.sigma:g}: {warning}" for look in seen.looks for warning in look.warnings]
    uneven = [f"{sigma:g}" for sigma, equal in seen.bit_equal.items() if not equal]
    if uneven:
        found.append(
            f"sigma {', '.join(uneven)}: a copy's scores differ in their last digits with its place in the batch. It "
            "can be certified, but the documents will say that computer arithmetic is not covered. Another "
            "--batch-size, precision or device may behave better."
        )
    return found


def _draw(work: Workload, out: Path) -> None:
    """Draw one image of each class, as stored and as noisy copies."""
    from smoothcert.report.figures.images import sights_figure
    from smoothcert.report.figures.style import save

    images = work.images
    places = np.unique(images.labels, return_index=True)[1][:COLUMNS]
    labels = images.labels[places]
    captions = [
        (f"image {images.indices[place]}", images.class_names[label], f"class {label}")
        for place, label in zip(places, labels, strict=True)
    ]
    out.mkdir(parents=True, exist_ok=True)
    drawn = sights_figure("What the classifier sees", "", captions, noisy_accuracy(work, places))
    save(drawn, out, "contact_sheet")
    print_text(f"Contact sheet: {out / 'contact_sheet.png'}. Would you name these yourself?")


def _print_end(warnings: int, work: Workload) -> None:
    if warnings:
        print_text(
            f"{warnings} {'doubt' if warnings == 1 else 'doubts'}: see to the remedy first, or certify all the same."
        )
        return
    sigma = ",".join(sigma.text for sigma in work.request.sigma)
    print_text("Nothing looks wrong. This was a look, not a certificate.")
    print_text(f"Next: smoothcert certify with the same settings (--sigma {sigma}) and --out RUN")


PRINTED = {
    False: ("reach", "images", "power", "changes"),
    True: ("forecast", "copies", "cost", "images", "changes"),
}
"""Tables on the terminal, without and with a pilot; the others are in the folder."""


def plan_and_report(settings: PlanSettings, out: Path | None, sponsor: Path | None, consent: Consent) -> int:
    """Plan, print and write; return the exit status."""
    if out is not None:
        refuse_occupied(out)
    production = None if sponsor is None else read_sponsor(sponsor).production
    planned = _plan(settings, production, consent)
    found = tables(planned, production)
    whole = "in a folder named by --out" if out is None else f"in {out / 'plan.md'}"
    for name in PRINTED[planned.forecast is not None]:
        print(f"\n{TITLES[name]}\n")
        show(found[name], whole)
    print()
    for line in reading(planned):
        print_text(line)
    _print_where(planned, out, production)
    return 0


def _plan(settings: PlanSettings, production: Production | None, consent: Consent) -> Planned:
    if not settings.draws:
        return plan(settings)
    console = Screen(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    total = settings.pilot * settings.pilot_copies * len(settings.sigma)
    with counting(console, "pilot", total) as count:
        return plan(settings, production, count, lambda text: console.print(text, markup=False), consent)


def _print_where(planned: Planned, out: Path | None, production: Production | None) -> None:
    """Write the plan where a folder is named, and say what to type next."""
    print()
    if out is None:
        print_text("Next: the same with --out DIR keeps the plan, with every table and, from a pilot, a figure")
        return
    files = write_plan(planned, out, production)
    print_text(f"Plan in {out}: {', '.join(path.name for path in files)}")
    if planned.forecast is None:
        print_text("Next: name --model and --data, and a pilot forecasts the run")
    else:
        again = typed_again(planned.settings)
        print_text(f"Next: smoothcert certify --config {out / RUN_CONFIG}{again} --plan {out} --out RUN")
    if planned.forecast is not None and not any(path.suffix == ".svg" for path in files):
        print_text(f"No figure was drawn: it needs the extra `report`. {PLAN} holds its numbers.")


@dataclass(frozen=True)
class TrainRequest:
    """What `train` is asked for besides its settings.

    Args:
        data: the images.
        out: the weights file to be written.
        start: the classifier to train on; None: a fresh one.
        weights: the weights file of that classifier, where its name is code.
        reading: how the images are read.
    """

    data: str
    out: Path
    start: str | None
    weights: str | None
    reading: Reading

    @property
    def checkpoint(self) -> Path:
        """The file from which an interrupted training goes on."""
        return self.out.with_suffix(".checkpoint.safetensors")

    @property
    def log(self) -> Path:
        """One CSV row an epoch."""
        return self.out.with_suffix(".csv")


def train_and_report(wanted: TrainRequest, settings: TrainingSettings) -> int:
    """Train, save, and print one line an epoch; return the exit status."""
    _check(wanted)
    images = load_images(wanted.data, DataOptions.of(wanted.reading))
    start = _start(wanted, images, settings)
    console = Screen(stderr=True, highlight=False)
    reports: list[EpochReport] = []
    try:
        with terminated_is_interrupted(), Progress(console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(f"sigma {settings.sigma:g}", total=settings.epochs)

            def show(epoch: EpochReport) -> None:
                reports.append(epoch)
                write_log(wanted.log, reports)
                bar.advance(task)
                console.print(_in_words(reports), markup=False, soft_wrap=not console.is_terminal)

            wanted.out.parent.mkdir(parents=True, exist_ok=True)
            module = train(images, settings, show, start, wanted.checkpoint)
    except KeyboardInterrupt:
        text = f"Interrupted after {len(reports)} of {settings.epochs} epochs; the same command goes on from there."
        console.print(text, markup=False, soft_wrap=not console.is_terminal)
        raise
    save(module, settings, images, wanted.out, start)
    wanted.checkpoint.unlink(missing_ok=True)
    _print_next(wanted, settings)
    return 0


def _check(wanted: TrainRequest) -> None:
    if wanted.out.suffix != ".safetensors":
        raise ModelError(f"--out: expected a file name ending in .safetensors, got {wanted.out}.")
    if wanted.out.exists():
        raise ModelError(f"--out: {wanted.out} exists, and weights are never overwritten. Choose another name.")
    if wanted.weights and not wanted.start:
        raise ModelError("--weights belongs to --from package.module:factory; name the factory, or leave it out.")


def _start(wanted: TrainRequest, images: ImageSet, settings: TrainingSettings) -> Start | None:
    if wanted.start is None:
        return None
    options = ModelOptions(
        arch=settings.arch,
        weights=wanted.weights,
        num_classes=images.num_classes,
        in_channels=images.shape[0],
    )
    return pretrained_start(images, wanted.start, options)


def _print_next(wanted: TrainRequest, settings: TrainingSettings) -> None:
    print_text(f"Weights: {wanted.out}; log of the epochs: {wanted.log}")
    code = wanted.start is not None and ":" in wanted.start
    model = f"{wanted.start} --weights {wanted.out}" if code else f"{wanted.out}"
    print_text(f"Next: smoothcert certify --model {model} --data ... --sigma {settings.sigma:g} --out RUN")


def _in_words(reports: list[EpochReport]) -> str:
    """The last epoch, and the time left at the pace of the middle one: a machine may have slept through another."""
    epoch = reports[-1]
    held = "" if epoch.noisy is None else f", held out {epoch.noisy:.1%} ({epoch.clean:.1%} without noise)"
    left = duration(median(report.seconds for report in reports) * (epoch.epochs - epoch.epoch))
    return (
        f"epoch {epoch.epoch}/{epoch.epochs}: loss {epoch.loss:.3f}, under noise {epoch.accuracy:.1%} right{held}; "
        f"{epoch.seconds:.0f} s, about {left} left"
    )
