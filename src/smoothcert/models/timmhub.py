"""``timm:NAME``: networks of the library timm, with the weights it knows or with the user's own."""

import difflib
from dataclasses import replace
from typing import Any

from torch import nn

from smoothcert.errors import MissingExtraError, ModelError
from smoothcert.formats.card import Card
from smoothcert.models.classifier import Classifier, ModelOptions
from smoothcert.models.factory import classifier_of
from smoothcert.models.inputs import stated
from smoothcert.models.state import State, load_state, named
from smoothcert.models.weights import Weights, read_weights


def read_timm(name: str, options: ModelOptions) -> Classifier:
    """A network of timm: with `options.weights` nothing is downloaded, else timm fetches the weights it knows.

    The normalisation is what timm knows of its own weights. Weights of the user's may declare another, and then the
    user may also state another; the number of classes is that of the weights' head.

    Args:
        name: as timm has it, such as ``resnet18.a1_in1k``.
        options: what else the user says.

    Raises:
        MissingExtraError: timm is not installed.
        ModelError: timm has no such network, its weights cannot be fetched, or the user's do not fit.
    """
    reference = f"timm:{name}"
    if options.arch is not None:
        raise ModelError(f"{reference} names its own architecture; leave out --arch {options.arch}.")
    timm = _timm()
    _check_name(timm, name)
    if options.weights is None:
        module = _created(timm, name, reference, pretrained=True)
        return classifier_of(module, stated(_card(timm, module), options, reference), None, reference)
    weights = read_weights(options.weights)
    module = _created(timm, name, reference, **_sizes(timm, name, weights.state, options))
    load_state(module, weights.state, options.weights)
    card = stated(_merged(_card(timm, module), weights, options, reference), options, reference)
    return classifier_of(module, card, weights.sha256, reference)


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except ImportError:
        raise MissingExtraError("A classifier of timm", "timm") from None
    except RuntimeError as error:  # torchvision's operators are missing in a torch that it was not built for
        raise ModelError(
            f"timm cannot be imported ({str(error).splitlines()[0]}): its torchvision was not built for the torch that "
            "is installed. Install both from the same place, or use module:factory."
        ) from None
    return timm


def _check_name(timm: Any, name: str) -> None:
    if ":" in name or timm.is_model(name):  # hf-hub:owner/model and local-dir:folder are timm's own business
        return
    near = difflib.get_close_matches(name, timm.list_models(), n=3)
    advice = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() names those it has."
    raise ModelError(f"timm:{name}: timm {timm.__version__} has no network of that name; {advice}")


def _created(timm: Any, name: str, reference: str, **asked: Any) -> nn.Module:
    try:
        module: nn.Module = timm.create_model(name, **asked)
    except Exception as error:  # unknown tags, no network, a damaged cache: anything
        advice = " Where there is no network, give the weights with --weights FILE." if asked.get("pretrained") else ""
        told = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ModelError(f"{reference}: timm cannot build it with its weights: {told}.{advice}") from None
    return module


def _sizes(timm: Any, name: str, state: State, options: ModelOptions) -> dict[str, Any]:
    """The numbers of classes and channels of the user's weights, else of the data."""
    known = timm.models.get_pretrained_cfg(name.partition(":")[0])
    head = named(state, _first(known and known.classifier, ".weight"))
    stem = named(state, _first(known and known.first_conv, ".weight"))
    classes = options.num_classes if head is None else int(head.shape[0])
    channels = options.in_channels if stem is None or stem.ndim != 4 else int(stem.shape[1])
    sizes = {"num_classes": classes, "in_chans": channels}
    return {"pretrained": False, **{word: value for word, value in sizes.items() if value is not None}}


def _first(names: Any, ending: str) -> str:
    return f"{names if isinstance(names, str) else (names or ('',))[0]}{ending}"


def _card(timm: Any, module: nn.Module) -> Card:
    """What timm knows about a network."""
    found = timm.data.resolve_model_data_config(module)
    fixed = getattr(module, "pretrained_cfg", {}).get("fixed_input_size")
    return Card(
        num_classes=module.num_classes if isinstance(module.num_classes, int) else None,
        input_shape=tuple(found["input_size"]) if fixed else None,
        mean=tuple(found["mean"]),
        std=tuple(found["std"]),
    )


def _merged(known: Card, weights: Weights, options: ModelOptions, reference: str) -> Card:
    """What timm knows, corrected by what the user's weights declare; silent where the user states a normalisation."""
    card = weights.card
    if card.mean:
        return replace(known, mean=card.mean, std=card.std, value_range=card.value_range, sigma=card.sigma)
    if options.mean is not None or options.input_range is not None:
        return replace(known, mean=(), std=())
    if options.in_channels not in (None, len(known.mean)):
        raise ModelError(
            f"{reference}: timm knows a normalisation for {len(known.mean)} channels, but the images have "
            f"{options.in_channels}. State the one these weights were trained with: --mean and --std."
        )
    return known
