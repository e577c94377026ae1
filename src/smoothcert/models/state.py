"""Loading tensors into a module: names, shapes and types must match, and values must be finite."""

import hashlib
import re
import types
from dataclasses import replace
from functools import partial
from typing import TypeVar

import torch
from torch import nn

from smoothcert.errors import ModelError, printable
from smoothcert.models.classifier import Classifier, Denoiser

_FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, partial)
State = dict[str, torch.Tensor]
"""Tensors by name, as in a state dict."""
Part = TypeVar("Part", Classifier, Denoiser)


PREFIXES = ("model.", "net.", "module.", "_orig_mod.")
"""Prefixes that training frameworks add to the names of a network's tensors."""


def load_state(module: nn.Module, state: State, reference: str) -> None:
    """Load tensors into a module, in float32; names and shapes must match exactly.

    Half-precision values become the same values in float32. A prefix of `PREFIXES` that all names have is removed
    unless the module has a tensor of that name.

    Raises:
        ModelError: tensors are missing, unknown, of another shape or type, or not finite.
    """
    expected = module.state_dict()
    state = _without_prefixes(state, expected)
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    extra = [name for name in state if name not in expected]
    if missing or extra:
        raise ModelError(
            f"{reference}: the weights do not match the architecture: missing {first_names(missing)}, "
            f"unknown {first_names(extra)}; use the matching architecture or your own module:factory.",
            code="E-MODEL-080",
        )
    _assign(module, {name: _as_float32(name, tensor, expected[name], reference) for name, tensor in state.items()})


def state_sha256(module: nn.Module) -> str | None:
    """Return the hash ("sha256:...") of all tensors of the state dict, by name, dtype, shape and bytes.

    None if the state is not plain tensors, as in quantised TorchScript networks.
    """
    return tensors_sha256(module.state_dict())


def tensors_sha256(tensors: State) -> str | None:
    """Return the hash ("sha256:...") of tensors by name, dtype, shape and bytes; None if one is not a plain tensor."""
    digest = hashlib.sha256()
    try:
        for name, tensor in sorted(tensors.items()):
            flat = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {flat.dtype} {tuple(flat.shape)}\n".encode())
            digest.update(flat.reshape(-1).view(torch.uint8).numpy().tobytes())
    except (AttributeError, RuntimeError, TypeError):
        return None
    return f"sha256:{digest.hexdigest()}"


def with_state(part: Part) -> Part:
    """Return a classifier or denoiser that was just loaded, with its state and structure, by which changes are seen."""
    if isinstance(part, Classifier) and part.runtime is not None:
        return part
    return replace(part, state_sha256=state_sha256(part.module), structure=structure_of(part.module))


def structure_of(module: nn.Module) -> str:
    """Return what a module is besides its tensors: its parts as they print, and the code that was added to them."""
    return f"{module!r} {code_of_objects(module)}"


def code_of_objects(module: nn.Module) -> list[tuple[str, int, list[str]]]:
    """Return which parts of a module have code besides that of their classes: name, number of hooks, functions.

    A hook, or a function that is set on an object, such as another ``forward``, can change what a module computes
    without changing a tensor.
    """
    found = []
    for name, part in module.named_modules():
        functions = sorted(key for key, value in vars(part).items() if isinstance(value, _FUNCTIONS))
        found.append((name, len(part._forward_hooks) + len(part._forward_pre_hooks), functions))
    return [each for each in found if any(each[1:])]


def as_it_is(part: Part) -> Part:
    """Return a classifier or denoiser without its hashes, and no longer named as a file, if it was changed.

    Tensors and structure are compared with those that were loaded; a part that was not loaded is returned unchanged.
    With another structure it is no longer built in.
    """
    if part.structure is None:
        return part
    same = part.structure == structure_of(part.module)
    if same and part.state_sha256 == state_sha256(part.module):
        return part
    found = replace(
        part, reference=f"{part.reference}, changed", sha256="", state_sha256=None, source_sha256=None, structure=None
    )
    if same:
        return found
    found = replace(found, arch=None)
    return found if isinstance(found, Denoiser) else replace(found, built_in=False)


def find_tensor(state: State, name: str) -> torch.Tensor | None:
    """Return the tensor of a name, with or without prefixes, or None."""
    before = "|".join(map(re.escape, PREFIXES))
    return next((tensor for key, tensor in state.items() if re.fullmatch(f"(?:{before})*{re.escape(name)}", key)), None)


def _without_prefixes(state: State, expected: State) -> State:
    for prefix in PREFIXES * 2:
        if state and all(name.startswith(prefix) and name not in expected for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _as_float32(name: str, tensor: torch.Tensor, expected: torch.Tensor, reference: str) -> torch.Tensor:
    """Return the tensor in float32 (counters stay integers); raise ModelError if it does not match."""
    if tensor.shape != expected.shape:
        raise ModelError(
            f"{reference}: {name} must have shape {tuple(expected.shape)}, got {tuple(tensor.shape)}; "
            "check the architecture and the numbers of classes and channels.",
            code="E-MODEL-081",
        )
    if not expected.is_floating_point():
        return tensor.to(expected.dtype)
    if not tensor.is_floating_point():
        raise ModelError(
            f"{reference}: {name} must be {expected.dtype}, got {tensor.dtype}; save it unquantised.",
            code="E-MODEL-082",
        )
    tensor = tensor.float()
    if not bool(torch.isfinite(tensor).all()):
        raise ModelError(
            f"{reference}: {name} contains values that are not finite; train or save it again.", code="E-MODEL-083"
        )
    return tensor


def _assign(module: nn.Module, state: State) -> None:
    expected = module.state_dict()
    tracked = {name: torch.zeros((), dtype=torch.int64) for name in expected if name not in state}
    without_memory = any(tensor.is_meta for tensor in expected.values())
    module.load_state_dict({**tracked, **state}, strict=True, assign=without_memory)
    module.float()


def first_names(names: list[str]) -> str:
    """Return the first three names, and how many more there are.

    >>> first_names(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    shown = ", ".join(printable(name[:80]) for name in names[:3]) or "none"
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
