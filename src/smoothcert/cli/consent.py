"""Consent to run code: what a person typed on the command line gives it, and nothing that a --config file says."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated

from cyclopts import Parameter

from smoothcert.config import Request
from smoothcert.engine.resources import Workers
from smoothcert.errors import InputError
from smoothcert.import_factory import FACTORY, Consent

Typed = Annotated[frozenset[str], Parameter(parse=False)]
"""The flags that were typed; those that a settings file gave are not among them."""
NOTHING: frozenset[str] = frozenset()


def consent_of(request: Request, typed: frozenset[str]) -> Consent:
    """Return what a person allows to be run.

    Args:
        request: the settings, from flags and file.
        typed: the flags.

    Raises:
        InputError: a settings file asks for trust.
    """
    if request.trust_model and "--trust-model" not in typed:
        raise InputError(
            "--config: trust_model is not read from a file, for a file never decides that code is run. Take it out of "
            "the file, and if you trust the classifier give --trust-model on the command line."
        )
    return Consent(model="--model" in typed, data="--data" in typed, trust=request.trust_model)


def check_cluster(workers: Workers, typed: frozenset[str]) -> None:
    """Refuse the address of a cluster that only a settings file names: whoever runs a cluster can run code here.

    Raises:
        InputError: there is such an address.
    """
    if workers.address and "--address" not in typed:
        raise InputError(
            "--config: address is not read from a file, for whoever runs a cluster can run code on its clients. Take "
            "it out of the file, and if you trust that cluster give --address on the command line."
        )


def typed_again(request: Request) -> str:
    """Return the flags that must be typed beside a settings file of this request, after a blank; "" for none."""
    if request.trust_model:
        return " --trust-model"
    named = {"model": request.model, "data": request.data}
    return flags({flag: name for flag, name in named.items() if FACTORY.fullmatch(name.replace("{sigma}", "0"))})


def flags(named: Mapping[str, str | None]) -> str:
    """Return flags as they are typed, each after a blank."""
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in named.items() if value)
