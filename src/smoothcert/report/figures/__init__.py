"""The figures of a run, from its votes, as SVG and PNG. No torch; drawing needs matplotlib."""

from smoothcert.report.figures.build import (
    class_figure,
    curve_figure,
    figure_data,
    samples_figure,
    units_figure,
    write_figures,
)

__all__ = ["class_figure", "curve_figure", "figure_data", "samples_figure", "units_figure", "write_figures"]
