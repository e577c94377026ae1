"""Putting tensors into a module: names, shapes and types must fit, and values must be finite."""

import hashlib
import re

import torch
from torch import nn

from smoothcert.errors import ModelError, printable

State = dict[str, torch.Tensor]
"""Tensors by name, as in a state dict."""


PREFIXES = ("model.", "net.", "module.", "_orig_mod.")
"""What training frameworks put before the names of a network inside a larger module."""


def load_state(module: nn.Module, state: State, reference: str) -> None:
    """Put tensors into a module, in float32; names and shapes must match exactly.

    Half-precision values become the same values in float32. A prefix of `PREFIXES` that all names have is taken off
    where the module knows none of them with it.

    Raises:
        ModelError: naming the first tensors that are missing, left over, of another shape or not finite.
    """
    wanted = module.state_dict()
    state = _renamed(state, wanted)
    missing = [name for name in wanted if name not in state and not name.endswith("num_batches_tracked")]
    extra = [name for name in state if name not in wanted]
    if missing or extra:
        raise ModelError(
            f"{reference}: the weights do not fit the architecture: missing {some(missing)}, "
            f"unknown {some(extra)}; give the matching architecture or your own module:factory."
        )
    _assign(module, {name: _fitting(name, tensor, wanted[name], reference) for name, tensor in state.items()})


def state_sha256(module: nn.Module) -> str | None:
    """The hash ("sha256:...") of every tensor of the state dict, by name, type, shape and bytes.

    None: the state is not plain tensors, as that of quantised networks of TorchScript.
    """
    digest = hashlib.sha256()
    try:
        for name, tensor in sorted(module.state_dict().items()):
            flat = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {flat.dtype} {tuple(flat.shape)}\n".encode())
            digest.update(flat.reshape(-1).view(torch.uint8).numpy().tobytes())
    except (AttributeError, RuntimeError, TypeError):
        return None
    return f"sha256:{digest.hexdigest()}"


def named(state: State, name: str) -> torch.Tensor | None:
    """The tensor of a name, with or without prefixes before it, or None."""
    before = "|".join(map(re.escape, PREFIXES))
    return next((tensor for key, tensor in state.items() if re.fullmatch(f"(?:{before})*{re.escape(name)}", key)), None)


def _renamed(state: State, wanted: State) -> State:
    for prefix in PREFIXES * 2:
        if state and all(name.startswith(prefix) and name not in wanted for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _fitting(name: str, tensor: torch.Tensor, wanted: torch.Tensor, reference: str) -> torch.Tensor:
    """The tensor in float32 (counters stay integers), if it can stand where it is wanted."""
    if tensor.shape != wanted.shape:
        raise ModelError(
            f"{reference}: {name} must have shape {tuple(wanted.shape)}, got {tuple(tensor.shape)}; "
            "check the architecture and the numbers of classes and channels."
        )
    if not wanted.is_floating_point():
        return tensor.to(wanted.dtype)
    if not tensor.is_floating_point():
        raise ModelError(f"{reference}: {name} must be {wanted.dtype}, got {tensor.dtype}; save it unquantised.")
    tensor = tensor.float()
    if not bool(torch.isfinite(tensor).all()):
        raise ModelError(f"{reference}: {name} holds values that are not finite; train or save it again.")
    return tensor


def _assign(module: nn.Module, state: State) -> None:
    wanted = module.state_dict()
    tracked = {name: torch.zeros((), dtype=torch.int64) for name in wanted if name not in state}
    without_memory = any(tensor.is_meta for tensor in wanted.values())
    module.load_state_dict({**tracked, **state}, strict=True, assign=without_memory)
    module.float()


def some(names: list[str]) -> str:
    """The first three names, and how many more there are.

    >>> some(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    shown = ", ".join(printable(name[:80]) for name in names[:3]) or "none"
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
