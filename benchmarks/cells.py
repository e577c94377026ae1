"""The cells of the page's tables: spreads, ratios and contestants in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from figures import Measured, best, ratios, spread

MISSING = "not installed"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def words(values: Sequence[float], form: str) -> str:
    """Return "median (lowest to highest)" in a number format; without values: not installed.

    >>> words([3.0, 1.0, 2.0], ",.1f")
    '2.0 (1.0 to 3.0)'
    """
    if not values:
        return MISSING
    found = spread(values)
    return f"{found.median:{form}} ({found.low:{form}} to {found.high:{form}})"


def divided(mine: Sequence[float], other: Sequence[float]) -> str:
    """Return the ratio of two contestants in words; without values of either: not installed."""
    return words(ratios(mine, other), ".2f") if mine and other else MISSING


def label(name: str, measured: Measured) -> str:
    """Return a contestant in words."""
    if name.startswith(("engine", "bare")):
        who, precision = name.split("-")[:2]
        return f"{'this engine' if who == 'engine' else 'bare forward loop'}, {precision}"
    if name.startswith("published"):
        return "Algorithm 1 written out, fp32, batch 1000 (published)"
    who = name.removesuffix("-kept")
    text = {"literal": "Algorithm 1 written out, fp32", "art": "ART, fp32"}[who]
    return f"{text}, batch {best(measured.tried[who])} (fastest)" if measured.tried.get(who) else text
