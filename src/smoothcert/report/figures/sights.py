"""Images beside their noisy copies: what the classifier sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smoothcert.report.figures.sheet import Margins, Words, sheet
from smoothcert.report.figures.style import TINY, WIDTH, styled
from smoothcert.report.figures.text import short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Mapping[str, Sequence[NDArray[Any]] | NDArray[Any]]
CLIPPED = "Values outside [0, 1] are clipped in this picture only; the classifier receives them as they are."


@styled
def sights_figure(title: str, warning: str, captions: Sequence[tuple[str, str, str]], rows: Rows) -> Figure:
    """Draw images side by side, a row for each way they are shown.

    Args:
        title: what the figure shows.
        warning: under the title; may be empty.
        captions: of each column: which image it is, its class, and its class by number where the name cannot be set.
        rows: for each row its name and one float (C, H, W) image a column, clipped to [0, 1] here.
    """
    columns = len(captions)
    room = (WIDTH - 1.65) / columns - 0.12
    margins = Margins(left=1.5, right=0.15, above=0.12, bottom=0.95)
    figure, axes = sheet(Words(title, warning, (CLIPPED,)), min(room, 2.2), margins, (len(rows), columns))
    for place, image in zip(axes, (image for row in rows.values() for image in row), strict=True):
        shown = np.clip(image.transpose(1, 2, 0), 0, 1)
        place.imshow(shown.squeeze(-1) if shown.shape[-1] == 1 else shown, cmap="gray", vmin=0, vmax=1)
        place.set(xticks=(), yticks=())
    for here, (image, name, number) in zip(axes[-columns:], captions, strict=True):
        here.set_xlabel(f"{image}\n{short(name, number, room, TINY)}", size=TINY, labelpad=2, va="top")
    for here, name in zip(axes[::columns], rows, strict=True):
        here.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=4)
    return figure
