"""What a person says about images besides their name."""

from dataclasses import dataclass, field

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
        named: a person named the images, in Python or on the command line; False: a file, which never names code.
    """

    quantise: int | None = None
    resize: int | None = None
    crop: int | None = None
    window: tuple[float, float] | None = None
    subgroups: tuple[str, ...] = ()
    named: bool = field(default=True, compare=False)

    @classmethod
    def of(cls, asked: Reading, subgroups: tuple[str, ...] = (), named: bool = True) -> "DataOptions":
        """What a person's settings say about the images; `named`: whether a person named these."""
        window = None if asked.window is None else (asked.window[0], asked.window[1])
        return cls(asked.quantise, asked.resize, asked.crop, window, subgroups, named)
