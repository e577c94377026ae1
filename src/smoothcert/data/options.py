"""What a person says about images besides their name."""

from dataclasses import dataclass

from smoothcert.spec import Reading


@dataclass(frozen=True)
class DataOptions:
    """How images are read.

    Args:
        quantise: bits to snap the images to (8, 12 or 16), recorded as preprocessing, or None. For 16-bit files it
            also says whether their values have 12 or 16 bits, which dark ones do not tell.
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
    def of(cls, asked: Reading, subgroups: tuple[str, ...] = ()) -> "DataOptions":
        """What a person's settings say about the images."""
        window = None if asked.window is None else (asked.window[0], asked.window[1])
        return cls(asked.quantise, asked.resize, asked.crop, window, subgroups)
