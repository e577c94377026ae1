"""Specs and ledger lines made by hand, for every test that needs a run but no torch."""

import hashlib
from dataclasses import replace

import numpy as np

from smoothcert.config import DataFacts, ModelFacts, Recipe, Spec, make_request
from smoothcert.evidence.events import utc_now
from smoothcert.formats.line import Line

SHAPE = (3, 28, 28)
THRESHOLDS = {0.25: 1158, 0.5: 2316, 1.0: 4630}
"""64-bit thresholds of 8-bit integer noise, as the design page of the statistics states them."""


PASSED = {"self_test": {"bit_equal": True}, "noise_test": {"passed": True, "values": 1000, "chi_square_p": 0.5}}
"""Facts of a noise level whose tests passed."""


def labels_hash(labels):
    """The hash of labels, written out: shape and type in words, then little-endian int64."""
    array = np.asarray(labels, dtype="<i8")
    return "sha256:" + hashlib.sha256(f"({len(array)},) int64\n".encode() + array.tobytes()).hexdigest()


def a_spec(labels=(0, 1, 2, 0, 1), classes=4, looks=(100, 200), grouped=False, seed=7, **request):
    """A spec over given labels; further settings go into its request."""
    asked = make_request(**{"model": "nets:net", "data": "d.npz", "sigma": "0.25", "n_max": looks[-1], **request})
    eta = (lambda s: 0.0) if asked.noise == "float" else (lambda s: np.prod(SHAPE) * THRESHOLDS[s] * 2.0**-64)
    return Spec(
        smoothcert="0.1.0",
        request=asked,
        looks=looks,
        seed=seed,
        seed_source="user",
        models=tuple(_model(sigma, float(eta(sigma))) for sigma in asked.sigma),
        data=DataFacts(
            reference="d.npz",
            sha256="sha256:" + "d" * 64,
            labels_sha256=labels_hash(labels),
            images=len(labels),
            shape=SHAPE,
            levels=255,
            class_names=tuple("abcdefghij"[:classes]),
            class_counts=tuple(np.bincount(labels, minlength=classes).tolist()),
            preprocessing=(),
            grouped=grouped,
        ),
        recipe=Recipe(
            precision="fp32",
            folded=False,
            autocast=False,
            compiled=False,
            memory_format="contiguous",
            batch_size=512,
            device="cpu",
            instructions="x86_64 avx2",
            torch="2.11.0",
        ),
    )


def _model(sigma, eta):
    return ModelFacts(
        sigma=sigma,
        written=sigma.text,
        reference="nets:net",
        weights=None,
        sha256="sha256:" + "c" * 64,
        arch=None,
        input_shape=None,
        mean=(),
        std=(),
        trained_sigma=None,
        own=False,
        eta=eta,
    )


def a_line(index=0, label=0, selection=None, looks=(), sigma=0.25, group=None, worker="local-0", seconds=0.5):
    """A ledger line; `selection` and each look are votes by class."""
    return Line(
        sigma=sigma,
        index=index,
        image=f"sha256:{index:064x}",
        label=label,
        group=group,
        selection=selection,
        looks=tuple((sum(votes.values()), votes) for votes in looks),
        seconds=seconds,
        worker=worker,
        at="2026-01-02T03:04:05Z",
    )


def dated(lines):
    """The lines, decided now: after the lock of a run that was begun, and before its seal."""
    return [replace(line, at=utc_now()) for line in lines]


def refusal(kind, call, *arguments):
    """The sentence with which a call refuses its arguments, or None where it takes them; other errors pass."""
    try:
        call(*arguments)
    except kind as error:
        return str(error)
    return None
