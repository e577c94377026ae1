"""Loading denoisers: one reference in, one `Denoiser` out. Loading a file never runs code in it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn

from smoothcert.config import ModelConfig
from smoothcert.errors import ModelError, printable
from smoothcert.formats.card import adaptation
from smoothcert.import_factory import FACTORY, Consent, not_named, source_sha256, working_directory_importable
from smoothcert.models.adapters import frozen
from smoothcert.models.checkpoints import STATE_DICTS, read_weights
from smoothcert.models.classifier import UNIT, Denoiser
from smoothcert.models.denoisers.adapt import denoiser_of, hash_of
from smoothcert.models.denoisers.unet import DENOISERS, build_denoiser
from smoothcert.models.factory import call_factory
from smoothcert.models.resnet import channels_last
from smoothcert.models.state import find_tensor, load_state, with_state

FORMS = ("FILE.safetensors", "module:factory [--denoiser-weights FILE]", "diffusers:FOLDER")
"""The forms of `--denoiser`, as messages list them."""


@dataclass(frozen=True)
class DenoiserOptions:
    """Settings of a denoiser besides its reference.

    Args:
        weights: weights file for ``module:factory``, or None.
        value_range: lowest and highest pixel value of the images it takes and returns, or None: as declared, else
            [0, 1].
        in_channels: number of channels of the data, or None if not known.
        named: True if a person named the denoiser, in Python or on the command line; False if a file did, which may
            never name code.
    """

    weights: str | None = None
    value_range: tuple[float, float] | None = None
    in_channels: int | None = None
    named: bool = True

    @classmethod
    def of(cls, config: ModelConfig, weights: str | None, in_channels: int, consent: Consent) -> DenoiserOptions:
        """Return the options of a run's settings.

        Args:
            config: the settings.
            weights: their weights file, with ``{sigma}`` replaced.
            in_channels: number of channels of the data.
            consent: what may be run.
        """
        span = config.denoiser_range
        return cls(
            weights=weights,
            value_range=None if span is None else (span[0], span[1]),
            in_channels=in_channels,
            named=consent.denoiser or consent.trust,
        )


def load_denoiser(reference: str, options: DenoiserOptions | None = None) -> Denoiser:
    """Load the denoiser of a reference.

    Args:
        reference: ``FILE.safetensors`` of a built-in denoiser, ``module:factory`` (a function of the user's code that
            returns the module, see `denoiser_of`), or ``diffusers:FOLDER`` (see `read_diffusers`); without ``{sigma}``.
        options: further settings.

    Raises:
        ModelError: an unknown form, a denoiser that cannot be used, or code that was named by a file.
        MissingExtraError: the package that reads this form is not installed.
    """
    return with_state(_loaded(reference, options or DenoiserOptions()))


def _loaded(reference: str, options: DenoiserOptions) -> Denoiser:
    if reference.startswith("diffusers:") and len(reference) > len("diffusers:"):
        from smoothcert.models.denoisers.diffusion import read_diffusers

        return read_diffusers(reference.partition(":")[2], options.value_range)
    if reference.endswith((".safetensors", *STATE_DICTS)):
        return _built_in(reference, options)
    if factory := FACTORY.fullmatch(reference):
        if not options.named:
            raise not_named(reference, ModelError)
        return _own(factory["module"], factory["factory"], options)
    raise ModelError(
        f"{printable(reference)} is not a supported denoiser; --denoiser takes {' or '.join(FORMS)}.",
        code="E-MODEL-119",
    )


def load_built_in_denoiser(path: str, flag: str, in_channels: int) -> Denoiser:
    """Load a denoiser of `smoothcert train-denoiser`; no code is run.

    Args:
        path: ``FILE.safetensors``.
        flag: the flag that named it, for messages.
        in_channels: number of channels of the data.

    Raises:
        ModelError: it is none, or it cannot be used.
    """
    if not path.endswith((".safetensors", *STATE_DICTS)) or read_weights(path).denoiser is None:
        raise ModelError(
            f"{flag}: expected FILE.safetensors from `smoothcert train-denoiser`, got {printable(path)}; other "
            "denoisers are only for `certify` and the verbs around it.",
            code="E-MODEL-196",
        )
    return _built_in(path, DenoiserOptions(in_channels=in_channels))


def _built_in(path: str, options: DenoiserOptions) -> Denoiser:
    weights = read_weights(path)
    card = weights.denoiser
    if card is None or card.arch not in DENOISERS:
        raise ModelError(
            f"{path} is not a denoiser of `smoothcert train-denoiser`. Give --denoiser package.module:factory "
            f"--denoiser-weights {path} for a network of your own.",
            code="E-MODEL-120",
        )
    if card.value_range != UNIT or card.takes_sigma is False:
        raise ModelError(
            f"{path}: the built-in denoiser {card.arch} takes images from 0 to 1 and the noise level, but the card "
            f"declares {', '.join(adaptation(card.value_range, card.takes_sigma is not False))}; correct the card, or "
            "train the denoiser again.",
            code="E-MODEL-197",
        )
    if options.weights is not None:
        raise ModelError(
            f"{path} is a weights file; leave out --denoiser-weights, which is for module:factory.", code="E-MODEL-121"
        )
    if options.value_range not in (None, UNIT):
        raise ModelError(f"{path} takes images from 0 to 1; leave out --denoiser-range.", code="E-MODEL-122")
    stem = find_tensor(weights.state, "stem.0.weight")
    channels = card.in_channels or (1 if stem is None or stem.ndim != 4 else max(1, (int(stem.shape[1]) - 1) // 4))
    if options.in_channels not in (None, channels):
        raise ModelError(
            f"{path} denoises images of {_channels(channels)}, but the images have {options.in_channels}. Train a "
            "denoiser on images like them.",
            code="E-MODEL-123",
        )
    with torch.device("meta"):  # the sizes in a hostile file must not fill the memory
        module = build_denoiser(card.arch, channels)
    load_state(module, weights.state, path)
    module = channels_last(module).eval().requires_grad_(False)
    return Denoiser(module, weights.sha256, path, card.arch, card.sigma_low, card.sigma)


def _own(module_name: str, factory_name: str, options: DenoiserOptions) -> Denoiser:
    reference = f"{module_name}:{factory_name}"
    with working_directory_importable():
        module = call_factory(module_name, factory_name, "--denoiser", {"in_channels": options.in_channels})
    weights = None if options.weights is None else read_weights(options.weights)
    if weights is not None:
        load_state(module, weights.state, str(options.weights))
    found = denoiser_of(frozen(module), reference, options.value_range, None if weights is None else weights.denoiser)
    sha256 = hash_of(found) if weights is None else weights.sha256
    return replace(found, sha256=sha256, source_sha256=source_sha256(module_name))


def custom_denoiser(reference: str, in_channels: int) -> nn.Module | Denoiser:
    """Return the denoiser of ``module:factory`` or ``diffusers:FOLDER``, for weights that a bundle holds.

    Raises:
        ModelError: another form, or one that cannot be loaded.
    """
    if reference.startswith("diffusers:"):
        return load_denoiser(reference)
    match = FACTORY.fullmatch(reference)
    if match is None:
        raise ModelError(
            f"--denoiser: expected package.module:factory or diffusers:FOLDER, got {reference!r}; the weights come "
            "from the bundle.",
            code="E-MODEL-143",
        )
    with working_directory_importable():
        return call_factory(match["module"], match["factory"], "--denoiser", {"in_channels": in_channels})


def _channels(count: int) -> str:
    return "1 channel" if count == 1 else f"{count} channels"
