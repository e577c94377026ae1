"""Are the weights in a bundle the ones a run certified? By their hash alone, without torch."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from smoothcert.evidence.bundle.record import BundledModel

Tie = Literal["same file", "same tensors", "written anew", "other weights"]
"""How the weights of a bundle hang together with those a run certified."""

OTHER_FORMS = (".pt", ".pth", ".bin", ".pt2")
"""Forms of weights that a bundle does not copy but writes anew; no hash ties the two."""

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
    if state_sha256_of(weights) == certified.sha256:
        return "same tensors"
    source = certified.weights or certified.reference
    return "written anew" if source.lower().endswith(OTHER_FORMS) else "other weights"


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
