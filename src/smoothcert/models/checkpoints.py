"""Weights as data: safetensors and state dicts in, tensors and a card out. Nothing here runs a file's code.

State dicts are unpickled as data alone (`weights_only`), out of whatever training scripts wrap around them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from smoothcert.errors import ModelError
from smoothcert.formats.card import Card, card_from_json
from smoothcert.models.state import State, some

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
"""Exponential moving averages of the weights, which some frameworks save beside the weights."""
PREFIXES = ("module.", "_orig_mod.")
LONGEST = 300
_ADVICE = "save model.state_dict(), best as safetensors"


def read_checkpoint(data: bytes, path: Path) -> State:
    """The tensors of a state dict, or of a checkpoint that holds one.

    Args:
        data: the file's bytes; nothing in them is executed.
        path: its name, for messages.

    Raises:
        ModelError: damaged, it would execute code, it holds no state dict, or two that classify differently.
    """
    _check_unpacked(data, path)
    _check_names(data, path)
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes make the unpickler raise nearly anything
        raise ModelError(f"{path}: {_refusal(str(error)[:4000], type(error).__name__)}") from None
    return _tensors(_unwrapped(loaded, path), path)


def _check_unpacked(data: bytes, path: Path) -> None:
    """Refuse archives whose parts are packed: torch never packs them, and a small file could fill the memory."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            claimed = sum(part.file_size for part in archive.infolist())
    except Exception:  # no archive, or a damaged one: torch says what is wrong
        return
    if claimed > len(data):
        raise ModelError(
            f"{path}: a state dict as torch.save writes it is expected, but this file of {len(data):,} bytes claims to "
            f"hold {claimed:,}; {_ADVICE}."
        )


def _check_names(data: bytes, path: Path) -> None:
    """Refuse names of classes so long that torch's search for words in its own complaint would take hours."""
    try:
        for stream, count in _pickles(data):
            for code, named, _ in (step for _ in range(count) for step in pickletools.genops(stream)):
                if code.name in ("GLOBAL", "INST") and len(str(named)) > LONGEST:
                    raise ValueError("a name that no class has")
    except Exception as error:
        if not any(word in str(error) for word in ("exhausted", "unknown")):  # at these, torch ends at once as well
            raise ModelError(f"{path}: {_refusal('', type(error).__name__)}") from None


def _pickles(data: bytes) -> Iterator[tuple[io.BytesIO, int]]:
    """Streams of pickles and how many each begins with: an archive's one, or the five of torch's older format."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        yield io.BytesIO(data), 5
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if name.endswith(".pkl"):
                yield io.BytesIO(archive.read(name)), 1


def without_prefixes(state: State) -> State:
    """Names without what DataParallel and torch.compile put before them."""
    for prefix in PREFIXES * 2:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _refusal(message: str, kind: str) -> str:
    if "TorchScript" in message:
        return f"a state dict is expected, but this is a TorchScript archive, which is code; {_ADVICE}."
    found = re.search(r"(?:GLOBAL|function|class|type) ([\w.]+\.[\w.]+)", message)
    if found:
        return (
            f"a state dict of plain tensors is expected, but unpickling this file would call {found[1]}, "
            f"and so could run any code; {_ADVICE}."
        )
    return f"a readable state dict is expected, but it is damaged or something else ({kind}); {_ADVICE}."


def _unwrapped(loaded: Any, path: Path) -> Any:
    """The state dict itself, out of the checkpoint a training script wrapped around it."""
    while isinstance(loaded, Mapping):
        plain, averaged = (_wrapped(loaded, names) for names in (WRAPPERS, AVERAGED))
        if plain and averaged:
            raise ModelError(
                f"{path} holds weights ({plain}) and an average of them ({averaged}), which classify differently; "
                "save the one you mean alone, best as safetensors."
            )
        if not (plain or averaged):
            break
        loaded = loaded[plain or averaged]
    return loaded


def _wrapped(loaded: Mapping[Any, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if isinstance(loaded.get(name), Mapping) and loaded[name]), None)


def _tensors(loaded: Any, path: Path) -> State:
    if not isinstance(loaded, Mapping) or not loaded:
        raise ModelError(f"{path}: a state dict is expected, got {type(loaded).__name__}; save model.state_dict().")
    strangers = [str(key)[:200] for key, value in loaded.items() if not isinstance(value, torch.Tensor)]
    if strangers:
        raise ModelError(
            f"{path}: a state dict holds only tensors, but {some(strangers)} are something else; "
            "save model.state_dict() alone."
        )
    return {str(key): value for key, value in loaded.items()}


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
