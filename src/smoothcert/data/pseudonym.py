"""Patients become pseudonyms: images of one patient share a group, and nobody who reads a run can tell which patient.

A pseudonym is HMAC-SHA256 of the Patient ID under a secret salt, its first 16 hexadecimal digits. Without the salt it
cannot be found by hashing all likely IDs, which are few. The salt must be the same when a run is resumed, or the groups
would be others; and it must not lie in the run directory, which is handed on together with the pseudonyms. So it is a
file of the user's own, ``$XDG_CONFIG_HOME/smoothcert/salt`` (``~/.config/smoothcert/salt``), 32 random bytes that
only they can read, made on first use; or the environment variable ``SMOOTHCERT_SALT``, where several people or machines
must get the same pseudonyms.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path

from smoothcert.errors import DataError

VARIABLE = "SMOOTHCERT_SALT"
SIZE, SHORTEST, DIGITS = 32, 16, 16
"""Bytes of a salt; characters that one in the environment has at least; digits of a pseudonym."""


def pseudonym(patient: str) -> str | None:
    """16 hexadecimal digits for a Patient ID; None for an empty one.

    Raises:
        DataError: there is no salt to be had.
    """
    if not patient:
        return None
    key = _salt(os.environ.get(VARIABLE), _place())
    return hmac.new(key, patient.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:DIGITS]


def _place() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "smoothcert" / "salt"


@cache
def _salt(stated: str | None, place: Path) -> bytes:
    if stated is not None:
        if len(stated) < SHORTEST:
            raise DataError(f"{VARIABLE} must have {SHORTEST} characters or more, got {len(stated)}; lengthen it.")
        return stated.encode()
    try:
        if not place.exists():
            _make(place)
        salt, mode = place.read_bytes(), place.stat().st_mode
    except OSError as error:
        raise DataError(
            f"{place}: the salt for patients' pseudonyms cannot be kept there ({error.strerror}); set {VARIABLE} to "
            f"{SHORTEST} or more random characters."
        ) from None
    if len(salt) != SIZE:
        raise DataError(f"{place}: {SIZE} random bytes are expected, got {len(salt)}; restore the file or remove it.")
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise DataError(f"{place}: others can read the salt for patients' pseudonyms; chmod 600 it.")
    return salt


def _make(place: Path) -> None:
    """Write a salt whole or not at all; of two processes that do so at once, the first one's is kept."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = place.with_name(f"salt.{os.getpid()}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_bytes(SIZE))
        os.fsync(handle)
        with suppress(FileExistsError):
            os.link(part, place)
    finally:
        os.close(handle)
        part.unlink()
