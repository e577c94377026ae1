"""What a person says about images besides their name."""

from dataclasses import dataclass

from smoothcert.spec import Inputs


@dataclass(frozen=True)
class DataOptions:
    """How images are read.

    Args:
        quantise: bits to snap the images to (8, 12 or 16), recorded as preprocessing, or None.
        resize: pixels of the shorter side after resizing, or None.
        crop: pixels of both sides after cutting out the middle, or None.
        window: (centre, width) for DICOM images, or None: the file's first.
        subgroups: columns or arrays for which results are counted apart.
    """

    quantise: int | None = None
    resize: int | None = None
    crop: int | None = None
    window: tuple[float, float] | None = None
    subgroups: tuple[str, ...] = ()

    @classmethod
    def of(cls, asked: Inputs) -> "DataOptions":
        """What a person's settings say about the images."""
        return cls(asked.quantise, asked.resize, asked.crop, asked.window, asked.subgroup)
