"""``monai:FOLDER``: the network of a MONAI bundle. Its configuration names what is to be built, so it is code."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from smoothcert.errors import MissingExtraError, ModelError
from smoothcert.formats.card import Card, card_from_values
from smoothcert.models.classifier import Classifier, ModelOptions
from smoothcert.models.factory import classifier_of
from smoothcert.models.inputs import stated
from smoothcert.models.state import load_state
from smoothcert.models.weights import read_bytes, read_weights, sha256_of

CONFIGS = tuple(f"configs/{name}.{ending}" for name in ("inference", "train") for ending in ("json", "yaml", "yml"))
NETWORK, WEIGHTS, SCRIPT = "network_def", "models/model.pt", "models/model.ts"


def read_monai(folder: str, options: ModelOptions) -> Classifier:
    """The network of a MONAI bundle folder: `network_def` of its configuration and ``models/model.pt``.

    Where there is only ``models/model.ts`` that is loaded. Classes and value range are those its metadata declare.

    Args:
        folder: of the bundle, with ``configs`` and ``models``.
        options: `trust_model` is needed; `weights` stand in for ``models/model.pt``.

    Raises:
        MissingExtraError: monai is not installed.
        ModelError: without `trust_model`, no such bundle, its network cannot be built or is for volumes, or the
            weights do not fit.
    """
    reference, root = f"monai:{folder}", Path(folder)
    if options.arch is not None:
        raise ModelError(f"{reference} names its own architecture; leave out --arch {options.arch}.")
    if not options.trust_model:
        raise ModelError(
            f"{reference}: the configuration of a MONAI bundle is code, not data: building its network can run "
            "anything its author wrote into it. If you trust its origin add --trust-model; else use module:factory."
        )
    if options.weights is None and (root / SCRIPT).is_file() and not (root / WEIGHTS).is_file():
        from smoothcert.models.script import scripted

        return scripted(str(root / SCRIPT), _metadata(root, reference), options, reference)
    module, config = _built(root, reference)
    _check_flat(module, reference)
    path = options.weights or str(root / WEIGHTS)
    weights = read_weights(path)
    load_state(module, weights.state, path)
    found = classifier_of(module, stated(_metadata(root, reference), options, reference), weights.sha256, reference)
    return replace(found, source_sha256=sha256_of(read_bytes(config)))


def _built(root: Path, reference: str) -> tuple[nn.Module, Path]:
    """The network, and the configuration that built it."""
    found = [root / name for name in CONFIGS if (root / name).is_file()]
    if not found:
        raise ModelError(
            f"{reference}: expected a MONAI bundle, a folder with {CONFIGS[0]} or {CONFIGS[3]}; check the path."
        )
    parser_of = _parser()
    for file in found:
        try:
            parser = parser_of()
            parser.read_config(str(file))
            if NETWORK in parser.get():
                module = parser.get_parsed_content(NETWORK, instantiate=True)
                break
        except Exception as error:  # the bundle's own code may fail in any way
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"{file}: {NETWORK} cannot be built ({type(error).__name__}: {told}).") from error
    else:
        raise ModelError(f"{reference}: none of its configurations has a {NETWORK}; use module:factory.")
    if not isinstance(module, nn.Module):
        raise ModelError(f"{file}: {NETWORK} must be a torch.nn.Module, got {type(module).__name__}.")
    return module, file


def _parser() -> Any:
    try:
        from monai.bundle.config_parser import ConfigParser
    except ImportError:
        raise MissingExtraError("A MONAI bundle", "monai") from None
    return ConfigParser


def _check_flat(module: nn.Module, reference: str) -> None:
    if any(isinstance(each, nn.Conv1d | nn.Conv3d) for each in module.modules()):
        raise ModelError(
            f"{reference}: its network is not for pictures: expected 2-D convolutions (spatial_dims 2), got 1-D or 3-D "
            "ones. Certify a classifier of slices."
        )


def _metadata(root: Path, reference: str) -> Card:
    """What ``configs/metadata.json`` declares about the network's input and output."""
    file = root / "configs" / "metadata.json"
    try:
        formats = json.loads(file.read_text(encoding="utf-8"))["network_data_format"]
        image = next(iter(formats["inputs"].values()))
        output = next(iter(formats["outputs"].values()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return Card()  # metadata are optional, and free in form
    span, names = _span(image.get("value_range")), output.get("channel_def")
    named = isinstance(names, dict) and [names.get(str(place)) for place in range(len(names))]
    return card_from_values(
        {
            "value_range": span,
            "class_names": named if named and len(named) > 1 and all(isinstance(each, str) for each in named) else None,
        },
        f"{reference} (configs/metadata.json)",
    )


def _span(value: Any) -> list[float] | None:
    """A declared range of pixel values; other things stand there too, such as [] for any."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(each, int | float) for each in value):
        return [float(each) for each in value] if value[0] < value[1] else None
    return None
