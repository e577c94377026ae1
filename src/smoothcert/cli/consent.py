"""Consent to run code: flags typed on the command line give it, a --config file never does."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated

from cyclopts import Parameter

from smoothcert.config import Declared, Request
from smoothcert.engine.resources import Workers
from smoothcert.errors import InputError
from smoothcert.import_factory import FACTORY, Consent

Typed = Annotated[frozenset[str], Parameter(parse=False)]
"""The flags that were typed, without those of a settings file."""
NOTHING: frozenset[str] = frozenset()


def consent_of(request: Request, typed: frozenset[str]) -> Consent:
    """Return which code the user allows to run.

    Args:
        request: the settings, from flags and file.
        typed: the flags that were typed.

    Raises:
        InputError: a settings file asks for trust.
    """
    if request.trust_model and "--trust-model" not in typed:
        raise InputError(
            "--config: trust_model is not read from a file, because a file never decides that code is run. Remove it "
            "from the file, and give --trust-model on the command line if you trust the classifier.",
            code="E-INPUT-005",
        )
    named = {name: f"--{name}" in typed for name in ("model", "data", "denoiser")}
    return Consent(**named, trust=request.trust_model)


def check_cluster(workers: Workers, typed: frozenset[str]) -> None:
    """Refuse the address of a cluster that only a settings file names: a cluster can run code on its clients.

    Raises:
        InputError: a settings file names an address.
    """
    if workers.address and "--address" not in typed:
        raise InputError(
            "--config: address is not read from a file, because a cluster can run code on its clients. Remove it from "
            "the file, and give --address on the command line if you trust the cluster.",
            code="E-INPUT-006",
        )


def typed_again(request: Request) -> str:
    """Return the flags that must be typed in addition to a settings file of this request, or ""."""
    if request.trust_model:
        return " --trust-model"
    named = {"model": request.model, "data": request.data, "denoiser": request.denoiser or ""}
    return flags({flag: name for flag, name in named.items() if FACTORY.fullmatch(name.replace("{sigma}", "0"))})


def flags(named: Mapping[str, str | None]) -> str:
    """Return settings as flags as they are typed, each after a space."""
    return "".join(f" --{name.replace('_', '-')} {shlex.quote(value)}" for name, value in named.items() if value)


def declared_flags(declared: Declared) -> str:
    """Return what was declared about the input of a classifier as flags as they are typed, each after a space."""
    numbers = {"input-range": declared.input_range, "mean": declared.mean, "std": declared.std}
    shown = "".join(f" --{name}={','.join(f'{v:.15g}' for v in values)}" for name, values in numbers.items() if values)
    return shown + flags({"layout": declared.layout, "channels": declared.channels, "output": declared.output})
