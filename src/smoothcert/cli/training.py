"""What `train` does once its settings are read: load, train with progress, save, say what is next."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from rich.progress import Progress

from smoothcert.cli.interruption import terminated_is_interrupted
from smoothcert.cli.terminal import Screen, tell
from smoothcert.data import DataOptions, ImageSet, load_images
from smoothcert.errors import ModelError
from smoothcert.models import ModelOptions
from smoothcert.progress import duration
from smoothcert.spec import Reading
from smoothcert.training.checkpoint import save, write_log
from smoothcert.training.gaussian import train
from smoothcert.training.settings import EpochReport, TrainingSettings
from smoothcert.training.start import Start, tuned


@dataclass(frozen=True)
class Wanted:
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


def train_and_report(wanted: Wanted, settings: TrainingSettings) -> int:
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
    _say_next(wanted, settings)
    return 0


def _check(wanted: Wanted) -> None:
    if wanted.out.suffix != ".safetensors":
        raise ModelError(f"--out: expected a file name ending in .safetensors, got {wanted.out}.")
    if wanted.out.exists():
        raise ModelError(f"--out: {wanted.out} exists, and weights are never overwritten. Choose another name.")
    if wanted.weights and not wanted.start:
        raise ModelError("--weights belongs to --from package.module:factory; name the factory, or leave it out.")


def _start(wanted: Wanted, images: ImageSet, settings: TrainingSettings) -> Start | None:
    if wanted.start is None:
        return None
    options = ModelOptions(
        arch=settings.arch,
        weights=wanted.weights,
        num_classes=images.num_classes,
        in_channels=images.shape[0],
    )
    return tuned(images, wanted.start, options)


def _say_next(wanted: Wanted, settings: TrainingSettings) -> None:
    tell(f"Weights: {wanted.out}; log of the epochs: {wanted.log}")
    code = wanted.start is not None and ":" in wanted.start
    model = f"{wanted.start} --weights {wanted.out}" if code else f"{wanted.out}"
    tell(f"Next: smoothcert certify --model {model} --data ... --sigma {settings.sigma:g} --out RUN")


def _in_words(reports: list[EpochReport]) -> str:
    """The last epoch, and the time left at the pace of the middle one: a machine may have slept through another."""
    epoch = reports[-1]
    held = "" if epoch.noisy is None else f", held out {epoch.noisy:.1%} ({epoch.clean:.1%} without noise)"
    left = duration(median(report.seconds for report in reports) * (epoch.epochs - epoch.epoch))
    return (
        f"epoch {epoch.epoch}/{epoch.epochs}: loss {epoch.loss:.3f}, under noise {epoch.accuracy:.1%} right{held}; "
        f"{epoch.seconds:.0f} s, about {left} left"
    )
