"""`smoothcert check`: before anything is certified, whether classifier and images go together, and what looks wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from smoothcert.cli.consent import NOTHING, Typed, consent_of
from smoothcert.spec import Request

Flags = Annotated[Request, Parameter(name="*", negative="", consume_multiple=True)]


def check(
    *,
    request: Flags,
    train_data: str | None = None,
    out: Path | None = None,
    config: Path | None = None,
    typed: Typed = NOTHING,
) -> int:
    """Check classifier and images: will it work, does anything look wrong, how long will it take?

    Takes what `certify` takes. Looks at a few hundred images with and without noise, at the way they are fed, at both
    precisions and at batch sizes; writes nothing but the folder of --out. Exit status 1 if something looks wrong; each
    doubt names its remedy. `certify` does the short form of this by itself.

    Args:
        train_data: Images the classifier was trained on, named as for --data: images that occur in both are counted.
        out: Folder to create for a contact sheet: images of each class as stored and as noisy copies.
        config: YAML file with any of these settings; flags override it.
    """
    from smoothcert.cli.checking import check_and_report

    consent = consent_of(request, typed)
    return check_and_report(request, (train_data, "--train-data" in typed), out, consent)
