"""``.onnx`` files: data, not code, computed by onnxruntime in a process of its own, behind a torch module."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import weakref
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from smoothcert.errors import MissingExtraError, ModelError
from smoothcert.formats.card import Card
from smoothcert.models.adapters import assembled
from smoothcert.models.checkpoints import read_bytes, sha256_of
from smoothcert.models.classifier import Classifier, ModelOptions, Runtime, stated
from smoothcert.models.heads import lacks_memory

OPEN_SECONDS = 120.0
"""How long a model may take to be opened."""
BATCH_SECONDS, IMAGE_SECONDS = 60.0, 10.0
"""How long it may take for a batch, and for each of its images besides."""
LONGEST, LARGEST = 2**20, 2**28
"""Bytes of an answer's first line, and of the scores that follow it."""
PROGRAM = Path(__file__).with_name("onnx_server.py")


@dataclass(frozen=True)
class Ports:
    """Where images go in and scores come out.

    Args:
        image: name of the input.
        scores: name of the output.
        dtype: of the input: float32, float16 or float64.
        batch: images a pass, where that is fixed; None: any number.
    """

    image: str
    scores: str
    dtype: str
    batch: int | None


class FailedError(RuntimeError):
    """What onnxruntime said when it failed; `kind` is its class."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class OnnxProcess:
    """A process with one model, which it computes within limits; it ends with this object, or with its owner.

    A file is data: what it makes of memory and time harms that process alone, and waiting for it can be interrupted.
    """

    def __init__(self, data: bytes, path: str, trusted: bool) -> None:
        """Start it and open the model.

        Args:
            data: an ONNX model.
            path: its name.
            trusted: whether it is run without limits.

        Raises:
            FailedError: onnxruntime cannot open it.
            ModelError: it is refused, or it takes too much memory or time.
        """
        self._path, self._trusted, self._late = path, trusted, False
        self._memory = None if trusted else _half_of_free_memory()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for its owner
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
        )
        self.close = weakref.finalize(self, _end, self._process)
        head = {"trusted": trusted, "memory": self._memory}
        self.facts: dict[str, Any] = self._asked(head, data, OPEN_SECONDS)[0]

    def scores(self, ports: Ports, images: Any, device: str, threads: int) -> Any:
        """The scores of a batch, float32.

        Args:
            ports: of the model.
            images: (n, C, H, W) or (n, H, W, C), contiguous, of the type that `ports` names.
            device: "cpu" or "cuda".
            threads: for one operator.

        Raises:
            FailedError: onnxruntime fails on them.
            ModelError: the model is refused for images of this shape, or it takes too much memory or time.
        """
        head = {"input": ports.image, "output": ports.scores, "dtype": ports.dtype, "shape": images.shape}
        seconds = BATCH_SECONDS + IMAGE_SECONDS * len(images)
        told, body = self._asked(
            {**head, "device": device, "threads": threads}, memoryview(images).cast("B"), seconds, threads
        )
        return np.frombuffer(body, "<f4").reshape(told["shape"])

    def _asked(self, head: dict[str, Any], body: Any, seconds: float, threads: int = 1) -> tuple[Any, bytes]:
        limits = {} if self._trusted else {"processor_seconds": seconds * threads}
        line = json.dumps({**head, **limits, "size": len(body)}).encode() + b"\n"
        watch = threading.Timer(seconds, self._stop)
        with self._lock:
            if not self._trusted:
                watch.start()
            try:
                told, found = self._said(line, body)
            except (OSError, ValueError, KeyError, TypeError):  # its end of the pipe is closed, or says nonsense
                raise self._ended(seconds) from None
            except BaseException:  # interrupted: what it would still answer belongs to no question
                self.close()
                raise
            finally:
                watch.cancel()
        if "refused" in told:
            raise ModelError(f"{self._path}: {told['refused']}")
        if "failed" in told:
            raise FailedError(str(told["failed"]), str(told["text"]))
        return told, found

    def _said(self, line: bytes, body: Any) -> tuple[dict[str, Any], bytes]:
        asks, answers = self._process.stdin, self._process.stdout
        if asks is None or answers is None:
            raise OSError
        asks.write(line)
        asks.write(body)
        asks.flush()
        told = json.loads(answers.readline(LONGEST))
        size = int(told["size"])
        found = answers.read(size) if 0 <= size <= LARGEST else b""
        if len(found) != size:
            raise OSError
        return told, found

    def _stop(self) -> None:
        self._late = True
        self._process.kill()

    def _ended(self, seconds: float) -> ModelError:
        """What is said of a process that ended, or was ended, instead of an answer."""
        self.close()
        code = -(self._process.returncode or 0)
        trust = "Check where it comes from; add --trust-model, which lifts the limits, if you trust its origin."
        if self._late or code == getattr(signal, "SIGXCPU", None):
            return ModelError(f"{self._path}: it was stopped after {seconds:.0f} s without an answer. {trust}")
        how = signal.Signals(code).name if code > 0 else f"exit status {-code}"
        return ModelError(
            f"{self._path}: the process that computed it ended ({how}), as it does where the memory runs out. {trust}"
        )


class OnnxNet(nn.Module):
    """Float (n, C, H, W) -> float32 scores; computed in a process of its own, on as many threads as torch has."""

    def __init__(self, data: bytes, path: str, trusted: bool) -> None:
        """Open a model; `ports` must be set before images are given.

        Raises:
            FailedError: onnxruntime cannot open it.
            ModelError: it is refused, or it takes too much memory or time.
        """
        super().__init__()
        self.data, self.path, self.trusted = data, path, trusted
        self.ports = Ports("", "", "float32", None)
        self._process: OnnxProcess | None = None

    @property
    def process(self) -> OnnxProcess:
        """The process that computes it, started where there is none."""
        if self._process is None or not self._process.close.alive:
            self._process = OnnxProcess(self.data, self.path, self.trusted)
        return self._process

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (n, classes); a fixed batch is filled up with the last image, whose further scores are dropped."""
        array = np.ascontiguousarray(x.detach().cpu().numpy(), dtype=self.ports.dtype)
        size = self.ports.batch or len(array)
        parts = [self._run(x.device.type, array[start : start + size], size) for start in range(0, len(array), size)]
        return torch.from_numpy(np.concatenate(parts)).to(x.device)

    def _run(self, device: str, part: Any, size: int) -> Any:
        padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)]) if len(part) < size else part
        return self.process.scores(self.ports, padded, device, torch.get_num_threads())[: len(part)]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": None}


def _half_of_free_memory() -> int | None:
    """Half of the memory that is free on this machine, bytes; None where it does not tell."""
    with suppress(OSError):
        found = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        return None if found is None else int(found[1]) * 1024 // 2
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was still to be written
                pipe.close()
    process.wait()


DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
SCORES = ("logits", "output", "probabilities")


def read_onnx(path: str, options: ModelOptions) -> Classifier:
    """The network of an ``.onnx`` file: one image input of rank 4, one output, or one that is called `SCORES`.

    Its declared shape tells image size and layout where they are fixed; a fixed batch is run in parts of that size.

    Raises:
        MissingExtraError: onnxruntime or onnx is not installed.
        ModelError: with `arch` or `weights`, the file cannot be loaded, it is no classifier of images, or, without
            `trust_model`, it can loop or takes too much memory or time.
    """
    if options.arch is not None or options.weights is not None:
        raise ModelError(f"{path} holds its own architecture and weights; leave out --arch and --weights.")
    for library in ("onnxruntime", "onnx"):
        if find_spec(library) is None:
            raise MissingExtraError("A classifier in an .onnx file", "onnx")
    data = read_bytes(Path(path))
    module = OnnxNet(data, path, options.trust_model).eval()
    facts = _opened(module, path)
    image, scores = _image(facts["inputs"], path), _scores(facts["outputs"], path)
    shape = image["shape"]
    card = stated(Card(layout=_layout(shape, options.in_channels)), options, path)
    card = replace(card, input_shape=_shape(shape, card.layout))
    module.ports = Ports(image["name"], scores, DTYPES[image["type"]], shape[0])
    return replace(assembled(module, card, sha256_of(data), path), runtime=_runtime(facts))


def _opened(module: OnnxNet, path: str) -> dict[str, Any]:
    try:
        return module.process.facts
    except FailedError as error:
        raise ModelError(f"{path}: {_refusal(str(error), error.kind)}") from None


def _runtime(facts: dict[str, Any]) -> Runtime:
    cuda = "CUDAExecutionProvider" in facts["providers"]
    return Runtime(f"onnxruntime {facts['version']}", ("cpu", "cuda") if cuda else ("cpu",))


def _refusal(message: str, kind: str) -> str:
    if "external" in message.lower():
        return (
            "its weights lie in other files beside it, so its hash would not cover them; save it as one file "
            "(onnx.save without save_as_external_data, or torch.onnx.export with external_data=False)."
        )
    if "is not a registered function/op" in message or "No Op registered" in message:
        return (
            "it uses an operator that onnxruntime does not know, and custom operators are code that is not loaded; "
            "export it with standard operators."
        )
    if lacks_memory(MemoryError() if kind == "MemoryError" else RuntimeError(message)):
        return (
            "it needs more than half of the memory that is free to be loaded; end other programs, or add --trust-model "
            "if you trust its origin."
        )
    if "NOT_IMPLEMENTED" in message:
        return (
            "onnxruntime has no version of one of its operators for its type of numbers; export the classifier in "
            "float32."
        )
    return f"a readable .onnx file is expected, but it cannot be loaded ({kind}); export or copy it again."


def _image(inputs: list[dict[str, Any]], path: str) -> dict[str, Any]:
    """The one input, a batch of images."""
    told = ", ".join(f"{each['name']} {each['type']} {each['shape']}" for each in inputs) or "none"
    if len(inputs) != 1 or len(inputs[0]["shape"]) != 4 or inputs[0]["type"] not in DTYPES:
        raise ModelError(
            f"{path}: expected one input, a batch of images in floating point with 4 dimensions, got {told}. Export "
            "the classifier from the normalised images on."
        )
    return inputs[0]


def _scores(outputs: list[dict[str, Any]], path: str) -> str:
    """The name of the output that holds the scores."""
    names = [each["name"] for each in outputs if each["type"] in DTYPES]
    known = [name for name in names if name in SCORES]
    if len(names) != 1 and len(known) != 1:
        raise ModelError(
            f"{path}: expected one output, or one called {', '.join(SCORES)}, got {', '.join(names) or 'no tensor'}. "
            "Export the classifier with its logits as the only output."
        )
    return str(names[0] if len(names) == 1 else known[0])


def _layout(shape: list[Any], channels: int | None) -> Any:
    """Channels first or last, where the declared shape leaves no doubt; channels as in the data, else 1, 3 or 4."""
    usual = (1, 3, 4) if channels is None else (channels,)
    first, last = shape[1] in usual, shape[3] in usual
    if first == last:
        return None
    return "NCHW" if first else "NHWC"


def _shape(shape: list[Any], layout: str | None) -> tuple[int, int, int] | None:
    _, one, two, three = shape
    if None in (one, two, three):
        return None
    return (three, one, two) if layout == "NHWC" else (one, two, three)
