"""The process in which onnxruntime computes one model within limits; `smoothcert.models.onnx` starts it.

It runs as a script and imports nothing of this package, so that it starts fast. A message in either direction is a line
of JSON whose `size` is the number of bytes that follow it.
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
"""Most numbers (1 GiB in float32) of one tensor per image, for shapes that are known before the model runs."""
MOST_SCORES = 2**26
"""Most numbers of the output for one batch."""
_SMALL = 2**16
"""Initializers of more bytes are weights, not shapes."""


class RefusedError(Exception):
    """Raised if a model is refused; the message does not contain its name."""


def main() -> None:
    """Open the model in the first message, then compute one batch per message until the pipe is closed."""
    responses = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output printed by libraries must not be read as a response
    requests: SimpleQueue[tuple[dict[str, Any], bytearray]] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    head, data = requests.get()
    model = Model(bytes(data), head["trusted"])
    response = _response(lambda: (model.opened(head), b""), head)
    while True:
        header, body = response
        responses.write(json.dumps({**header, "size": len(body)}).encode() + b"\n")
        responses.write(body)
        responses.flush()
        head, data = requests.get()
        response = _response(lambda: model.scores(head, data), head)  # noqa: B023


def _listen(pipe: BinaryIO, requests: "SimpleQueue[tuple[dict[str, Any], bytearray]]") -> None:
    """Put requests into the queue; end the process, even while it computes, when the pipe is closed."""
    while line := pipe.readline():
        head = json.loads(line)
        data = bytearray(head["size"])
        view = memoryview(data)
        while len(view) and (got := pipe.readinto(view)):  # type: ignore[attr-defined]
            view = view[got:]
        if len(view):
            break
        requests.put((head, data))
    os._exit(0)


def _response(compute: Any, head: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    try:
        _limit(head.get("memory"), head.get("processor_seconds"))
        response: tuple[dict[str, Any], Any] = compute()
        return response
    except RefusedError as error:
        return {"refused": str(error)}, b""
    except Exception as error:  # damaged files raise many kinds of errors
        return {"failed": type(error).__name__, "text": str(error)[:10_000]}, b""


def _limit(memory: int | None, seconds: float | None) -> None:
    """Limit the memory of this process, in bytes, and the CPU time of the next response, except on Windows."""
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
    """The bytes of a model and its sessions, one per device and number of threads."""

    def __init__(self, data: bytes, trusted: bool) -> None:
        """Store the model, without reading it.

        Args:
            data: an ONNX model.
            trusted: whether it runs without a check of its operators and sizes.
        """
        self._data, self._trusted = data, trusted
        self._sessions: dict[tuple[str, int], Any] = {}
        self._surveyed: set[tuple[int, ...]] = set()

    def opened(self, _: dict[str, Any]) -> dict[str, Any]:
        """Return the runtime, and the inputs and outputs of the model.

        Raises:
            RefusedError: it may loop, or a tensor of it is too large.
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
        """Return the scores of one batch, float32.

        Raises:
            RefusedError: a tensor is too large for images of this shape, or onnxruntime has no such device.
        """
        batch = np.frombuffer(data, head["dtype"]).reshape(head["shape"])
        if not self._trusted and batch.shape[1:] not in self._surveyed:
            survey(self._data, batch.shape[1:])
            self._surveyed.add(batch.shape[1:])
        found = self._session(head["device"], head["threads"]).run([head["output"]], {head["input"]: batch})[0]
        if found.size > MOST_SCORES:
            raise RefusedError(
                f"expected scores, one number per class, got {found.size:,} numbers for {len(batch)} images; export "
                "the classifier with its logits as the only output."
            )
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
    """Return a session of onnxruntime; no other file is read and no custom operator is loaded."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # errors are raised as exceptions
    options.add_session_config_entry("session.load_model_format", "ONNX")  # the format that was checked, and no other
    # external weights are not read: the hash of the bytes would not cover them
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
    session = onnxruntime.InferenceSession(data, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise RefusedError(f"onnxruntime cannot use {provider} on this machine; use --device cpu.")
    return session


def survey(data: bytes, image: tuple[int, ...] | None) -> None:
    """Raise RefusedError if a model may run without end, or has a tensor that is too large for one image.

    Args:
        data: an ONNX model.
        image: shape of one image in the model's layout; None: as declared.

    Raises:
        RefusedError: it has an operator with a subgraph, or a tensor that is too large.
        Exception: it cannot be read.
    """
    import onnx

    model = onnx.load_model_from_string(data)
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        if node.op_type in ("Loop", "If", "Scan", "SequenceMap") or any(map(_holds_graph, node.attribute)):
            raise RefusedError(
                f"its operator {node.op_type} contains a graph, which can run without end. Export it without such "
                "operators (simplify it with fixed shapes), or add --trust-model if you trust its origin."
            )
    batch, sizes = _sizes(model, image)
    for name, dims in sizes:
        if math.prod(dims) > MOST_NUMBERS * batch:
            raise RefusedError(
                f"its tensor {name!r} of shape {tuple(dims)} has {math.prod(dims):,} numbers for {batch} "
                f"image{'s' * (batch > 1)}, but at most {MOST_NUMBERS:,} per image are computed. Make it smaller, or "
                "add --trust-model if you trust its origin."
            )


def _holds_graph(attribute: Any) -> bool:
    return attribute.HasField("g") or len(attribute.graphs) > 0 or attribute.type in (5, 10)  # GRAPH, GRAPHS


def _sizes(model: Any, image: tuple[int, ...] | None) -> tuple[int, list[tuple[str, list[int]]]]:
    """Return the smallest batch size, and name and shape of every tensor whose shape can be inferred.

    Shapes that the file declares for intermediate tensors are ignored.
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
    except Exception:  # an operator whose shapes cannot be inferred; the limits of this process still apply
        return batch, stored
    found = [(each.name, each.type.tensor_type.shape.dim) for each in (*inferred.value_info, *inferred.output)]
    known = [(name, dims) for name, dims in found if all(dim.HasField("dim_value") for dim in dims)]
    return batch, stored + [(name, [dim.dim_value for dim in dims]) for name, dims in known]


if __name__ == "__main__":
    main()
