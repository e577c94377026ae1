"""A diffusion model as a denoiser, in one step (Carlini et al., ICLR 2023, arXiv:2206.10550, algorithm 1).

A diffusion model denoises x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e, for images x_0 in [-1, 1] and standard normal e. An
image in [0, 1] with noise of standard deviation sigma is, in [-1, 1], x_0 + 2 sigma e, which is x_t / sqrt(a_t) at the
time step t where (1 - a_t) / a_t = (2 sigma)^2. So the noisy image is scaled by sqrt(a_t) of the nearest time step, and
x_0 follows from the network's output in closed form.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from smoothcert.errors import MissingExtraError, ModelError
from smoothcert.formats.card import ONE_STEP
from smoothcert.models.adapters import Wrapper, frozen
from smoothcert.models.checkpoints import read_bytes, sha256_of
from smoothcert.models.classifier import Denoiser
from smoothcert.models.denoisers.adapt import denoiser_of, hash_of


class OneStep(Wrapper):
    """The network of a diffusion model as a denoiser: takes images in [-1, 1] with noise of `sigma` in these units.

    Args:
        network: called as network(x_t, t); returns its prediction, or an object with an attribute ``sample``.
        alphas_cumprod: a_t of each time step, float (T,), decreasing; ``scheduler.alphas_cumprod`` in diffusers.
        prediction: what the network returns: the noise e ("epsilon"), the image x_0 ("sample"), or
            sqrt(a_t) e - sqrt(1 - a_t) x_0 ("v_prediction", Salimans and Ho, ICLR 2022, arXiv:2202.00512).

    Raises:
        ModelError: another kind of prediction, or a_t are not numbers between 0 and 1 that decrease.
    """

    smoothcert = {"value_range": (-1.0, 1.0), "takes_sigma": True}  # noqa: RUF012

    def __init__(self, network: nn.Module, alphas_cumprod: Tensor, prediction: str = "epsilon") -> None:
        super().__init__(network)
        if prediction not in ("epsilon", "sample", "v_prediction"):
            raise ModelError(
                f"expected a diffusion model that predicts epsilon, sample or v_prediction, got {prediction!r:.40}.",
                code="E-MODEL-126",
            )
        schedule = torch.as_tensor(alphas_cumprod, dtype=torch.float64).flatten()
        inside = bool(((schedule > 0) & (schedule < 1)).all())
        if not (len(schedule) and inside and bool((schedule.diff() < 0).all())):
            raise ModelError(
                "expected the cumulative products of a diffusion model's schedule, numbers between 0 and 1 that "
                "decrease, got other values.",
                code="E-MODEL-127",
            )
        self.prediction = prediction
        self.schedule: tuple[float, ...] = tuple(schedule.tolist())

    def step_of(self, sigma: float) -> int:
        """Return the time step whose noise is nearest to sigma (in units of [-1, 1]), on a logarithmic scale.

        >>> OneStep(nn.Identity(), torch.tensor([0.99, 0.8, 0.5, 0.2])).step_of(1.0)  # (1 - 0.5) / 0.5 = 1
        2
        """
        a = torch.tensor(self.schedule, dtype=torch.float64)
        return int((((1 - a) / a).log() - 2 * torch.tensor(sigma, dtype=torch.float64).log()).abs().argmin())

    def forward(self, x: Tensor, sigma: float) -> Any:
        """Return the denoised images, in [-1, 1].

        Args:
            x: float (n, C, H, W), images in [-1, 1] with noise added.
            sigma: noise level, in units of that range.
        """
        step = self.step_of(sigma)
        a = self.schedule[step]
        noisy = x * a**0.5
        found = self.inner(noisy, torch.full((len(x),), step, device=x.device))
        found = getattr(found, "sample", found)
        if not isinstance(found, Tensor):
            return found
        if self.prediction == "epsilon":
            found = (noisy - (1 - a) ** 0.5 * found) / a**0.5
        elif self.prediction == "v_prediction":
            found = a**0.5 * noisy - (1 - a) ** 0.5 * found
        return found.clamp(-1, 1)


def read_diffusers(folder: str, value_range: tuple[float, float] | None = None) -> Denoiser:
    """Load the unconditional UNet and the schedule of a pipeline folder of diffusers, such as DDPM.

    Only safetensors weights are read, and no code is taken from the folder. Other networks, such as conditional ones,
    are given as a ``module:factory`` that returns a `OneStep`.

    Args:
        folder: with ``unet/`` (a ``UNet2DModel``) and ``scheduler/scheduler_config.json``.
        value_range: must be (-1, 1) or None.

    Raises:
        MissingExtraError: diffusers is not installed.
        ModelError: there is no such pipeline in the folder, or it cannot be loaded.
    """
    reference, root = f"diffusers:{folder}", Path(folder)
    settings = (root / "unet" / "config.json", root / "scheduler" / "scheduler_config.json")
    if value_range not in (None, (-1.0, 1.0)):
        raise ModelError(f"{reference} takes images from -1 to 1; leave out --denoiser-range.", code="E-MODEL-128")
    if not all(file.is_file() for file in settings):
        raise ModelError(
            f"{reference}: expected a pipeline folder of diffusers with unet/config.json and "
            "scheduler/scheduler_config.json; check the path.",
            code="E-MODEL-129",
        )
    try:
        import diffusers
    except ImportError:
        raise MissingExtraError("A denoiser of diffusers", "diffusion") from None
    try:
        network: Any = diffusers.UNet2DModel.from_pretrained(
            root / "unet",
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,  # needs accelerate, whose absence diffusers reports at length
        )
        scheduler: Any = diffusers.DDPMScheduler.from_config(json.loads(settings[1].read_text(encoding="utf-8")))
    except Exception as error:  # the library raises many kinds of errors, also while it imports its parts
        message = (str(error).splitlines() or [type(error).__name__])[-1]
        raise ModelError(
            f"{reference} cannot be loaded ({type(error).__name__}: {message}). Save the pipeline with "
            "save_pretrained(FOLDER, safe_serialization=True), and install torch and torchvision from one source.",
            code="E-MODEL-130",
        ) from None
    if network.config.num_class_embeds is not None or network.config.out_channels != network.config.in_channels:
        raise ModelError(
            f"{reference}: expected an unconditional UNet2DModel that returns as many channels as it takes. Use a "
            "module:factory that returns a smoothcert.models.denoisers.diffusion.OneStep.",
            code="E-MODEL-131",
        )
    module = OneStep(network, scheduler.alphas_cumprod, scheduler.config.prediction_type)
    found = denoiser_of(frozen(module), reference)
    source = sha256_of("".join(sha256_of(read_bytes(file)) for file in settings).encode())
    return replace(found, sha256=hash_of(found), adapted=(ONE_STEP, *found.adapted), source_sha256=source)
