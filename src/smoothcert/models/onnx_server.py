"""The process in which onnxruntime computes one model, within limits; `smoothcert.models.onnx` starts it.

It is run as a file: it imports nothing of this package, so that it starts fast, and trusts nothing but its pipe.
A message, either way, is a line of JSON whose `size` says how many bytes follow it.
"""

import json
import math
import os
import sys
import threading
from queue import SimpleQueue
from typing import Any, BinaryIO

import numpy as np

MOST_NUMBERS = 2**28
"""Numbers (1 GiB in float32) that one tensor may hold for one image, as far as shapes are known before it is run."""
MOST_SCORES = 2**26
"""Numbers that the output may hold for one batch."""
_SMALL = 2**16
"""Bytes of an initializer above which it is weights, not a shape."""


class RefusedError(Exception):
    """What is wrong with a model, without its name."""


def main() -> None:
    """Open the model of the first message, then answer one batch a message, until the pipe is closed."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints is taken for an answer
    asked: SimpleQueue[tuple[dict[str, Any], bytearray]] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, asked), daemon=True).start()
    head, data = asked.get()
    model = Model(bytes(data), head["trusted"])
    answer = _answered(lambda: (model.opened(head), b""), head)
    while True:
        found, body = answer
        answers.write(json.dumps({**found, "size": len(body)}).encode() + b"\n")
        answers.write(body)
        answers.flush()
        head, data = asked.get()
        answer = _answered(lambda: model.scores(head, data), head)  # noqa: B023


def _listen(pipe: BinaryIO, asked: "SimpleQueue[tuple[dict[str, Any], bytearray]]") -> None:
    """Hand over what is asked; end the process, whatever it computes, when nobody can ask any more."""
    while line := pipe.readline():
        head = json.loads(line)
        data = bytearray(head["size"])
        view = memoryview(data)
        while len(view) and (got := pipe.readinto(view)):  # type: ignore[attr-defined]
            view = view[got:]
        if len(view):
            break
        asked.put((head, data))
    os._exit(0)


def _answered(answer: Any, head: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    try:
        _limit(head.get("memory"), head.get("processor_seconds"))
        found: tuple[dict[str, Any], Any] = answer()
        return found
    except RefusedError as error:
        return {"refused": str(error)}, b""
    except Exception as error:  # damaged bytes make the readers raise nearly anything
        return {"failed": type(error).__name__, "text": str(error)[:10_000]}, b""


def _limit(memory: int | None, seconds: float | None) -> None:
    """Limit this process's own memory, bytes, and the processor time of the next answer, where the system can."""
    if sys.platform == "win32":
        return
    import resource

    if memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    if seconds is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        most = math.ceil(used.ru_utime + used.ru_stime + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


class Model:
    """The bytes of a model and its sessions, one for each device and number of threads."""

    def __init__(self, data: bytes, trusted: bool) -> None:
        """Take note of them; nothing is read yet.

        Args:
            data: an ONNX model.
            trusted: whether it is run without a look at its operators and sizes.
        """
        self._data, self._trusted = data, trusted
        self._sessions: dict[tuple[str, int], Any] = {}
        self._surveyed: set[tuple[int, ...]] = set()

    def opened(self, _: dict[str, Any]) -> dict[str, Any]:
        """The runtime, and the inputs and outputs of the model.

        Raises:
            RefusedError: it can loop, or a tensor of it is too large.
        """
        import onnxruntime

        if not self._trusted:
            survey(self._data, None)
        session = self._session("cpu", 1)
        return {
            "version": onnxruntime.__version__,
            "providers": onnxruntime.get_available_providers(),
            "inputs": [_port(each) for each in session.get_inputs()],
            "outputs": [_port(each) for each in session.get_outputs()],
        }

    def scores(self, head: dict[str, Any], data: bytearray) -> tuple[dict[str, Any], Any]:
        """The scores of one batch, float32.

        Raises:
            RefusedError: a tensor would be too large for images of this shape, or onnxruntime has no such device.
        """
        batch = np.frombuffer(data, head["dtype"]).reshape(head["shape"])
        if not self._trusted and batch.shape[1:] not in self._surveyed:
            survey(self._data, batch.shape[1:])
            self._surveyed.add(batch.shape[1:])
        found = self._session(head["device"], head["threads"]).run([head["output"]], {head["input"]: batch})[0]
        if found.size > MOST_SCORES:
            raise RefusedError(f"it returns {found.size:,} numbers for {len(batch)} images, which are no scores.")
        scores = np.ascontiguousarray(found, dtype="<f4")
        return {"shape": list(scores.shape)}, scores.reshape(-1).view(np.uint8).data

    def _session(self, device: str, threads: int) -> Any:
        if (device, threads) not in self._sessions:
            self._sessions[device, threads] = _open(self._data, device, threads)
        return self._sessions[device, threads]


def _port(port: Any) -> dict[str, Any]:
    shape = [side if isinstance(side, int) else None for side in port.shape or ()]
    return {"name": port.name, "type": port.type, "shape": shape}


def _open(data: bytes, device: str, threads: int) -> Any:
    """A session of onnxruntime on some bytes; no file beside them is read and no custom operator is loaded."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # what goes wrong is said by the exception
    options.add_session_config_entry("session.load_model_format", "ONNX")  # what was surveyed, and nothing else
    # weights in files beside it are not looked for: the hash of the bytes would not cover them
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
    session = onnxruntime.InferenceSession(data, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise RefusedError(f"onnxruntime cannot use its {provider} here; run with --device cpu, or repair it.")
    return session


def survey(data: bytes, image: tuple[int, ...] | None) -> None:
    """Refuse a model that need not come to an end, or that makes a tensor too large for one image.

    Args:
        data: an ONNX model.
        image: shape of one image as the model takes it; None: as it declares it.

    Raises:
        RefusedError: with what it does.
        Exception: it cannot be read.
    """
    import onnx

    model = onnx.load_model_from_string(data)
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        if node.op_type in ("Loop", "If", "Scan", "SequenceMap") or any(map(_holds_graph, node.attribute)):
            raise RefusedError(
                f"its operator {node.op_type} holds a graph of its own, which can run without end. Export it without "
                "(simplify it with fixed shapes), or add --trust-model if you trust its origin."
            )
    batch, sizes = _sizes(model, image)
    for name, dims in sizes:
        if math.prod(dims) > MOST_NUMBERS * batch:
            raise RefusedError(
                f"its tensor {name!r} of shape {tuple(dims)} would hold {math.prod(dims):,} numbers for "
                f"{batch} image{'s' * (batch > 1)}, and at most {MOST_NUMBERS:,} an image are computed. Make it "
                "smaller, or add --trust-model if you trust its origin."
            )


def _holds_graph(attribute: Any) -> bool:
    return attribute.HasField("g") or len(attribute.graphs) > 0 or attribute.type in (5, 10)  # GRAPH, GRAPHS


def _sizes(model: Any, image: tuple[int, ...] | None) -> tuple[int, list[tuple[str, list[int]]]]:
    """How many images a pass takes at least, and name and shape of every tensor whose shape can be told before.

    What the file says of its own tensors is not believed.
    """
    from onnx import inliner, shape_inference

    if model.functions:
        model = inliner.inline_local_functions(model)
    graph = model.graph
    stored = [(each.name, list(each.dims)) for each in graph.initializer]
    stored += [(each.values.name, list(each.dims)) for each in graph.sparse_initializer]
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    for each in graph.initializer:
        if len(each.raw_data) > _SMALL:
            each.ClearField("raw_data")
    names = {name for name, _ in stored}
    batch = 1
    for port in (each for each in graph.input if each.name not in names):
        dims = port.type.tensor_type.shape.dim
        batch = max(1, dims[0].dim_value) if dims else 1
        for dim, side in zip(dims, (batch, *(image or ())), strict=False):
            dim.dim_value = side
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True).graph
    except MemoryError:
        raise
    except Exception:  # an operator whose shapes cannot be told; the limits of this process hold all the same
        return batch, stored
    found = [(each.name, each.type.tensor_type.shape.dim) for each in (*inferred.value_info, *inferred.output)]
    known = [(name, dims) for name, dims in found if all(dim.HasField("dim_value") for dim in dims)]
    return batch, stored + [(name, [dim.dim_value for dim in dims]) for name, dims in known]


if __name__ == "__main__":
    main()
