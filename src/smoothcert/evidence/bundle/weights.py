"""Are the weights in a bundle the ones a run certified? By their hash alone, without torch."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from smoothcert.evidence.bundle.record import BundledModel

Tie = Literal["same file", "same tensors", "not known", "other weights"]
"""How the weights of a bundle hang together with those a run certified."""

OTHER_FORMS = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".pt2", ".ts")
"""Forms of weights that a bundle does not copy but writes anew: the hash of the state ties the two."""

_TORCH = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool"}
_BITS = (("I", "int", (8, 16, 32, 64)), ("U", "uint", (8, 16, 32, 64)))
_TORCH |= {f"{short}{bits}": f"{name}{bits}" for short, name, sizes in _BITS for bits in sizes}


def tie_of(weights: bytes, certified: BundledModel) -> Tie:
    """Return how the weights of a bundle hang together with those a run certified.

    Args:
        weights: the bytes of `weights.safetensors`.
        certified: the classifier as the run certified it.
    """
    if f"sha256:{hashlib.sha256(weights).hexdigest()}" == certified.sha256:
        return "same file"
    state = state_sha256_of(weights)
    if state is not None and state in (certified.state_sha256, certified.sha256):
        return "same tensors"
    if certified.state_sha256 is not None:
        return "other weights"
    source = certified.weights or certified.reference
    return "not known" if source.lower().endswith(OTHER_FORMS) or source.startswith("monai:") else "other weights"


def state_sha256_of(data: bytes) -> str | None:
    """Return the hash ("sha256:...") of the tensors of a safetensors file by name, type, shape and bytes.

    A classifier that came without a weights file is known by this hash of its state dict. None: no file of tensors.
    """
    start = 8 + int.from_bytes(data[:8], "little")
    digest = hashlib.sha256()
    try:
        tensors = json.loads(data[8:start])
        tensors.pop("__metadata__", None)
        for name, facts in sorted(tensors.items()):
            low, high = facts["data_offsets"]
            digest.update(f"{name} torch.{_TORCH[facts['dtype']]} {tuple(facts['shape'])}\n".encode())
            digest.update(data[start + low : start + high])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return f"sha256:{digest.hexdigest()}"
