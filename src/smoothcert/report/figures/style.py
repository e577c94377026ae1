"""How every figure looks, whatever the settings of the machine, and how it is written."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from smoothcert.errors import MissingExtraError
from smoothcert.evidence.directory import write_derived

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_P = ParamSpec("_P")
_T = TypeVar("_T")

WIDTH = 8.6  # cm: one column of a paper
INK, QUIET, FAINT, WARNING = "#222222", "#666666", "#bbbbbb", "#a03000"
LARGE, SMALL, TINY = 7.6, 6.2, 5.6  # points, at full width
FONT = "DejaVu Sans"  # comes with matplotlib: the same on every machine

# Okabe and Ito's colours, those dark enough for a line on white; each goes with a marker and a line style
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_DASHES: tuple[tuple[float, ...], ...] = ((), (4, 1.5), (1, 1.2), (5, 1.5, 1, 1.5))

_SETTINGS = {
    "font.family": "sans-serif",
    "font.sans-serif": [FONT],
    "font.size": 6.6,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelpad": 2.5,
    "hatch.linewidth": 0.45,
    "text.color": INK,
    "text.hinting": "no_hinting",  # else a wrapped line is wider than it was measured
    "text.parse_math": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.2,
    "ytick.major.size": 2.2,
    "xtick.minor.width": 0.4,
    "xtick.minor.size": 1.3,
    "savefig.dpi": 300,
    "svg.fonttype": "path",
    "svg.hashsalt": "smoothcert",
}


@dataclass(frozen=True)
class Pen:
    """How one noise level is drawn: told apart by colour, by marker and by line style."""

    colour: str
    marker: str
    dashes: tuple[float, ...]


def pen(position: int) -> Pen:
    """Return the pen of the n-th noise level of a run."""
    return Pen(_COLOURS[position % len(_COLOURS)], _MARKERS[position % len(_MARKERS)], _DASHES[position % len(_DASHES)])


def styled(draw: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a function draw in this style, whatever the user's own matplotlib settings are."""

    @wraps(draw)
    def inside(*arguments: _P.args, **named: _P.kwargs) -> _T:
        with _context():
            return draw(*arguments, **named)

    return inside


def _context() -> AbstractContextManager[None]:
    try:
        import matplotlib.style
    except ImportError:
        raise MissingExtraError("A figure", "report") from None
    return matplotlib.style.context(["default", _SETTINGS])


_METADATA: dict[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": "smoothcert"},
    "png": {"Software": None},
}


@styled
def drawn(figure: Figure, form: str) -> bytes:
    """Return a figure as "svg" or "png", the same bytes for the same figure.

    Text in the SVG is drawn as outlines, so that it looks the same where a font is missing.
    """
    stored = io.BytesIO()
    figure.savefig(stored, format=form, metadata=_METADATA[form])
    return stored.getvalue()


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as SVG and PNG, each in one step."""
    paths = [folder / f"{name}.{form}" for form in _METADATA]
    for path, form in zip(paths, _METADATA, strict=True):
        write_derived(path, drawn(figure, form))
    return paths
