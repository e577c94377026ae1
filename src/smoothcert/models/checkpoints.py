"""Reading and writing weights: safetensors and state dicts. Loading a file never runs code in it.

State dicts are unpickled with `weights_only`, and extracted from the checkpoints that training scripts write.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.formats.card import (
    CLASSIFIER,
    DENOISER,
    Card,
    DenoiserCard,
    card_from_json,
    denoiser_card_from_json,
)
from smoothcert.models.state import State, first_names

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
"""Keys of exponential moving averages of the weights, which some frameworks save next to the weights."""
LONGEST = 300
_ADVICE = "save model.state_dict(), preferably as safetensors"


def read_checkpoint(data: bytes, path: Path) -> State:
    """Return the tensors of a state dict, or of a checkpoint that contains one.

    Args:
        data: the file's bytes; nothing in them is executed.
        path: its name, for messages.

    Raises:
        ModelError: the file is damaged, would execute code, or contains no state dict or two different ones.
    """
    _check_unpacked(data, path)
    _check_names(data, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # advice on pickle protocols
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises many kinds of errors on damaged files
        raise ModelError(f"{path}: {_refusal(str(error)[:4000], type(error).__name__)}", code="E-MODEL-026") from None
    return _tensors(_unwrapped(loaded, path), path)


def _check_unpacked(data: bytes, path: Path) -> None:
    """Raise ModelError if an archive is compressed: torch never does so, and a small file could fill the memory."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            claimed = sum(part.file_size for part in archive.infolist())
    except Exception:  # not an archive, or a damaged one: torch.load raises the error
        return
    if claimed > len(data):
        raise ModelError(
            f"{path}: expected a state dict written by torch.save, got a file of {len(data):,} bytes that declares "
            f"{claimed:,}; {_ADVICE}.",
            code="E-MODEL-027",
        )


def _check_names(data: bytes, path: Path) -> None:
    """Raise ModelError for very long class names: torch searches its own error message for them, which takes hours."""
    try:
        for stream, count in _pickles(data):
            for code, named, _ in (step for _ in range(count) for step in pickletools.genops(stream)):
                if code.name in ("GLOBAL", "INST") and len(str(named)) > LONGEST:
                    raise ValueError("a name that no class has")
    except Exception as error:
        if not any(word in str(error) for word in ("exhausted", "unknown")):  # torch stops at once at these, too
            raise ModelError(f"{path}: {_refusal('', type(error).__name__)}", code="E-MODEL-028") from None


def _pickles(data: bytes) -> Iterator[tuple[io.BytesIO, int]]:
    """Iterate over (stream, number of pickles at its start): one in an archive, five in torch's older format."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        yield io.BytesIO(data), 5
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if name.endswith(".pkl"):
                yield io.BytesIO(archive.read(name)), 1


def _refusal(message: str, kind: str) -> str:
    if "TorchScript" in message:
        return f"expected a state dict, got a TorchScript archive, which is code; {_ADVICE}."
    found = re.search(r"(?:GLOBAL|function|class|type) ([\w.]+\.[\w.]+)", message)
    if found:
        return (
            f"expected a state dict of plain tensors, but unpickling this file would call {found[1]}, which could run "
            f"any code; {_ADVICE}."
        )
    return f"expected a state dict, got a damaged file or another kind ({kind}); {_ADVICE}."


def _unwrapped(loaded: Any, path: Path) -> Any:
    """Return the state dict in the checkpoint of a training script."""
    while isinstance(loaded, Mapping):
        plain, averaged = (_wrapped(loaded, names) for names in (WRAPPERS, AVERAGED))
        if plain and averaged:
            raise ModelError(
                f"{path} contains weights ({plain}) and a moving average of them ({averaged}), which classify "
                "differently; save only one of them, preferably as safetensors.",
                code="E-MODEL-029",
            )
        if not (plain or averaged):
            break
        loaded = loaded[plain or averaged]
    return loaded


def _wrapped(loaded: Mapping[Any, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if isinstance(loaded.get(name), Mapping) and loaded[name]), None)


def _tensors(loaded: Any, path: Path) -> State:
    if not isinstance(loaded, Mapping) or not loaded:
        raise ModelError(
            f"{path}: expected a state dict, got {type(loaded).__name__}; save model.state_dict().", code="E-MODEL-030"
        )
    others = [str(key)[:200] for key, value in loaded.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise ModelError(
            f"{path}: expected a state dict of tensors, got other values in {first_names(others)}; save only "
            "model.state_dict().",
            code="E-MODEL-031",
        )
    return {str(key): value for key, value in loaded.items()}


STATE_DICTS = (".pt", ".pth", ".bin", ".ckpt", ".tar")


@dataclass(frozen=True)
class Weights:
    """The contents of a weights file.

    Args:
        state: tensors by name.
        sha256: "sha256:..." of the file's bytes.
        card: of a classifier.
        denoiser: the card of a denoiser; None: the file is not one that this package wrote for a denoiser.
    """

    state: State
    sha256: str
    card: Card = field(default_factory=Card)
    denoiser: DenoiserCard | None = None


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Read a ``.safetensors`` file or a state dict (`STATE_DICTS`).

    Raises:
        ModelError: no such file, another kind of file, a damaged file, or one that would execute code.
    """
    path = Path(path)
    if path.suffix != ".safetensors" and path.suffix not in STATE_DICTS:
        raise ModelError(
            f"{path}: expected weights in .safetensors or a state dict in {', '.join(STATE_DICTS)}.", code="E-MODEL-032"
        )
    data = read_bytes(path)
    if path.suffix != ".safetensors":
        return Weights(read_checkpoint(data, path), sha256_of(data))
    state, metadata = _tensors_of(data, path)
    card, denoiser = metadata.get(CLASSIFIER), metadata.get(DENOISER)
    return Weights(
        state,
        sha256_of(data),
        Card() if card is None else card_from_json(card, str(path)),
        None if denoiser is None else denoiser_card_from_json(denoiser, str(path)),
    )


def read_bytes(path: Path) -> bytes:
    """Read a file once, so that the bytes that are hashed are those that are loaded.

    Raises:
        ModelError: the file is missing, not a regular file, or cannot be read.
    """
    if path.exists() and not path.is_file():  # a pipe would never end
        raise ModelError(f"{path}: expected a regular file; check the path.", code="E-MODEL-033")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: the file cannot be read ({error.strerror}); check the path.", code="E-MODEL-034"
        ) from None


def sha256_of(data: bytes) -> str:
    """Return the hash ("sha256:...") of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def save_weights(module: nn.Module, card: Card | DenoiserCard, path: str | os.PathLike[str]) -> None:
    """Write a module's weights and card as safetensors, atomically.

    Raises:
        ModelError: the suffix is not ``.safetensors``, the file exists, or it cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ModelError(f"{path}: expected a name ending in .safetensors; choose such a name.", code="E-MODEL-035")
    if path.exists():
        raise ModelError(f"{path} exists; choose another name, or remove it first.", code="E-MODEL-036")
    entry = DENOISER if isinstance(card, DenoiserCard) else CLASSIFIER
    write_tensors(path, module.state_dict(), {entry: card.as_json()})


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and metadata as safetensors, atomically; an existing file is replaced.

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
        raise ModelError(f"{path}: the weights cannot be written ({error.strerror}).", code="E-MODEL-037") from None


def read_tensors(path: Path) -> tuple[State, dict[str, str]]:
    """Return the tensors and the metadata of a safetensors file.

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
    except Exception as error:  # the readers raise many kinds of errors on damaged files
        raise ModelError(
            f"{path}: expected a safetensors file, got a damaged or truncated one ({type(error).__name__}); copy or "
            "save it again.",
            code="E-MODEL-038",
        ) from None
    return state, metadata
