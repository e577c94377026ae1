"""Weights as data: safetensors and state dicts in, tensors and a card out. Nothing here runs a file's code."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.formats.card import Card, card_from_json
from smoothcert.models.checkpoint import read_checkpoint, without_prefixes
from smoothcert.models.state import State

STATE_DICTS = (".pt", ".pth", ".bin", ".ckpt", ".tar")


@dataclass(frozen=True)
class Weights:
    """Tensors by name, the card that came with them, and "sha256:..." of the file's bytes."""

    state: State
    card: Card
    sha256: str


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """The tensors of a ``.safetensors`` file or of a state dict (`STATE_DICTS`).

    Raises:
        ModelError: no such file, another kind of file, damaged, or it would execute code.
    """
    path = Path(path)
    if path.suffix != ".safetensors" and path.suffix not in STATE_DICTS:
        raise ModelError(f"{path}: weights are .safetensors or a state dict in {', '.join(STATE_DICTS)}.")
    data = read_bytes(path)
    if path.suffix == ".safetensors":
        state, card = _from_safetensors(data, path)
    else:
        state, card = read_checkpoint(data, path), Card()
    return Weights(without_prefixes(state), card, sha256_of(data))


def read_bytes(path: Path) -> bytes:
    """A file's bytes; they are read once, so that what is hashed is what is loaded.

    Raises:
        ModelError: the file is missing, no regular file, or cannot be read.
    """
    if path.exists() and not path.is_file():  # a pipe would never end
        raise ModelError(f"{path}: a regular file is expected; check the path.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: the file cannot be read ({error.strerror}); check the path.") from None


def sha256_of(data: bytes) -> str:
    """The hash ("sha256:...") of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def save_weights(module: nn.Module, card: Card, path: str | os.PathLike[str]) -> None:
    """Write a module's weights and card as safetensors, whole or not at all.

    Raises:
        ModelError: another ending than ``.safetensors``, the file exists already, or it cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ModelError(f"{path}: weights are saved under a name ending in .safetensors; choose such a name.")
    if path.exists():
        raise ModelError(f"{path} exists already; choose another name, or remove it first.")
    write_tensors(path, module.state_dict(), {"smoothcert": card.as_json()})


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and texts as safetensors, whole or not at all, over what was there.

    Raises:
        ModelError: it cannot be written.
    """
    from safetensors.torch import save

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    data: bytes = save(state, metadata=metadata)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        _write(beside, data)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ModelError(f"{path}: the weights cannot be written ({error.strerror}).") from None


def read_tensors(path: Path) -> tuple[State, dict[str, str]]:
    """The tensors and the texts of a safetensors file.

    Raises:
        ModelError: it is missing or damaged.
    """
    return _tensors_of(read_bytes(path), path)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _tensors_of(data: bytes, path: Path) -> tuple[State, dict[str, str]]:
    from safetensors.torch import load

    try:
        state: State = load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__") or {}
    except Exception as error:  # damaged bytes make the readers raise nearly anything
        raise ModelError(
            f"{path}: a readable safetensors file is expected, but it is damaged or cut short "
            f"({type(error).__name__}); copy or save it again."
        ) from None
    return state, metadata


def _from_safetensors(data: bytes, path: Path) -> tuple[State, Card]:
    state, metadata = _tensors_of(data, path)
    text = metadata.get("smoothcert")
    return state, Card() if text is None else card_from_json(text, str(path))
