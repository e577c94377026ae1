"""What a worker and the process that writes the ledger tell each other: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from smoothcert import errors
from smoothcert.errors import SmoothcertError
from smoothcert.spec import Recipe, Request
from smoothcert.usercode import Consent


@dataclass(frozen=True)
class Job:
    """What every worker of a session is told once; the images come beside it.

    Attributes:
        spec: text of the locked `spec.json`.
        request: the request as it was resolved: same batch shape and kind of device, places of moved files.
        recipe: numeric recipe of the process that writes the ledger.
        folder: its working directory, from which file names and `module:factory` are understood.
        threads: of each worker.
        consent: what the person who started the session allows to be run.
    """

    spec: str
    request: Request
    recipe: Recipe
    folder: str
    threads: int
    consent: Consent


@dataclass(frozen=True)
class Ready:
    """A worker has loaded its classifiers and computes as the run does.

    Attributes:
        node: the machine it runs on, as its cluster names it.
        pid: its process there.
    """

    node: str
    pid: int


@dataclass(frozen=True)
class Wave:
    """Images decided in one wave.

    Attributes:
        lines: their ledger lines as text; the receiver reads and checks them.
        copies: noisy copies the worker has drawn so far at this noise level.
    """

    lines: tuple[str, ...]
    copies: int


@dataclass(frozen=True)
class Beat:
    """How far a worker is: copies its sampler has drawn, those of a wave on its way included."""

    copies: int


@dataclass(frozen=True)
class Refusal:
    """An error that a person must see, as the worker that met it would have said it.

    Attributes:
        kind: name of the error's class.
        text: its message.
    """

    kind: str
    text: str

    def error(self) -> SmoothcertError:
        """Return the error, to be raised.

        >>> Refusal("ModelError", "no classifier").error()
        ModelError('no classifier')
        """
        kind = getattr(errors, self.kind, SmoothcertError)
        known = isinstance(kind, type) and issubclass(kind, SmoothcertError) and "__init__" not in vars(kind)
        return kind(self.text) if known else SmoothcertError(self.text)


@dataclass(frozen=True)
class Died:
    """A worker is gone, with the images it had. `reason` says why, as far as it is known."""

    reason: str


@dataclass(frozen=True)
class Closed:
    """A worker has done all images of a noise level and expects the next level."""


Message = Ready | Wave | Beat | Refusal | Died | Closed


class Pool(Protocol):
    """Where workers are started, and how one talks to them; only `wait` waits."""

    def start(self, name: str) -> None:
        """Begin to start a worker; it says `Ready`, `Refusal` or `Died`, and nothing while no machine is free."""

    def open(self, name: str, sigma: float) -> None:
        """Have a worker sample one noise level; it says `Wave`s, then `Closed`."""

    def feed(self, name: str, sigma: float, indices: list[int], last: bool = False) -> None:
        """Give a worker more images of that level; after the last it closes the level."""

    def ask(self, name: str) -> None:
        """Ask a worker how far it is; it says `Beat`, unless it hangs."""

    def stop(self, name: str) -> None:
        """End a worker at once; nothing more is heard of it."""

    def wait(self, seconds: float) -> list[tuple[str, Message]]:
        """Return what workers said, waiting no longer than that for the first word."""
