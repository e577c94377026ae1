"""The base classifier in memory: a module or any callable, evaluated without changing its training flags."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import inspect
import sys
import textwrap
import types
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from smoothcert.errors import ModelError
from smoothcert.formats.spec import MINOR
from smoothcert.models import Classifier, Denoiser
from smoothcert.models.denoisers.adapt import denoiser_of
from smoothcert.models.denoisers.pipeline import denoised
from smoothcert.models.resnet import ResNet
from smoothcert.models.state import as_it_is, code_of_objects, tensors_sha256

Model = nn.Module | Callable[[Tensor], Tensor] | Classifier
DenoiserModel = nn.Module | Denoiser


class Function(nn.Module):
    """A callable as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        """Take any callable that maps a batch to logits."""
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Return what the callable returns."""
        return self.function(x)


def as_classifier(model: Model) -> Classifier:
    """Return a model as a classifier that declares nothing; return a classifier as it is now (`as_it_is`).

    Raises:
        ModelError: it is not callable.
    """
    if isinstance(model, Classifier):
        return as_it_is(model)
    if not callable(model):
        raise ModelError(
            f"Expected a torch.nn.Module, or a callable that maps a batch (n, C, H, W) to logits (n, classes), got "
            f"{type(model).__name__}. smoothcert.models.load_classifier reads files by name.",
            code="E-MODEL-090",
        )
    module = model if isinstance(model, nn.Module) else Function(model)
    own = type(model) is ResNet and not code_of_objects(model)
    return Classifier(module, None, None, (), (), "", type(model).__name__, own, arch=None, sigma=None)


def behind(denoiser: DenoiserModel | None, classifier: Classifier, sigma: float) -> Classifier:
    """Return a classifier behind a denoiser; without one, the classifier unchanged.

    Args:
        denoiser: a module, see `smoothcert.models.denoisers.adapt.denoiser_of`; moved to the device of the classifier.
        classifier: the classifier.
        sigma: noise level, in units of the [0, 1] range.

    Raises:
        ModelError: the denoiser is not a module.
    """
    if denoiser is None:
        return classifier
    check_is_denoiser(denoiser)
    known = as_it_is(denoiser) if isinstance(denoiser, Denoiser) else denoiser_of(denoiser, type(denoiser).__name__)
    known.module.to(device_of_module(classifier.module))
    return denoised(classifier, known, sigma)


def check_is_denoiser(denoiser: object) -> None:
    """Check that an object can be a denoiser.

    Raises:
        ModelError: it is neither a module nor a loaded denoiser.
    """
    if not isinstance(denoiser, nn.Module | Denoiser):
        raise ModelError(
            f"denoiser: expected a torch.nn.Module that maps noisy images to images, got {type(denoiser).__name__}. "
            "smoothcert.models.denoisers.load.load_denoiser reads files by name.",
            code="E-MODEL-132",
        )


_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_PLAIN = (bool, int, float, str, tuple, list, type(None))
_EXACT = (bool, int, float, complex, str, bytes, type(None), enum.Enum, np.generic, torch.dtype, torch.device)
_HEAP = 1 << 9
"""Flag of classes that were not compiled into Python (Py_TPFLAGS_HEAPTYPE)."""
_NOT_OF_USERS = {"torch", "smoothcert", *sys.stdlib_module_names} - {"__main__"}


def code_sha256(module: nn.Module, minor: int = MINOR) -> str:
    """Return the hash ("sha256:...") of what a module in memory computes, besides its state dict.

    What it cannot see, such as attributes of objects of other libraries, is left to the probe
    (`smoothcert.sampling.identity`).

    Args:
        module: the module.
        minor: minor version of the spec to which it is compared. Before 3, only plain attributes and the source of the
            class itself were hashed.

    Raises:
        ModelError: it is a function that uses more than its argument and imported modules.
    """
    if isinstance(module, Function):
        code = _function_code(module.function)
    else:
        code = _module_code(module, set()) if minor >= 3 else _module_code_before_3(module)
    return _sha256("\n".join(code).encode())


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _module_code(module: nn.Module, inside: set[int]) -> Iterator[str]:
    """Yield structure, attributes, hooks and buffers outside the state dict, then the code of the classes."""
    yield repr(module)
    classes: dict[type, None] = {}
    for name, part in module.named_modules():
        own = {key: value for key, value in vars(part).items() if key not in _OF_EVERY_MODULE}
        yield f"{name}: {sorted((key, _text(value, inside)) for key, value in own.items() if _counts(key, value))}"
        yield f"{tensors_sha256({key: part.get_buffer(key) for key in _outside(part)})}"
        yield f"{[_text(list(vars(part)[hooks].values()), inside) for hooks in _HOOKS]}"
        classes |= dict.fromkeys(kind for kind in type(part).__mro__ if _of_users(kind))
    for kind in classes:
        yield from _class_code(kind, inside)


def _outside(module: nn.Module) -> Iterator[str]:
    """Yield the names of buffers that are not in the state dict of a module."""
    for name, buffer in module.named_buffers(recurse=False):
        if name in module._non_persistent_buffers_set and buffer is not None:
            yield name


def _of_users(kind: type) -> bool:
    """Return whether a class is not of torch, whose version the numeric recipe has, of Python, or of this package."""
    executed = kind.__module__ == "builtins" and kind.__flags__ & _HEAP  # by exec, without a name of a module
    return bool(executed) or kind.__module__.partition(".")[0] not in _NOT_OF_USERS


def _counts(name: str, value: Any) -> bool:
    """Return whether an attribute counts: a private one that is no plain value or tensor may be a cache."""
    return not name.startswith("_") or isinstance(value, (*_PLAIN, Tensor))


def _class_code(kind: type, inside: set[int]) -> Iterator[str]:
    """Yield the source of a class, or the compiled code of its methods, and the values that these use."""
    with suppress(OSError, TypeError):
        yield textwrap.dedent(inspect.getsource(kind))
        for function in _methods(kind):
            yield from _used(function, inside)
        return
    yield kind.__qualname__  # typed into an interpreter or a notebook: no file has its source
    yield f"{sorted((key, _text(value, inside)) for key, value in vars(kind).items() if isinstance(value, _EXACT))}"
    for function in _methods(kind):
        yield _compiled(function.__code__)
        yield from _used(function, inside)


def _methods(kind: type) -> Iterator[types.FunctionType]:
    for name, found in sorted(vars(kind).items()):
        function = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
        if isinstance(function, types.FunctionType) and name != "__annotate__":
            yield function


def _compiled(code: types.CodeType) -> str:
    """Return the instructions of a function without names of files and numbers of lines."""
    constants = [_compiled(each) if isinstance(each, types.CodeType) else repr(each) for each in code.co_consts]
    return f"{code.co_name} {code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"


def _used(function: types.FunctionType, inside: set[int]) -> Iterator[str]:
    """Yield defaults, variables of enclosing functions, and constants and functions of its module that one uses."""
    yield _text([function.__defaults__, function.__kwdefaults__], inside)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # not set yet
            if name != "__class__":
                yield f"{name} = {_text(cell.cell_contents, inside)}"
    for name in sorted(_names(function.__code__)):
        value = function.__globals__.get(name)
        same_file = isinstance(value, types.FunctionType) and value.__module__ == function.__module__
        constant = isinstance(value, (*_EXACT, tuple, list, dict, set, frozenset, Tensor, np.ndarray))
        if value is not None and (same_file or constant) and _counts(name, value):
            yield f"{name} = {_text(value, inside)}"


def _names(code: types.CodeType) -> set[str]:
    """Return the names that a function looks up, also those of functions in it."""
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return set(code.co_names).union(*(_names(each) for each in inner))


def _text(value: Any, inside: set[int]) -> str:
    """Return a value as text that is the same in every process.

    Args:
        value: any value; of objects of other classes only the name of the class.
        inside: identities of the values around it, which are not entered again.
    """
    if isinstance(value, _EXACT):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, type | types.ModuleType):
        return value.__name__
    if id(value) in inside:
        return "..."
    inside.add(id(value))
    try:
        return f"{type(value).__qualname__} {_entered(value, inside)}"
    finally:
        inside.discard(id(value))


def _entered(value: Any, inside: set[int]) -> str:
    if isinstance(value, Tensor):
        return str(tensors_sha256({"": value}))
    if isinstance(value, np.ndarray):
        data = repr(value.tolist()).encode() if value.dtype == object else np.ascontiguousarray(value).tobytes()
        return f"{value.dtype} {value.shape} {_sha256(data)}"
    if isinstance(value, nn.Module):
        return _sha256("\n".join([*_module_code(value, inside), str(tensors_sha256(value.state_dict()))]).encode())
    if isinstance(value, Mapping):
        return f"{sorted((_text(key, inside), _text(each, inside)) for key, each in value.items())}"
    if isinstance(value, list | tuple):
        return f"{[_text(each, inside) for each in value]}"
    if isinstance(value, set | frozenset):
        return f"{sorted(_text(each, inside) for each in value)}"
    if isinstance(value, partial):
        return _text([value.func, value.args, value.keywords], inside)
    if isinstance(value, types.MethodType):
        return _text(value.__func__, inside)
    if isinstance(value, types.FunctionType):
        source = _compiled(value.__code__)
        with suppress(OSError, TypeError):
            source = textwrap.dedent(inspect.getsource(value))
        return f"{[source, *_used(value, inside)]}"
    if dataclasses.is_dataclass(value):
        return _text({each.name: getattr(value, each.name, None) for each in dataclasses.fields(value)}, inside)
    return _text(vars(value), inside) if isinstance(value, types.SimpleNamespace | Namespace) else ""


def _module_code_before_3(module: nn.Module) -> Iterator[str]:
    """Yield what specs of a minor version before 3 hashed."""
    yield repr(module)
    sources: dict[type, str] = {}
    for name, part in module.named_modules():
        own = {key: value for key, value in vars(part).items() if key not in _OF_EVERY_MODULE}
        yield f"{name}: {sorted((key, value) for key, value in own.items() if isinstance(value, _PLAIN))}"
        yield f"{tensors_sha256({key: value for key, value in own.items() if isinstance(value, Tensor)})}"
        kind = type(part)
        if kind.__module__.partition(".")[0] != "torch":  # torch itself is part of the recipe
            with suppress(OSError, TypeError):
                sources[kind] = textwrap.dedent(inspect.getsource(kind))
    yield from sources.values()


def _function_code(function: Any) -> Iterator[str]:
    """Yield the source of a function that computes with its argument and imported modules alone."""
    if inspect.isfunction(function) and not function.__defaults__ and not function.__kwdefaults__:
        used = inspect.getclosurevars(function)
        with suppress(OSError):
            if not used.nonlocals and all(map(inspect.ismodule, used.globals.values())):
                yield textwrap.dedent(inspect.getsource(function))
                return
    raise ModelError(
        f"{type(function).__name__}: expected a torch.nn.Module, or a function with source code that uses nothing but "
        "its argument and imported modules, so that the model can be recognised when the run is resumed. Put what it "
        "computes into the forward method of a torch.nn.Module, with its networks as submodules.",
        code="E-MODEL-021",
    )


def device_of_module(module: nn.Module) -> torch.device:
    """Return the device of the weights of a module; the CPU if it has none."""
    tensor = next(chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def check_parameters(classifier: Classifier) -> None:
    """Check that the sampler can run the weights.

    Raises:
        ModelError: they are on a device other than CPU or CUDA, or not in float32.
    """
    device = device_of_module(classifier.module)
    if device.type not in ("cpu", "cuda"):
        raise ModelError(
            f"Expected the classifier on cpu or cuda, found it on {device}. Move it with g.to('cpu').",
            code="E-MODEL-091",
        )
    kinds = {each.dtype for each in classifier.module.parameters() if each.is_floating_point()} - {torch.float32}
    if kinds and classifier.runtime is None:
        raise ModelError(
            f"Expected float32 parameters, found {', '.join(sorted(map(str, kinds)))}. Keep the weights in float32 "
            "and pass precision='bf16' or 'fp16'.",
            code="E-MODEL-092",
        )


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Keep modules in evaluation mode on their device while the block runs; their owner's training flags are restored.

    The device is that of the first of them.
    """
    flags = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        with suppress(NotImplementedError):  # a program of torch.export stays in the mode it was exported in
            module.eval()
    device = device_of_module(modules[0])
    try:
        if device.type == "cuda":
            with torch.cuda.device(device):
                yield
        else:
            yield
    finally:
        for part, flag in flags:
            part.training = flag
