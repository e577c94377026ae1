"""Training of a denoiser for frozen classifiers (Salman, Sun, Yang, Kapoor and Kolter, NeurIPS 2020, arXiv:2003.01908).

Objectives: the squared error of the image (Zhang et al., IEEE TIP 2017, arXiv:1608.03981), and stability, the
cross-entropy between what a frozen classifier returns for the denoised and for the clean image. The targets are its
probabilities instead of its class, as in distillation (Hinton, Vinyals and Dean, 2015, arXiv:1503.02531), so images
need no labels. Several classifiers make a denoiser that serves others, which are never asked for a gradient.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from scipy.special import ndtri
from torch import Tensor, nn
from torch.nn import functional as F

from smoothcert.data.dataset import ImageSet
from smoothcert.errors import ModelError
from smoothcert.formats.card import DenoiserCard
from smoothcert.models import Classifier, Denoiser
from smoothcert.models.checkpoints import save_weights
from smoothcert.models.denoisers.unet import build_denoiser
from smoothcert.models.state import load_state
from smoothcert.training.batches import Pool, epoch_rows, flipped_and_rotated, noise_levels, pool_of
from smoothcert.training.checkpoint import Checkpoint, Identity, load_checkpoint, part, reports_of, save_checkpoint
from smoothcert.training.settings import DEFAULT_DENOISER, DenoiserReport, DenoiserSettings
from smoothcert.training.targets import Target, left_as_found, targets_of
from smoothcert.training.trainer import (
    SMALLEST,
    check_device,
    disagreement,
    finite_mean,
    one_cycle,
    parameter_groups,
    precision,
    seed_of,
    training_and_holdout,
)

MODEL, AVERAGE, FIRST, SECOND = "model.", "average.", "first.", "second."
"""Prefixes of tensors in a checkpoint: weights, their moving average, and AdamW's moments."""
ESTIMATED, SAMPLES = 128, 64
"""Held-out images, and noise samples of each, for an estimate of certified accuracy."""
RADII = {"certified_025": 0.25, "certified_05": 0.5, "certified_1": 1.0}
"""L2 radii of that estimate, by their fields of the report."""
AT_ONCE = 256
"""Images per forward pass where nothing is trained."""


class DenoiserTrainer:
    """The network, its moving average and the optimiser's state between epochs."""

    def __init__(
        self,
        pools: tuple[Pool, Pool],
        settings: DenoiserSettings,
        targets: Sequence[Target],
        labelled: bool,
        start: Denoiser | None = None,
    ) -> None:
        pool, holdout = pools
        self.pool, self.holdout, self.settings, self.targets = pool, holdout, settings, targets
        channels, arch = pool.images.shape[-1], settings.arch or DEFAULT_DENOISER
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.module = build_denoiser(arch, channels).to(settings.device)
        if start is not None:
            self.module.load_state_dict(start.module.state_dict())
        self.average = build_denoiser(arch, channels).to(settings.device).eval().requires_grad_(False)
        self.average.load_state_dict(self.module.state_dict())
        groups = parameter_groups(self.module, settings.weight_decay)
        self.optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate)
        self.batches = max(len(pool) // settings.batch_size, 1)
        self.step_count = 0
        self.labelled = labelled
        self.right = holdout.labels if labelled or not targets else self._answers(holdout)

    def checkpoint(self, reports: list[DenoiserReport]) -> Checkpoint:
        """Return the state that the next epoch needs."""
        tensors = {f"{MODEL}{name}": tensor for name, tensor in self.module.state_dict().items()}
        tensors |= {f"{AVERAGE}{name}": tensor for name, tensor in self.average.state_dict().items()}
        for i, parameter in enumerate(self._parameters()):
            state = self.optimiser.state[parameter]
            if state:
                tensors |= {f"{FIRST}{i}": state["exp_avg"], f"{SECOND}{i}": state["exp_avg_sq"]}
        return Checkpoint(tensors, [asdict(report) for report in reports])

    def resume(self, checkpoint: Checkpoint | None) -> list[DenoiserReport]:
        """Load a checkpoint, if there is one, and return the reports of the completed epochs."""
        if checkpoint is None:
            return []
        reports = reports_of(checkpoint, DenoiserReport, self.settings.epochs)
        load_state(self.module, part(checkpoint.tensors, MODEL), "the checkpoint")
        load_state(self.average, part(checkpoint.tensors, AVERAGE), "the checkpoint")
        self.step_count = len(checkpoint.log) * self.batches
        for i, parameter in enumerate(self._parameters()):
            if f"{FIRST}{i}" in checkpoint.tensors:
                self.optimiser.state[parameter] = {
                    "step": torch.tensor(float(self.step_count)),
                    "exp_avg": checkpoint.tensors[f"{FIRST}{i}"].to(parameter),
                    "exp_avg_sq": checkpoint.tensors[f"{SECOND}{i}"].to(parameter),
                }
        return reports

    def run_epoch(self, epoch: int) -> DenoiserReport:
        """Train one epoch, and measure on the held-out images."""
        started, settings = time.perf_counter(), self.settings
        with torch.random.fork_rng(devices=[]):
            loss, mse = self._epoch(epoch)
        every = settings.estimate_every
        estimated = epoch == settings.epochs or (every > 0 and epoch % every == 0)
        return DenoiserReport(
            epoch=epoch,
            epochs=settings.epochs,
            rate=self.optimiser.param_groups[0]["lr"],
            loss=loss,
            mse=mse,
            **self._measured(),
            **(self._estimated() if estimated else dict.fromkeys(RADII)),
            seconds=time.perf_counter() - started,
        )

    def _epoch(self, epoch: int) -> tuple[float, float]:
        """Train on the pool once; return mean loss and mean squared error."""
        generator = torch.Generator(self.settings.device).manual_seed(seed_of(self.settings.seed, epoch))
        torch.manual_seed(seed_of(self.settings.seed, epoch))
        self.module.train()
        losses, errors = [], []
        for rows in epoch_rows(len(self.pool), self.settings.batch_size, generator):
            loss, error = self.step(self.pool.take(rows), epoch, generator)
            losses.append(loss)
            errors.append(error)
        return finite_mean(losses), sum(errors) / len(errors)

    def step(self, batch: Pool, epoch: int, generator: torch.Generator) -> tuple[float, float]:
        """Take one step on a batch; return the loss and the mean squared error."""
        self._set_rate()
        objective, samples = self.settings.objective_at(epoch), self.settings.samples_at(epoch)
        stored = flipped_and_rotated(batch.images) if self.settings.augment == "turns" else batch.images
        clean, noisy, level = self._noisy(batch, torch.cat([stored] * samples), generator)
        with precision(self.settings):
            images = self.module(noisy, level)
            error = F.mse_loss(images.float(), clean)
            loss = error
            if objective != "mse":
                loss = self._stability(images, clean[: len(stored)])
                loss = loss + self.settings.mse_weight * error if objective == "both" else loss
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters(), 1.0)
        self.optimiser.step()
        self._update_average()
        return float(loss.detach()), float(error.detach())

    def _stability(self, images: Tensor, clean: Tensor) -> Tensor:
        """Return the mean cross-entropy to the targets' probabilities on clean images, plus weighted disagreement.

        Args:
            images: denoised images (samples * n, C, H, W), the n images of each sample in turn.
            clean: the clean images (n, C, H, W).
        """
        losses, samples = [], len(images) // len(clean)
        for target in self.targets:
            if not target.differentiable:
                continue
            with torch.no_grad():
                expected = target.logits(clean).softmax(1)
            logs = F.log_softmax(target.logits(images), 1).reshape(samples, len(clean), -1)
            loss = -(expected * logs).sum(2).mean()
            if samples > 1:
                mean = logs.exp().mean(0).clamp_min(SMALLEST)
                loss = loss + self.settings.consistency * disagreement(mean, logs)
            losses.append(loss)
        return torch.stack(losses).mean()

    def _noisy(self, pool: Pool, stored: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return clean images, noisy images and noise levels: float (n, C, H, W) in [0, 1], and (n, 1, 1, 1)."""
        clean = pool.unit(stored)
        found = noise_levels(self.settings, len(stored), generator)
        level = torch.full((len(stored), 1, 1, 1), found) if isinstance(found, float) else found
        level = level.to(clean.device)
        noise = torch.randn(clean.shape, generator=generator, device=clean.device)
        return clean, clean + level * noise, level

    def _update_average(self) -> None:
        """Move the average towards the weights; early on faster, so that it forgets the first ones."""
        decay = min(self.settings.average, self.step_count / (self.step_count + 9)) if self.settings.average else 0.0
        pairs = zip(self.average.state_dict().values(), self.module.state_dict().values(), strict=True)
        with torch.no_grad():
            for mean, now in pairs:
                mean.lerp_(now, 1 - decay) if mean.is_floating_point() else mean.copy_(now)

    def _measured(self) -> dict[str, float | None]:
        """Measure the averaged weights on the held-out images, with the same noise in every call."""
        found: dict[str, float | None] = dict.fromkeys(("psnr", "psnr_noisy", "alone", "clean", "noisy"))
        generator = torch.Generator(self.settings.device).manual_seed(self.settings.seed + 1)
        sigma, sums = float(self.settings.sigma), defaultdict[str, float](float)
        with torch.inference_mode(), precision(self.settings):
            for start in range(0, len(self.holdout), AT_ONCE):
                right = self.right[start : start + AT_ONCE]
                clean = self.holdout.unit(self.holdout.images[start : start + AT_ONCE])
                noisy = clean + sigma * torch.randn(clean.shape, generator=generator, device=clean.device)
                denoised = self.average(noisy, sigma).float()
                for name, images in (("psnr", denoised), ("psnr_noisy", noisy)):
                    sums[name] += float(((images - clean) ** 2).mean((1, 2, 3)).sum())
                classified = {"clean": self.average(clean, sigma), "noisy": denoised} if self.targets else {}
                if self.targets and self.labelled:
                    classified["alone"] = clean
                for name, images in classified.items():
                    sums[name] += float((self.targets[0].logits(images).argmax(1) == right).sum())
        for name, total in sums.items():
            share = total / len(self.holdout)
            found[name] = -10 * math.log10(max(share, 1e-12)) if name.startswith("psnr") else share
        return found

    def _estimated(self) -> dict[str, float | None]:
        """Return the share of held-out images whose votes suggest a certificate at each of `RADII`."""
        images = self.holdout.images[:ESTIMATED]
        if not len(images) or not self.targets:
            return dict.fromkeys(RADII)
        generator = torch.Generator(self.settings.device).manual_seed(self.settings.seed + 2)
        sigma, clean = float(self.settings.sigma), self.holdout.unit(images)
        votes = torch.zeros(len(clean), device=clean.device)
        with torch.inference_mode(), precision(self.settings):
            for _ in range(SAMPLES):
                noisy = clean + sigma * torch.randn(clean.shape, generator=generator, device=clean.device)
                votes += self.targets[0].logits(self.average(noisy, sigma)).argmax(1) == self.right[:ESTIMATED]
        radii = sigma * ndtri((votes.cpu().numpy() + 0.5) / (SAMPLES + 1))
        return {name: float((radii > radius).mean()) for name, radius in RADII.items()}

    def _answers(self, pool: Pool) -> Tensor:
        """Return the classes that the first classifier returns for clean images."""
        with torch.inference_mode():
            parts = [self.targets[0].logits(pool.unit(each)).argmax(1) for each in pool.images.split(AT_ONCE)]  # type: ignore[no-untyped-call]
        return torch.cat(parts) if parts else pool.labels

    def _set_rate(self) -> None:
        rate = one_cycle(self.step_count / (self.settings.epochs * self.batches)) * self.settings.learning_rate
        self.step_count += 1
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimiser.param_groups for parameter in group["params"]]


Progress = Callable[[DenoiserReport], None]


def train_denoiser(
    images: ImageSet,
    settings: DenoiserSettings,
    classifiers: Sequence[Classifier] = (),
    on_progress: Progress | None = None,
    checkpoint: Path | None = None,
    labelled: bool = True,
    start: Denoiser | None = None,
) -> nn.Module:
    """Train a denoiser for frozen classifiers; their weights are not changed.

    All random numbers of an epoch depend only on the seed and the number of the epoch, so that a resumed training ends,
    on the same machine, with the same weights as an uninterrupted one.

    Args:
        images: the training images.
        settings: of the training.
        classifiers: those behind the denoiser. Accuracies are measured with the first; those without gradients (ONNX)
            are only measured. With the objective mse there may be none.
        on_progress: called after every epoch; first for the epochs in the checkpoint.
        checkpoint: file that is written after every epoch, and from which an interrupted training is resumed.
        labelled: whether the labels of the images are known; they are only used to measure accuracy.
        start: the built-in denoiser whose weights the training starts from; None: new weights.

    Returns:
        The averaged denoiser in eval mode, float32 on the CPU; called as module(noisy, sigma) with float (n, C, H, W)
        in [0, 1] units.

    Raises:
        SpecError: CUDA is not available, there are too few images, no classifier has gradients, or the checkpoint
            belongs to another training.
        ModelError: a classifier does not fit the images, the checkpoint is damaged, the loss is not finite, or the
            denoiser to start from has another architecture.
    """
    check_device(settings)
    check_start(start, settings)
    settings = settings.with_defaults(None if start is None else start.arch)
    with left_as_found(classifiers):
        targets = targets_of(classifiers, images, settings)
        pools = training_and_holdout(pool_of(images, (0.0,), (1.0,), settings.device), settings)
        trainer = DenoiserTrainer(pools, settings, targets, labelled, start)
        origin = {"for": ", ".join(each.origin["sha256"] for each in targets)} if targets else {}
        origin |= {} if start is None else {"denoiser": start.sha256}
        identity = Identity(settings.as_dict(), images.sha256(), origin or None)
        reports = trainer.resume(load_checkpoint(checkpoint, identity)) if checkpoint else []
        if on_progress:
            for report in reports:
                on_progress(report)
        for epoch in range(len(reports) + 1, settings.epochs + 1):
            reports.append(trainer.run_epoch(epoch))
            if checkpoint:
                save_checkpoint(checkpoint, identity, trainer.checkpoint(reports))
            if on_progress:
                on_progress(reports[-1])
        return trainer.average.cpu()


def check_start(start: Denoiser | None, settings: DenoiserSettings) -> None:
    """Raise ModelError unless a training with these settings can start from the denoiser."""
    if start is None or (start.arch is not None and settings.arch in (None, start.arch)):
        return
    if start.arch is None:
        raise ModelError(
            f"--from: expected a denoiser of `smoothcert train-denoiser`, got {start.reference}; leave out --from.",
            code="E-MODEL-150",
        )
    raise ModelError(
        f"--from: {start.reference} is a {start.arch}, not a {settings.arch}; give --arch {start.arch}.",
        code="E-MODEL-151",
    )


def save_denoiser(
    module: nn.Module,
    settings: DenoiserSettings,
    images: ImageSet,
    path: Path,
    classifiers: Sequence[Classifier] = (),
    start: Denoiser | None = None,
) -> None:
    """Write a trained denoiser with its card as safetensors, atomically.

    Args:
        module: returned by `train_denoiser`.
        settings: of the training.
        images: of the training; their number and hash are written to the file.
        path: a new file ending in ``.safetensors``.
        classifiers: those for which it was trained.
        start: the denoiser whose weights the training started from.

    Raises:
        ModelError: the file exists, or it cannot be written.
    """
    settings = settings.with_defaults(None if start is None else start.arch)
    card = DenoiserCard(
        arch=settings.arch,
        in_channels=images.shape[0],
        sigma_low=float(settings.sigma_low or settings.sigma),
        sigma=float(settings.sigma),
        recipe={
            "settings": settings.as_dict(),
            "start": None if start is None else {"denoiser": start.reference, "sha256": start.sha256},
            "images": len(images),
            "images_sha256": images.sha256(),
            "for": [{"model": each.reference, "sha256": each.sha256} for each in classifiers],
        },
    )
    save_weights(module, card, path)
