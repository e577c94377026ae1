"""The benchmark page: a function from measured values to Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from cells import MISSING, divided, label, table, words
from figures import Certified, Measured
from wording import ABOUT, FAIRNESS, READING, TRIAL, guarantee_words, peer_words, rounds_words, tried_words

RATIOS = (
    ("engine-fp32", "bare-fp32"),
    ("engine-bf16", "bare-bf16"),
    ("engine-fp32", "literal"),
    ("engine-bf16", "literal"),
    ("engine-fp32", "published"),
    ("engine-bf16", "published"),
    ("engine-fp32", "art"),
    ("engine-bf16", "art"),
    ("literal", "art"),
)
"""Pairs of contestants whose rates are divided round by round."""

KEPT_AND_LEFT = (
    ("engine-fp32", "engine-fp32-left"),
    ("engine-bf16", "engine-bf16-left"),
    ("published-kept", "published"),
    ("literal-kept", "literal"),
    ("art-kept", "art"),
)
"""The same contestant with freed memory kept, and with the allocator left alone."""

GUARANTEES = {
    "looks": "this engine, `stopping=looks`",
    "fixed": "this engine, `stopping=fixed`",
    "literal": "Algorithm 1 written out",
    "art": "ART",
}


def page(measured: Measured) -> str:
    """Return the page of one run; it states no figure that the run did not measure or was not told."""
    parts = [
        "# Benchmarks",
        ABOUT.format(command=measured.command),
        TRIAL if measured.trial else "",
        "## Machine",
        table(("what", "value"), measured.machine.items()),
        "## Samples per second",
        f"ResNet-20, {rounds_words(measured.scale.rounds)}:",
        _rates(measured),
        "Rates divided round by round (above 1: the first is faster):",
        _ratios(measured),
        "## Batch sizes tried",
        tried_words(measured.scale.tries),
        _tried(measured),
        "## Keeping freed memory",
        "The engine tells glibc to keep freed memory (`mallopt`). Samples per second with and without, for all:",
        _memory(measured),
        "## The same guarantee",
        guarantee_words(measured.scale),
        _guarantees(measured),
        "Divided by `stopping=looks` round by round (above 1: looks needs less):",
        _guarantee_ratios(measured),
        "## How to read this",
        READING,
        "## The peer",
        peer_words(measured.peer_version),
        "## Known unfairness",
        FAIRNESS,
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _rates(measured: Measured) -> str:
    shown = [name for name in measured.rates if not name.endswith(("-left", "-kept"))]
    rows = [(label(name, measured), words(measured.rates[name], ",.0f")) for name in shown]
    return table(("", "samples/s, median (lowest to highest)"), rows)


def _ratios(measured: Measured) -> str:
    rates = measured.rates
    rows = [(label(a, measured), label(b, measured), divided(rates[a], rates[b])) for a, b in RATIOS]
    return table(("rate of", "divided by the rate of", "ratio, median (lowest to highest)"), rows)


def _tried(measured: Measured) -> str:
    sizes = measured.scale.batches
    rows = [
        (name, *(f"{found[size]:,.0f}" if found else MISSING for size in sizes))
        for name, found in (("Algorithm 1 written out", measured.tried["literal"]), ("ART", measured.tried["art"]))
    ]
    return table(("batch size", *map(str, sizes)), rows)


def _memory(measured: Measured) -> str:
    rates = measured.rates
    rows = [
        (
            label(kept, measured),
            words(rates[kept], ",.0f"),
            words(rates[left], ",.0f"),
            divided(rates[kept], rates[left]),
        )
        for kept, left in KEPT_AND_LEFT
    ]
    return table(("", "kept, samples/s", "as it is, samples/s", "kept / as it is"), rows)


def _guarantees(measured: Measured) -> str:
    head = ("", "samples per image", "seconds per image", *(f"certified at r = {r}" for r in ("0.25", "0.5", "1.0")))
    return table(head, (_guarantee(name, found) for name, found in measured.guarantees.items()))


def _guarantee(name: str, found: Sequence[Certified]) -> list[str]:
    if not found:
        return [GUARANTEES[name], *[MISSING] * 5]
    samples = words([each.samples / each.images for each in found], ",.0f")
    seconds = words([each.seconds / each.images for each in found], ".3f")
    return [GUARANTEES[name], samples, seconds, *(_certified(found, i) for i in range(len(found[0].certified)))]


def _certified(found: Sequence[Certified], i: int) -> str:
    counts = [each.certified[i] for each in found]
    low, high = min(counts), max(counts)
    return f"{low if low == high else f'{low} to {high}'} of {found[0].images}"


def _guarantee_ratios(measured: Measured) -> str:
    looks = measured.guarantees["looks"]
    rows = [
        (
            GUARANTEES[name],
            divided([each.samples for each in found], [each.samples for each in looks]),
            divided([each.seconds for each in found], [each.seconds for each in looks]),
        )
        for name, found in measured.guarantees.items()
        if name != "looks"
    ]
    return table(("", "samples", "seconds"), rows)
