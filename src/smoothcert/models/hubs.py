"""``timm:NAME`` and ``monai:FOLDER``: networks of the libraries timm and MONAI.

The configuration of a MONAI bundle names the classes to build, so it is code and needs consent.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from smoothcert.errors import MissingExtraError, ModelError
from smoothcert.formats.card import Card, card_from_values
from smoothcert.models.adapters import classifier_of
from smoothcert.models.checkpoints import Weights, read_bytes, read_weights, sha256_of
from smoothcert.models.classifier import Classifier, ModelOptions, card_with_options
from smoothcert.models.state import State, find_tensor, load_state


def read_timm(name: str, options: ModelOptions) -> Classifier:
    """Load a network of timm: with `options.weights` nothing is downloaded, otherwise timm downloads its weights.

    The normalisation is that of timm's pretrained weights; for the user's weights, their card or the options can set
    another. The number of classes is that of the head in the weights.

    Args:
        name: timm's model name, such as ``resnet18.a1_in1k``.
        options: further settings.

    Raises:
        MissingExtraError: timm is not installed.
        ModelError: timm has no such network, its weights cannot be downloaded, or the user's weights do not match.
    """
    reference = f"timm:{name}"
    if options.arch is not None:
        raise ModelError(f"{reference} defines the architecture; leave out --arch {options.arch}.", code="E-MODEL-042")
    timm = _timm()
    _check_name(timm, name)
    if options.weights is None:
        module = _created(timm, name, reference, pretrained=True)
        return classifier_of(module, card_with_options(_card(timm, module), options, reference), None, reference)
    weights = read_weights(options.weights)
    module = _created(timm, name, reference, **_sizes(timm, name, weights.state, options))
    load_state(module, weights.state, options.weights)
    card = card_with_options(_merged(_card(timm, module), weights, options, reference), options, reference)
    return classifier_of(module, card, weights.sha256, reference)


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except ImportError:
        raise MissingExtraError("A classifier of timm", "timm") from None
    except RuntimeError as error:  # the operators of torchvision are missing if it was built for another torch
        raise ModelError(
            f"timm cannot be imported ({str(error).splitlines()[0]}): torchvision was built for another version of "
            "torch. Install both from the same source, or use module:factory.",
            code="E-MODEL-056",
        ) from None
    return timm


def _check_name(timm: Any, name: str) -> None:
    if ":" in name or timm.is_model(name):  # timm resolves hf-hub:owner/model and local-dir:folder
        return
    near = difflib.get_close_matches(name, timm.list_models(), n=3)
    advice = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists the available ones."
    raise ModelError(f"timm:{name}: timm {timm.__version__} has no network of that name; {advice}", code="E-MODEL-057")


def _created(timm: Any, name: str, reference: str, **settings: Any) -> nn.Module:
    try:
        module: nn.Module = timm.create_model(name, **settings)
    except Exception as error:  # unknown tags, no network connection, a damaged cache
        advice = " Without a network connection use --weights FILE." if settings.get("pretrained") else ""
        message = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelError(
            f"{reference}: timm cannot build it with its weights: {message}.{advice}", code="E-MODEL-058"
        ) from None
    return module


def _sizes(timm: Any, name: str, state: State, options: ModelOptions) -> dict[str, Any]:
    """Return the numbers of classes and channels of the user's weights, or of the data if the weights lack them."""
    known = timm.models.get_pretrained_cfg(name.partition(":")[0])
    head = find_tensor(state, _first(known and known.classifier, ".weight"))
    stem = find_tensor(state, _first(known and known.first_conv, ".weight"))
    classes = options.num_classes if head is None else int(head.shape[0])
    channels = options.in_channels if stem is None or stem.ndim != 4 else int(stem.shape[1])
    sizes = {"num_classes": classes, "in_chans": channels}
    return {"pretrained": False, **{name: value for name, value in sizes.items() if value is not None}}


def _first(names: Any, ending: str) -> str:
    return f"{names if isinstance(names, str) else (names or ('',))[0]}{ending}"


def _card(timm: Any, module: nn.Module) -> Card:
    """Return what timm declares about a network."""
    found = timm.data.resolve_model_data_config(module)
    fixed = getattr(module, "pretrained_cfg", {}).get("fixed_input_size")
    return Card(
        num_classes=module.num_classes if isinstance(module.num_classes, int) else None,
        input_shape=tuple(found["input_size"]) if fixed else None,
        mean=tuple(found["mean"]),
        std=tuple(found["std"]),
    )


def _merged(known: Card, weights: Weights, options: ModelOptions, reference: str) -> Card:
    """Return timm's card, updated by that of the user's weights; without normalisation if the options set one."""
    card = weights.card
    if card.mean:
        return replace(known, mean=card.mean, std=card.std, value_range=card.value_range, sigma=card.sigma)
    if options.mean is not None or options.input_range is not None:
        return replace(known, mean=(), std=())
    if options.in_channels not in (None, len(known.mean)):
        raise ModelError(
            f"{reference}: timm's normalisation has {len(known.mean)} channels, but the images have "
            f"{options.in_channels}. Set the one these weights were trained with: --mean and --std.",
            code="E-MODEL-059",
        )
    return known


CONFIGS = tuple(f"configs/{name}.{ending}" for name in ("inference", "train") for ending in ("json", "yaml", "yml"))
NETWORK, WEIGHTS, SCRIPT = "network_def", "models/model.pt", "models/model.ts"


def read_monai(folder: str, options: ModelOptions) -> Classifier:
    """Load the network of a MONAI bundle folder: `network_def` of its configuration and ``models/model.pt``.

    If there is only ``models/model.ts``, that file is loaded. The metadata declare class names and value range.

    Args:
        folder: of the MONAI bundle, with ``configs`` and ``models``.
        options: `trust_model` is required; `weights` replaces ``models/model.pt``.

    Raises:
        MissingExtraError: monai is not installed.
        ModelError: without `trust_model`, there is no such bundle, its network cannot be built or is for volumes, or
            the weights do not match.
    """
    reference, root = f"monai:{folder}", Path(folder)
    if options.arch is not None:
        raise ModelError(f"{reference} defines the architecture; leave out --arch {options.arch}.", code="E-MODEL-042")
    if not options.trust_model:
        raise ModelError(
            f"{reference}: the configuration of a MONAI bundle is code, and building its network can run anything. If "
            "you trust its origin, add --trust-model; otherwise use module:factory.",
            code="E-MODEL-061",
        )
    if options.weights is None and (root / SCRIPT).is_file() and not (root / WEIGHTS).is_file():
        from smoothcert.models.torchscript import scripted

        return scripted(str(root / SCRIPT), _metadata(root, reference), options, reference)
    module, config = _built(root, reference)
    _check_flat(module, reference)
    path = options.weights or str(root / WEIGHTS)
    weights = read_weights(path)
    load_state(module, weights.state, path)
    found = classifier_of(
        module, card_with_options(_metadata(root, reference), options, reference), weights.sha256, reference
    )
    return replace(found, source_sha256=sha256_of(read_bytes(config)))


def _built(root: Path, reference: str) -> tuple[nn.Module, Path]:
    """Return the network, and the configuration file that defines it."""
    found = [root / name for name in CONFIGS if (root / name).is_file()]
    if not found:
        raise ModelError(
            f"{reference}: expected a MONAI bundle, a folder with {CONFIGS[0]} or {CONFIGS[3]}; check the path.",
            code="E-MODEL-062",
        )
    parser_of = _parser()
    for file in found:
        try:
            parser = parser_of()
            parser.read_config(str(file))
            if NETWORK in parser.get():
                module = parser.get_parsed_content(NETWORK, instantiate=True)
                break
        except Exception as error:  # code of the bundle may raise anything
            message = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"{file}: {NETWORK} cannot be built ({type(error).__name__}: {message}).", code="E-MODEL-063"
            ) from error
    else:
        raise ModelError(
            f"{reference}: none of its configurations has a {NETWORK}; use module:factory.", code="E-MODEL-064"
        )
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"{file}: {NETWORK} must be a torch.nn.Module, got {type(module).__name__}.", code="E-MODEL-065"
        )
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
            f"{reference}: expected a network with 2-D convolutions (spatial_dims 2), got 1-D or 3-D ones. Certify a "
            "classifier of slices.",
            code="E-MODEL-066",
        )


def _metadata(root: Path, reference: str) -> Card:
    """Return what ``configs/metadata.json`` declares about the input and output of the network."""
    file = root / "configs" / "metadata.json"
    try:
        formats = json.loads(file.read_text(encoding="utf-8"))["network_data_format"]
        image = next(iter(formats["inputs"].values()))
        output = next(iter(formats["outputs"].values()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return Card()  # metadata are optional, and free in form
    span, names = _span(image.get("value_range")), output.get("channel_def")
    class_names = isinstance(names, dict) and [names.get(str(place)) for place in range(len(names))]
    return card_from_values(
        {
            "value_range": span,
            "class_names": class_names
            if class_names and len(class_names) > 1 and all(isinstance(each, str) for each in class_names)
            else None,
        },
        f"{reference} (configs/metadata.json)",
    )


def _span(value: Any) -> list[float] | None:
    """Return a declared range of pixel values, or None for other entries, such as [] for any range."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(each, int | float) for each in value):
        return [float(each) for each in value] if value[0] < value[1] else None
    return None
