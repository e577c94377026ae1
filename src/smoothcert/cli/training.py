"""What `train` does once its settings are read: load, train with progress, save, say what is next."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from smoothcert.cli.terminal import tell
from smoothcert.data import load_images
from smoothcert.errors import ModelError
from smoothcert.training.gaussian import train
from smoothcert.training.saving import save
from smoothcert.training.settings import EpochReport, TrainingSettings


def train_and_report(data: str, settings: TrainingSettings, out: Path) -> int:
    """Train, save, and print one line an epoch; return the exit status."""
    if out.suffix != ".safetensors":
        raise ModelError(f"--out: expected a file name ending in .safetensors, got {out}.")
    if out.exists():
        raise ModelError(f"--out: {out} exists, and weights are never overwritten. Choose another name.")
    images = load_images(data)
    console = Console(stderr=True, highlight=False)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{settings.arch}, sigma {settings.sigma:g}", total=settings.epochs)

        def show(epoch: EpochReport) -> None:
            bar.advance(task)
            console.print(_in_words(epoch), markup=False, soft_wrap=not console.is_terminal)

        module = train(images, settings, show)
    out.parent.mkdir(parents=True, exist_ok=True)
    save(module, settings, images, out)
    tell(f"Weights: {out}")
    tell(f"Next: smoothcert certify --model {out} --data ... --sigma {settings.sigma:g} --out RUN")
    return 0


def _in_words(epoch: EpochReport) -> str:
    held = "" if epoch.holdout_accuracy is None else f", {epoch.holdout_accuracy:.1%} on images held out"
    left = epoch.seconds * (epoch.epochs - epoch.epoch)
    return (
        f"epoch {epoch.epoch}/{epoch.epochs}: loss {epoch.loss:.3f}, under noise {epoch.accuracy:.1%} right{held}; "
        f"{epoch.seconds:.0f} s, about {left:.0f} s left"
    )
