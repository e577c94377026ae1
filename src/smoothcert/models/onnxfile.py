"""``.onnx`` files, run by onnxruntime as they are stored: data, not code."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from smoothcert.errors import MissingExtraError, ModelError
from smoothcert.formats.card import Card
from smoothcert.models.adapters import assembled
from smoothcert.models.classifier import Classifier, ModelOptions, Runtime
from smoothcert.models.inputs import stated
from smoothcert.models.onnxnet import FailedError, OnnxNet, Ports
from smoothcert.models.outputs import lacks_memory
from smoothcert.models.weights import read_bytes, sha256_of

DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
SCORES = ("logits", "output", "probabilities")


def read_onnx(path: str, options: ModelOptions) -> Classifier:
    """The network of an ``.onnx`` file: one image input of rank 4, one output, or one that is called `SCORES`.

    Its declared shape tells image size and layout where they are fixed; a fixed batch is run in parts of that size.

    Raises:
        MissingExtraError: onnxruntime or onnx is not installed.
        ModelError: with `arch` or `weights`, the file cannot be loaded, it is no classifier of images, or, without
            `trust_model`, it can loop or takes too much memory or time.
    """
    if options.arch is not None or options.weights is not None:
        raise ModelError(f"{path} holds its own architecture and weights; leave out --arch and --weights.")
    for library in ("onnxruntime", "onnx"):
        if find_spec(library) is None:
            raise MissingExtraError("A classifier in an .onnx file", "onnx")
    data = read_bytes(Path(path))
    module = OnnxNet(data, path, options.trust_model).eval()
    facts = _opened(module, path)
    image, scores = _image(facts["inputs"], path), _scores(facts["outputs"], path)
    shape = image["shape"]
    card = stated(Card(layout=_layout(shape, options.in_channels)), options, path)
    card = replace(card, input_shape=_shape(shape, card.layout))
    module.ports = Ports(image["name"], scores, DTYPES[image["type"]], shape[0])
    return replace(assembled(module, card, sha256_of(data), path), runtime=_runtime(facts))


def _opened(module: OnnxNet, path: str) -> dict[str, Any]:
    try:
        return module.process.facts
    except FailedError as error:
        raise ModelError(f"{path}: {_refusal(str(error), error.kind)}") from None


def _runtime(facts: dict[str, Any]) -> Runtime:
    cuda = "CUDAExecutionProvider" in facts["providers"]
    return Runtime(f"onnxruntime {facts['version']}", ("cpu", "cuda") if cuda else ("cpu",))


def _refusal(message: str, kind: str) -> str:
    if "external" in message.lower():
        return (
            "its weights lie in other files beside it, so its hash would not cover them; save it as one file "
            "(onnx.save without save_as_external_data, or torch.onnx.export with external_data=False)."
        )
    if "is not a registered function/op" in message or "No Op registered" in message:
        return (
            "it uses an operator that onnxruntime does not know, and custom operators are code that is not loaded; "
            "export it with standard operators."
        )
    if lacks_memory(MemoryError() if kind == "MemoryError" else RuntimeError(message)):
        return (
            "it needs more than half of the memory that is free to be loaded; end other programs, or add --trust-model "
            "if you trust its origin."
        )
    if "NOT_IMPLEMENTED" in message:
        return (
            "onnxruntime has no version of one of its operators for its type of numbers; export the classifier in "
            "float32."
        )
    return f"a readable .onnx file is expected, but it cannot be loaded ({kind}); export or copy it again."


def _image(inputs: list[dict[str, Any]], path: str) -> dict[str, Any]:
    """The one input, a batch of images."""
    told = ", ".join(f"{each['name']} {each['type']} {each['shape']}" for each in inputs) or "none"
    if len(inputs) != 1 or len(inputs[0]["shape"]) != 4 or inputs[0]["type"] not in DTYPES:
        raise ModelError(
            f"{path}: expected one input, a batch of images in floating point with 4 dimensions, got {told}. Export "
            "the classifier from the normalised images on."
        )
    return inputs[0]


def _scores(outputs: list[dict[str, Any]], path: str) -> str:
    """The name of the output that holds the scores."""
    names = [each["name"] for each in outputs if each["type"] in DTYPES]
    known = [name for name in names if name in SCORES]
    if len(names) != 1 and len(known) != 1:
        raise ModelError(
            f"{path}: expected one output, or one called {', '.join(SCORES)}, got {', '.join(names) or 'no tensor'}. "
            "Export the classifier with its logits as the only output."
        )
    return str(names[0] if len(names) == 1 else known[0])


def _layout(shape: list[Any], channels: int | None) -> Any:
    """Channels first or last, where the declared shape leaves no doubt; channels as in the data, else 1, 3 or 4."""
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
