"""``.onnx`` files: data, not code, computed by onnxruntime in a separate process, behind a torch module."""

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
from smoothcert.models.classifier import Classifier, ModelOptions, Runtime, card_with_options
from smoothcert.models.heads import lacks_memory

OPEN_SECONDS = 120.0
"""Time limit for opening a model."""
BATCH_SECONDS, IMAGE_SECONDS = 60.0, 10.0
"""Time limit per batch, plus time per image of the batch."""
LONGEST, LARGEST = 2**20, 2**28
"""Most bytes of the header line of a response, and of the scores that follow it."""
PROGRAM = Path(__file__).with_name("onnx_server.py")


@dataclass(frozen=True)
class Ports:
    """Input and output of the model.

    Args:
        image: name of the input.
        scores: name of the output.
        dtype: of the input: float32, float16 or float64.
        batch: batch size, if it is fixed; None: any.
    """

    image: str
    scores: str
    dtype: str
    batch: int | None


class FailedError(RuntimeError):
    """An error of onnxruntime; `kind` is the name of its class."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class OnnxProcess:
    """A process that computes one model within limits; it ends with this object, or with the parent process.

    Excessive use of memory or time by a model affects only this process, and waiting for it can be interrupted.
    """

    def __init__(self, data: bytes, path: str, trusted: bool) -> None:
        """Start it and open the model.

        Args:
            data: an ONNX model.
            path: its name.
            trusted: whether it is run without limits.

        Raises:
            FailedError: onnxruntime cannot open it.
            ModelError: it is refused, or needs too much memory or time.
        """
        self._path, self._trusted, self._late = path, trusted, False
        self._memory = None if trusted else _half_of_free_memory()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent process only
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
        )
        self.close = weakref.finalize(self, _end, self._process)
        head = {"trusted": trusted, "memory": self._memory}
        self.facts: dict[str, Any] = self._request(head, data, OPEN_SECONDS)[0]

    def scores(self, ports: Ports, images: Any, device: str, threads: int) -> Any:
        """Return the scores of a batch, float32.

        Args:
            ports: of the model.
            images: (n, C, H, W) or (n, H, W, C), contiguous, of the dtype in `ports`.
            device: "cpu" or "cuda".
            threads: number of threads per operator.

        Raises:
            FailedError: onnxruntime fails on the images.
            ModelError: the model is refused for images of this shape, or needs too much memory or time.
        """
        head = {"input": ports.image, "output": ports.scores, "dtype": ports.dtype, "shape": images.shape}
        seconds = BATCH_SECONDS + IMAGE_SECONDS * len(images)
        response, body = self._request(
            {**head, "device": device, "threads": threads}, memoryview(images).cast("B"), seconds, threads
        )
        return np.frombuffer(body, "<f4").reshape(response["shape"])

    def _request(self, head: dict[str, Any], body: Any, seconds: float, threads: int = 1) -> tuple[Any, bytes]:
        limits = {} if self._trusted else {"processor_seconds": seconds * threads}
        line = json.dumps({**head, **limits, "size": len(body)}).encode() + b"\n"
        watch = threading.Timer(seconds, self._stop)
        with self._lock:
            if not self._trusted:
                watch.start()
            try:
                response, content = self._exchange(line, body)
            except (OSError, ValueError, KeyError, TypeError):  # the pipe is closed, or the response is invalid
                raise self._ended(seconds) from None
            except BaseException:  # interrupted: a late response must not be read by the next request
                self.close()
                raise
            finally:
                watch.cancel()
        if "refused" in response:
            raise ModelError(f"{self._path}: {response['refused']}", code="E-MODEL-067")
        if "failed" in response:
            raise FailedError(str(response["failed"]), str(response["text"]))
        return response, content

    def _exchange(self, line: bytes, body: Any) -> tuple[dict[str, Any], bytes]:
        """Send one request, and return the header and the content of the response."""
        requests, responses = self._process.stdin, self._process.stdout
        if requests is None or responses is None:
            raise OSError
        requests.write(line)
        requests.write(body)
        requests.flush()
        response = json.loads(responses.readline(LONGEST))
        size = int(response["size"])
        content = responses.read(size) if 0 <= size <= LARGEST else b""
        if len(content) != size:
            raise OSError
        return response, content

    def _stop(self) -> None:
        self._late = True
        self._process.kill()

    def _ended(self, seconds: float) -> ModelError:
        """Return the error for a process that ended, or was stopped, without a response."""
        self.close()
        code = -(self._process.returncode or 0)
        trust = "If you trust its origin, add --trust-model, which removes the limits."
        if self._late or code == getattr(signal, "SIGXCPU", None):
            return ModelError(
                f"{self._path}: the model was stopped after {seconds:.0f} s without a result. {trust}",
                code="E-MODEL-068",
            )
        how = signal.Signals(code).name if code > 0 else f"exit status {-code}"
        return ModelError(
            f"{self._path}: the process that computed the model ended ({how}), probably out of memory. {trust}",
            code="E-MODEL-069",
        )


class OnnxNet(nn.Module):
    """Float (n, C, H, W) -> float32 scores, computed in a separate process with the number of threads of torch."""

    def __init__(self, data: bytes, path: str, trusted: bool) -> None:
        """Open a model; `ports` must be set before the first call.

        Raises:
            FailedError: onnxruntime cannot open it.
            ModelError: it is refused, or needs too much memory or time.
        """
        super().__init__()
        self.data, self.path, self.trusted = data, path, trusted
        self.ports = Ports("", "", "float32", None)
        self._process: OnnxProcess | None = None

    @property
    def process(self) -> OnnxProcess:
        """The process that computes the model, started if there is none."""
        if self._process is None or not self._process.close.alive:
            self._process = OnnxProcess(self.data, self.path, self.trusted)
        return self._process

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores (n, classes); a fixed batch is padded with the last image, and the padding's scores dropped."""
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
    """Return half of the free memory of this machine in bytes; None if it is not known."""
    with suppress(OSError):
        found = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        return None if found is None else int(found[1]) * 1024 // 2
    return None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # data not yet written
                pipe.close()
    process.wait()


DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
SCORES = ("logits", "output", "probabilities")


def read_onnx(path: str, options: ModelOptions) -> Classifier:
    """Load an ``.onnx`` file with one image input of rank 4, and one output or one named as in `SCORES`.

    Image size and layout follow from the declared input shape if it is fixed; with a fixed batch size, batches are
    split.

    Raises:
        MissingExtraError: onnxruntime or onnx is not installed.
        ModelError: with `arch` or `weights`, the file cannot be loaded or is not a classifier of images, or, without
            `trust_model`, it may loop or needs too much memory or time.
    """
    if options.arch is not None or options.weights is not None:
        raise ModelError(
            f"{path} contains architecture and weights; leave out --arch and --weights.", code="E-MODEL-070"
        )
    for library in ("onnxruntime", "onnx"):
        if find_spec(library) is None:
            raise MissingExtraError("A classifier in an .onnx file", "onnx")
    data = read_bytes(Path(path))
    module = OnnxNet(data, path, options.trust_model).eval()
    facts = _opened(module, path)
    image, scores = _image(facts["inputs"], path), _scores(facts["outputs"], path)
    shape = image["shape"]
    card = card_with_options(Card(layout=_layout(shape, options.in_channels)), options, path)
    card = replace(card, input_shape=_shape(shape, card.layout))
    module.ports = Ports(image["name"], scores, DTYPES[image["type"]], shape[0])
    return replace(assembled(module, card, sha256_of(data), path), runtime=_runtime(facts))


def _opened(module: OnnxNet, path: str) -> dict[str, Any]:
    try:
        return module.process.facts
    except FailedError as error:
        raise ModelError(f"{path}: {_refusal(str(error), error.kind)}", code="E-MODEL-071") from None


def _runtime(facts: dict[str, Any]) -> Runtime:
    cuda = "CUDAExecutionProvider" in facts["providers"]
    return Runtime(f"onnxruntime {facts['version']}", ("cpu", "cuda") if cuda else ("cpu",))


def _refusal(message: str, kind: str) -> str:
    if "external" in message.lower():
        return (
            "its weights are in other files, which its hash would not cover; save it as one file (onnx.save without "
            "save_as_external_data, or torch.onnx.export with external_data=False)."
        )
    if "is not a registered function/op" in message or "No Op registered" in message:
        return (
            "it uses an operator that onnxruntime lacks, and custom operators are code, which is not loaded; export it "
            "with standard operators."
        )
    if lacks_memory(MemoryError() if kind == "MemoryError" else RuntimeError(message)):
        return (
            "loading it needs more than half of the free memory; close other programs, or add --trust-model if you "
            "trust its origin."
        )
    if "NOT_IMPLEMENTED" in message:
        return (
            "onnxruntime does not implement one of its operators for its number type; export the classifier in float32."
        )
    return f"expected an .onnx file, got one that cannot be loaded ({kind}); export or copy it again."


def _image(inputs: list[dict[str, Any]], path: str) -> dict[str, Any]:
    """Return the only input, a batch of images."""
    text = ", ".join(f"{each['name']} {each['type']} {each['shape']}" for each in inputs) or "none"
    if len(inputs) != 1 or len(inputs[0]["shape"]) != 4 or inputs[0]["type"] not in DTYPES:
        raise ModelError(
            f"{path}: expected one input, a batch of floating-point images with 4 dimensions, got {text}. Export the "
            "classifier with normalised images as its input.",
            code="E-MODEL-072",
        )
    return inputs[0]


def _scores(outputs: list[dict[str, Any]], path: str) -> str:
    """Return the name of the output with the scores."""
    names = [each["name"] for each in outputs if each["type"] in DTYPES]
    known = [name for name in names if name in SCORES]
    if len(names) != 1 and len(known) != 1:
        raise ModelError(
            f"{path}: expected one output, or one called {' or '.join(SCORES)}, got {', '.join(names) or 'no tensor'}. "
            "Export the classifier with its logits as the only output.",
            code="E-MODEL-073",
        )
    return str(names[0] if len(names) == 1 else known[0])


def _layout(shape: list[Any], channels: int | None) -> Any:
    """Return the layout if the declared shape determines it; channels as in the data, otherwise 1, 3 or 4."""
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
