"""The weight card, version 1: what a weights file, or its author, declares; checked field by field.

In a safetensors file it is a metadata entry, one JSON object with sorted keys: `smoothcert` with those of `Card` for a
classifier, `smoothcert_denoiser` with those of `DenoiserCard` for a denoiser. `layout`, `channels` and `output` came
after the format was fixed and are left out where nothing is declared; any other key may be null, empty or left out.
Keys that this version does not know are left alone.
"""

import json
from dataclasses import asdict, dataclass, field, fields
from functools import cache, partial
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError

from smoothcert.errors import ModelError
from smoothcert.formats.strict import decode

MAX_CLASSES = 1_000_000


def _ordered(values: Any) -> Any:
    """Refuse what is neither a list nor a tuple: pydantic would make a tuple of any iterable."""
    if not isinstance(values, list | tuple):
        raise ValueError
    return values


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] >= pair[1]:
        raise ValueError
    return pair


_List = BeforeValidator(_ordered)
_Text = Annotated[str, Field(strict=True)]
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Positive = Annotated[_Number, Field(gt=0)]
_From0 = Annotated[_Number, Field(ge=0)]
_Classes = Annotated[int, Field(strict=True, ge=2, le=MAX_CLASSES)]
_Channels = Annotated[int, Field(strict=True, ge=1, le=4096)]
_Side = Annotated[int, Field(strict=True, ge=1, le=65536)]
_Shape = Annotated[tuple[_Channels, _Side, _Side], _List]
_LATER = ("layout", "channels", "output")
CLASSIFIER, DENOISER = "smoothcert", "smoothcert_denoiser"
"""The metadata entries that hold the card of a classifier and of a denoiser."""
ONE_STEP = "one step of a diffusion model"
"""The first step around a network of diffusers, before those of `adaptation`."""


@dataclass(frozen=True)
class Card:
    """Facts that a weight card declares; None, () and {} mean that nothing is declared.

    Args:
        arch: one of the built-in architectures.
        num_classes: at least 2.
        in_channels: at least 1.
        input_shape: (C, H, W).
        mean: per channel, for images in `value_range`.
        std: per channel, above 0; as many as `mean`.
        sigma: noise used in training, in units of the [0, 1] range.
        value_range: lowest and highest pixel value.
        class_names: one per class.
        layout: "NCHW" or "NHWC": channels first or last in the network's input.
        channels: "RGB" or "BGR": the order of colours; mean and std are in this order.
        output: "logit" or "probability": what the one output of a binary classifier is.
        recipe: training configuration; kept, never interpreted.
    """

    arch: Annotated[_Text | None, "the name of an architecture"] = None
    num_classes: Annotated[_Classes | None, "a whole number from 2"] = None
    in_channels: Annotated[_Channels | None, "a whole number from 1"] = None
    input_shape: Annotated[_Shape | None, "three whole numbers (C, H, W)"] = None
    mean: Annotated[tuple[_Number, ...], _List, "numbers"] = ()
    std: Annotated[tuple[_Positive, ...], _List, "numbers above 0"] = ()
    sigma: Annotated[_From0 | None, "a number from 0"] = None
    value_range: Annotated[tuple[_Number, _Number], _List, AfterValidator(_rising), "two numbers, the lower first"] = (
        0.0,
        1.0,
    )
    class_names: Annotated[tuple[_Text, ...], _List, "a list of names"] = ()
    recipe: Annotated[dict[str, Any], "a table"] = field(default_factory=dict)
    layout: Annotated[Literal["NCHW", "NHWC"] | None, "NCHW or NHWC"] = None
    channels: Annotated[Literal["RGB", "BGR"] | None, "RGB or BGR"] = None
    output: Annotated[Literal["logit", "probability"] | None, "logit or probability"] = None

    @property
    def trained_behind(self) -> tuple[str, str] | None:
        """Name and hash of the denoiser behind which it was trained, if its recipe names one."""
        start = self.recipe.get("start")
        if not isinstance(start, dict) or not isinstance(start.get("denoiser"), str):
            return None
        return start["denoiser"], str(start.get("denoiser_sha256", ""))

    @property
    def planes(self) -> int | None:
        """Number of channels, if it follows from what is declared."""
        shape = self.input_shape
        return (len(self.mean) if len(self.mean) > 1 else None) or self.in_channels or (shape[0] if shape else None)

    def as_json(self) -> str:
        """One line of JSON, keys sorted; the words that came later are left out where nothing is declared."""
        values = {name: value for name, value in asdict(self).items() if value is not None or name not in _LATER}
        return json.dumps(values, sort_keys=True, ensure_ascii=False)


@dataclass(frozen=True)
class DenoiserCard:
    """Facts that the card of a denoiser declares; None and {} mean that nothing is declared.

    Args:
        arch: one of the built-in denoisers.
        in_channels: at least 1.
        sigma_low: lowest noise level of its training, in units of the [0, 1] range.
        sigma: highest noise level of its training.
        value_range: lowest and highest pixel value of the images it takes and returns.
        takes_sigma: whether its forward method takes the noise level, in units of `value_range`, after the images.
        recipe: training configuration; kept, never interpreted.
    """

    arch: Annotated[_Text | None, "the name of an architecture"] = None
    in_channels: Annotated[_Channels | None, "a whole number from 1"] = None
    sigma_low: Annotated[_From0 | None, "a number from 0"] = None
    sigma: Annotated[_From0 | None, "a number from 0"] = None
    value_range: Annotated[tuple[_Number, _Number], _List, AfterValidator(_rising), "two numbers, the lower first"] = (
        0.0,
        1.0,
    )
    takes_sigma: Annotated[Annotated[bool, Field(strict=True)] | None, "true or false"] = None
    recipe: Annotated[dict[str, Any], "a table"] = field(default_factory=dict)

    def as_json(self) -> str:
        """One line of JSON, keys sorted."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)


def adaptation(value_range: tuple[float, float], takes_sigma: bool) -> tuple[str, ...]:
    """The steps around the network of a denoiser, in words.

    >>> adaptation((-1.0, 1.0), takes_sigma=False)
    ('images from -1 to 1', 'noise level not passed')
    """
    low, high = value_range
    scaled = () if (low, high) == (0.0, 1.0) else (f"images from {low:g} to {high:g}",)
    return scaled if takes_sigma else (*scaled, "noise level not passed")


def refuse_unknown_keys(kind: type[Card] | type[DenoiserCard], values: Any, reference: str) -> None:
    """Refuse keys of a module's attribute ``smoothcert`` that no card has; a misspelt one would not be applied.

    Raises:
        ModelError: there is one.
    """
    expected = [each.name for each in fields(kind)]
    unknown = [str(name) for name in values if name not in expected] if isinstance(values, dict) else []
    if unknown:
        raise ModelError(
            f"{reference}: its attribute smoothcert has the unknown key {unknown[0][:60]!r}; expected "
            f"{', '.join(expected)}.",
            code="E-MODEL-198",
        )


def card_from_json(text: str, reference: str) -> Card:
    """The card of a classifier in a weights file.

    Raises:
        ModelError: not JSON, or a field is not what it should be.
    """
    return card_from_values(_decoded(text, CLASSIFIER, reference), reference)


def denoiser_card_from_json(text: str, reference: str) -> DenoiserCard:
    """The card of a denoiser in a weights file.

    Raises:
        ModelError: not JSON, or a field is not what it should be.
    """
    return denoiser_card_from_values(_decoded(text, DENOISER, reference), reference)


def _decoded(text: str, entry: str, reference: str) -> Any:
    try:
        return decode(text)
    except ValueError as reason:
        raise ModelError(
            f"{reference}: its {entry!r} metadata are not JSON ({reason}); save the weights again.",
            code="E-MODEL-014",
        ) from None


def card_from_values(values: Any, reference: str) -> Card:
    """A card from plain values; fields this version does not know are left out.

    Raises:
        ModelError: a field is not what it should be.

    >>> card_from_values({"mean": [0.5], "std": [0]}, "net.safetensors")
    Traceback (most recent call last):
    smoothcert.errors.ModelError: net.safetensors: the declared std [0] is not usable; expected numbers above 0.
    """
    card = _checked(Card, values, reference)
    if len(card.mean) != len(card.std):
        raise ModelError(
            f"{reference}: mean and std need one value a channel each, got {card.mean} and {card.std}.",
            code="E-MODEL-017",
        )
    channels = {len(card.mean) or None, card.in_channels, card.input_shape[0] if card.input_shape else None}
    if len(channels - {None}) > 1:
        raise ModelError(
            f"{reference}: mean, in_channels and input_shape declare different numbers of channels.", code="E-MODEL-018"
        )
    if card.class_names and card.num_classes not in (None, len(card.class_names)):
        raise ModelError(
            f"{reference}: {card.num_classes} classes and {len(card.class_names)} class names are declared.",
            code="E-MODEL-019",
        )
    return card


def denoiser_card_from_values(values: Any, reference: str) -> DenoiserCard:
    """A denoiser's card from plain values; fields this version does not know are left out.

    Raises:
        ModelError: a field is not what it should be.
    """
    card = _checked(DenoiserCard, values, reference)
    if card.sigma_low is not None and (card.sigma is None or card.sigma_low > card.sigma):
        raise ModelError(
            f"{reference}: the declared noise levels are from {card.sigma_low} to {card.sigma}; expected sigma_low at "
            "most sigma.",
            code="E-MODEL-115",
        )
    return card


_Kind = TypeVar("_Kind", Card, DenoiserCard)


def _checked(kind: type[_Kind], values: Any, reference: str) -> _Kind:
    """Values as a card, each field checked by itself."""
    if not isinstance(values, dict):
        raise ModelError(
            f"{reference}: a table of declared facts is expected, got {type(values).__name__}.", code="E-MODEL-015"
        )
    reader, expected = _DENOISER() if kind is DenoiserCard else _CLASSIFIER()
    try:
        card: _Kind = reader.validate_python({name: values[name] for name in expected if values.get(name) is not None})
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise ModelError(
            f"{reference}: the declared {name} {repr(values[name])[:60]} is not usable; expected {expected[name]}.",
            code="E-MODEL-016",
        ) from None
    return card


def _reader(kind: type[Any]) -> tuple[TypeAdapter[Any], dict[str, str]]:
    """What checks a card, and what is expected of each field, in words."""
    hints = get_type_hints(kind, include_extras=True)
    return TypeAdapter(kind), {name: hint.__metadata__[-1] for name, hint in hints.items()}


_CLASSIFIER = cache(partial(_reader, Card))
_DENOISER = cache(partial(_reader, DenoiserCard))
