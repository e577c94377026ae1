"""Synthetic images: procedurally drawn, blood-smear-like cells in 8 classes. Drawings, not patient data.

Each image is determined by (split, index). A cell is drawn at three times the size from soft discs (red cells in the
background, cytoplasm, granules, nucleus lobes) and averaged down to 28x28.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoothcert.data.dataset import ImageSet
from smoothcert.errors import DataError

SIZE, SCALE = 28, 3
SEEDS = {"test": 1, "train": 2}
"""Training and test images have different seeds, so they never coincide."""
LARGEST = 1_000_000

Canvas = NDArray[np.float64]
Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Kind:
    """Appearance of one class of cells; lengths are in units of the image width.

    Args:
        name: class name; always begins with "synthetic".
        radius: mean radius of the cell.
        nucleus: radius of the nucleus as a fraction of the cell's; 0 is a cell without nucleus.
        lobes: number of discs that form the nucleus.
        notch: depth of the notch of a kidney-shaped nucleus, 0 to 1.
        cytoplasm: colour of the cell's body.
        granules: mean number of granules.
        granule: colour of the granules.
        grain: radius of a granule.
    """

    name: str
    radius: float
    nucleus: float
    lobes: int
    notch: float
    cytoplasm: Colour
    granules: int
    granule: Colour
    grain: float


KINDS = (
    Kind("synthetic, dark granules", 0.30, 0.62, 2, 0.0, (0.80, 0.72, 0.84), 34, (0.27, 0.16, 0.47), 0.034),
    Kind("synthetic, orange granules", 0.33, 0.55, 2, 0.0, (0.93, 0.78, 0.76), 40, (0.87, 0.45, 0.36), 0.028),
    Kind("synthetic, small red with nucleus", 0.22, 0.56, 1, 0.0, (0.84, 0.62, 0.66), 0, (0.5, 0.3, 0.5), 0.02),
    Kind("synthetic, large with few granules", 0.38, 0.76, 1, 0.1, (0.78, 0.73, 0.86), 14, (0.55, 0.30, 0.60), 0.020),
    Kind("synthetic, small round nucleus", 0.24, 0.84, 1, 0.0, (0.71, 0.78, 0.91), 0, (0.5, 0.3, 0.6), 0.02),
    Kind("synthetic, kidney nucleus", 0.38, 0.68, 1, 0.6, (0.75, 0.76, 0.85), 4, (0.60, 0.50, 0.70), 0.018),
    Kind("synthetic, three lobes", 0.34, 0.60, 3, 0.0, (0.92, 0.83, 0.86), 16, (0.78, 0.62, 0.74), 0.016),
    Kind("synthetic, fragments", 0.13, 0.0, 0, 0.0, (0.72, 0.60, 0.80), 8, (0.45, 0.28, 0.58), 0.020),
)
BACKGROUND: Colour = (0.955, 0.925, 0.90)
RED_CELL: Colour = (0.90, 0.745, 0.735)
NUCLEUS: Colour = (0.37, 0.22, 0.54)

_AXIS = (np.arange(SIZE * SCALE) + 0.5) / (SIZE * SCALE)
_X, _Y = np.meshgrid(_AXIS, _AXIS)


def synthetic(count: int = 300, split: str = "test") -> ImageSet:
    """Draw labelled synthetic images, classes in turn.

    Args:
        count: number of images, 1 to 1,000,000.
        split: test or train; image i of a split does not depend on the count.

    Raises:
        DataError: count is out of range, or there is no such split.

    >>> images = synthetic(16)
    >>> len(images), images.shape, images.num_classes, images.class_names[4]
    (16, (3, 28, 28), 8, 'synthetic, small round nucleus')
    """
    if not 1 <= count <= LARGEST:
        raise DataError(f"the number of synthetic images must be 1 to {LARGEST:,}, got {count}.", code="E-DATA-120")
    if split not in SEEDS:
        raise DataError(
            f"the split of synthetic images must be {' or '.join(SEEDS)}, got {split!r}.", code="E-DATA-121"
        )
    labels = np.arange(count, dtype=np.int64) % len(KINDS)
    images = np.stack([draw(KINDS[label], np.random.default_rng((SEEDS[split], i))) for i, label in enumerate(labels)])
    names = tuple(kind.name for kind in KINDS)
    reference = f"synthetic:{count}" + ("" if split == "test" else f"#{split}")
    return ImageSet(reference, images, labels, names, preprocessing=("synthetic: drawn, not photographed",))


def draw(kind: Kind, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one cell, uint8 (28, 28, 3)."""
    stain = rng.uniform(0.82, 1.12)
    canvas = np.ones((SIZE * SCALE, SIZE * SCALE, 3)) * (np.array(BACKGROUND) + rng.uniform(-0.03, 0.03, 3))
    _red_cells(canvas, rng)
    centre = 0.5 + rng.uniform(-0.07, 0.07, 2)
    if kind.nucleus:
        _cell(canvas, kind, centre, stain, rng)
    else:
        for _ in range(int(rng.integers(1, 4))):
            _fragment(canvas, kind, centre + rng.uniform(-0.16, 0.16, 2), stain, rng)
    return _finish(canvas, rng)


def _red_cells(canvas: Canvas, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(2, 6))):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.38, 0.62)
        centre = 0.5 + far * np.array([np.cos(angle), np.sin(angle)])
        radius = rng.uniform(0.15, 0.21)
        _paint(canvas, _disc(centre, radius, 0.02), RED_CELL, rng.uniform(0.7, 1.0))
        _paint(canvas, _disc(centre, 0.45 * radius, 0.08), BACKGROUND, 0.55)


def _cell(canvas: Canvas, kind: Kind, centre: Canvas, stain: float, rng: np.random.Generator) -> None:
    radius = kind.radius * rng.uniform(0.86, 1.14)
    body = _disc(centre, radius, 0.025, rng.uniform(0.88, 1.12))
    _paint(canvas, body, _stained(kind.cytoplasm, stain), 0.95)
    where = centre + rng.uniform(-0.12, 0.12, 2) * radius
    nucleus = _nucleus(kind, where, radius * kind.nucleus * rng.uniform(0.9, 1.1), rng)
    _paint(canvas, nucleus, _stained(NUCLEUS, stain * rng.uniform(0.9, 1.1)), 0.92)
    _granules(canvas, kind, centre, radius, rng)


def _nucleus(kind: Kind, centre: Canvas, radius: float, rng: np.random.Generator) -> Canvas:
    turn = rng.uniform(0, 2 * np.pi)
    if kind.lobes == 1:
        shape = _disc(centre, radius, 0.03, rng.uniform(0.85, 1.15))
        bite = centre + radius * 0.95 * np.array([np.cos(turn), np.sin(turn)])
        return shape * (1 - kind.notch * _disc(bite, 0.75 * radius, 0.03))
    lobes = int(rng.integers(kind.lobes, kind.lobes + 2))
    angles = turn + np.arange(lobes) * 2 * np.pi / (lobes + 0.6)
    places = [centre + 0.62 * radius * np.array([np.cos(a), np.sin(a)]) for a in angles]
    size = radius * (0.62 if lobes == 2 else 0.5)
    return _union([_disc(place, size * rng.uniform(0.85, 1.15), 0.03) for place in places])


def _granules(canvas: Canvas, kind: Kind, centre: Canvas, radius: float, rng: np.random.Generator) -> None:
    for _ in range(int(rng.poisson(kind.granules))):
        angle, far = rng.uniform(0, 2 * np.pi), radius * 0.92 * np.sqrt(rng.random())
        place = centre + far * np.array([np.cos(angle), np.sin(angle)])
        _paint(canvas, _disc(place, kind.grain * rng.uniform(0.7, 1.3), 0.012), kind.granule, 0.75)


def _fragment(canvas: Canvas, kind: Kind, centre: Canvas, stain: float, rng: np.random.Generator) -> None:
    radius = kind.radius * rng.uniform(0.6, 1.1)
    _paint(canvas, _disc(centre, radius, 0.03, rng.uniform(0.8, 1.25)), _stained(kind.cytoplasm, stain), 0.9)
    _granules(canvas, kind, centre, 0.7 * radius, rng)


def _finish(canvas: Canvas, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Average down, vary the brightness, add sensor noise, and round to the 8-bit grid."""
    small = canvas.reshape(SIZE, SCALE, SIZE, SCALE, 3).mean(axis=(1, 3))
    lit = small * rng.uniform(0.92, 1.04) + rng.normal(0.0, 0.012, small.shape)
    return np.asarray(np.rint(255 * np.clip(lit, 0.0, 1.0)), dtype=np.uint8)


def _disc(centre: Canvas, radius: float, soft: float, stretch: float = 1.0) -> Canvas:
    """Return a soft ellipse, 1 inside and 0 outside."""
    distance = np.hypot((_X - centre[0]) * stretch, (_Y - centre[1]) / stretch)
    return np.asarray(np.clip((radius - distance) / soft + 0.5, 0.0, 1.0))


def _union(shapes: Sequence[Canvas]) -> Canvas:
    return np.asarray(np.maximum.reduce(list(shapes)))


def _paint(canvas: Canvas, shape: Canvas, colour: Colour, opacity: float) -> None:
    cover = (opacity * shape)[..., None]
    canvas *= 1 - cover
    canvas += cover * np.array(colour)


def _stained(colour: Colour, stain: float) -> Colour:
    """Return a colour with its stain scaled."""
    red, green, blue = (1 - (1 - part) * stain for part in colour)
    return red, green, blue
