"""A network that onnxruntime computes, as a torch module."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from smoothcert.errors import ModelError


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


class OnnxNet(nn.Module):
    """Float (n, C, H, W) -> float32 scores; computed where the images are, on as many threads as torch has."""

    def __init__(self, data: bytes, ports: Ports) -> None:
        super().__init__()
        self.data, self.ports = data, ports
        self._sessions: dict[tuple[str, int], Any] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (n, classes); a fixed batch is filled up with the last image, whose further scores are dropped."""
        session = self._session(x.device.type, torch.get_num_threads())
        array = np.ascontiguousarray(x.detach().cpu().numpy(), dtype=self.ports.dtype)
        size = self.ports.batch or len(array)
        parts = [self._run(session, array[start : start + size], size) for start in range(0, len(array), size)]
        return torch.from_numpy(np.concatenate(parts).astype(np.float32, copy=False)).to(x.device)

    def _run(self, session: Any, part: Any, size: int) -> Any:
        padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)]) if len(part) < size else part
        return session.run([self.ports.scores], {self.ports.image: padded})[0][: len(part)]

    def _session(self, device: str, threads: int) -> Any:
        if (device, threads) not in self._sessions:
            self._sessions[device, threads] = open_session(self.data, device, threads)
        return self._sessions[device, threads]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_sessions": {}}


def open_session(data: bytes, device: str, threads: int) -> Any:
    """A session of onnxruntime on some bytes; no file beside them is read and no custom operator is loaded.

    Args:
        data: an ONNX model.
        device: "cpu" or "cuda".
        threads: for one operator.

    Raises:
        ModelError: onnxruntime falls back to another device.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # what goes wrong is said by the exception
    # weights in files beside it are not looked for: the hash of the bytes would not cover them
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
    session = onnxruntime.InferenceSession(data, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise ModelError(f"onnxruntime cannot use its {provider} here; run with --device cpu, or repair it.")
    return session
