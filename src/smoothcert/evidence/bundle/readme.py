"""The page that lies in a bundle, for whoever finds it: what it is, what it guarantees and what not, how to predict."""

from __future__ import annotations

import json

from smoothcert.evidence.bundle.record import Bundle

BITS = {255: 8, 4095: 12, 65535: 16}
NAMED_AT_MOST = 100

_PAGE = """# A smoothed classifier

Written by smoothcert {version}. The classifier in this folder is the *smoothed* one: the class that the network in
`weights.safetensors` returns most often when Gaussian noise of standard deviation {sigma:g} (in units of the [0, 1]
range of pixels) is added to the image. Images: {size}, {bits} bits a value, {done}.

    smoothcert predict BUNDLE IMAGE...              the class, or an abstention
    smoothcert predict BUNDLE IMAGE... --certify    the class and its certified radius
    smoothcert verify RUN --bundle BUNDLE           is this what the run certified?
    sha256sum -c SHA256SUMS                         are the files as they were written?
{code}
## What it says

* A prediction takes up to {n} noisy copies of the image, whose noise is drawn fresh and secret at each call. It names a
  class other than the most probable one under noise with probability at most {alpha}; if it cannot tell, it abstains.
  An abstention is an answer: it is to be handled, not retried until it goes away.
* A certified radius says that no change of the image with an L2 norm below it changes the class of the smoothed
  classifier. Class, abstention and radius come from one procedure, wrong with probability at most alpha.

## What it does not say

* That a class is right. Robust and right are two things.
* Anything about the network run without its noise, or with weights, preprocessing, sigma or numeric recipe other than
  those in `bundle.json`: the certificates hold for the classifier with its recipe ({recipe}).
* Anything about changes that are larger, or that are no change of pixels.

## Where it comes from

{evidence}

The hashes show that a file was changed. They are no signature: whoever can change all files can change the hashes too.

## Classes

{names}
"""
_RUN = """Tested by a certification run over {images} images of {data} with up to {n_max} copies an image at alpha
{alpha}: spec sha256 {spec}, ledger sha256 {ledger}."""
_NO_RUN = "No certification run is recorded: nothing is known here about how robust this classifier is over a data set."
_OTHER_CODE = """
The network is not one of smoothcert's own, so its code must be at hand: add `--model package.module:factory`. A bundle
never names code that is run by itself.
"""


def readme(bundle: Bundle) -> str:
    """Return the page of a bundle in Markdown; texts that came with the data are quoted as plain ASCII."""
    recipe, certified = bundle.recipe, bundle.certified
    return _PAGE.format(
        version=bundle.smoothcert,
        sigma=bundle.sigma,
        size=_size(bundle.shape),
        bits=BITS[bundle.levels],
        done=_done(bundle.preprocessing),
        code=_OTHER_CODE if bundle.model.arch is None else "",
        n=f"{bundle.n:,}",
        alpha=f"{bundle.alpha:g}",
        recipe=f"{recipe.precision}, batches of {recipe.batch_size}, {recipe.device}, torch {recipe.torch}",
        evidence=_NO_RUN
        if certified is None
        else _RUN.format(
            images=f"{certified.images:,}",
            data=_code(certified.data),
            n_max=f"{certified.n_max:,}",
            alpha=f"{certified.alpha:g}",
            spec=certified.spec_sha256,
            ledger=certified.ledger_sha256,
        ),
        names=_names(bundle.class_names),
    )


def _size(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    colour = {1: "grey", 3: "colour (RGB)"}.get(channels, f"{channels} channels")
    return f"{width} x {height} pixels, {colour}"


def _done(preprocessing: tuple[str, ...]) -> str:
    if not preprocessing:
        return "as they are stored"
    return f"prepared before as the certified ones were ({', '.join(_code(step) for step in preprocessing)})"


def _quoted(text: str) -> str:
    """Return a text as printable ASCII on one line."""
    return json.dumps(text).replace("\x7f", "\\u007f")


def _code(text: str) -> str:
    """Return a text as a code span that no backtick in it can end."""
    return f"`{_quoted(text).replace('`', chr(39))}`"


def _names(names: tuple[str, ...]) -> str:
    rows = [f"    {number}  {_quoted(name)}" for number, name in enumerate(names[:NAMED_AT_MOST])]
    more = [f"    and {len(names) - NAMED_AT_MOST:,} more in bundle.json"] if len(names) > NAMED_AT_MOST else []
    return "\n".join([*rows, *more])
