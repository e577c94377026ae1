"""Write docs/sample-complexity.md, its numbers and its figures: theory by the package's functions, and a finished run.

python docs/complexity/make.py RUN       RUN: a complete run; k = 1, sigma 0.5, radius 0.5 and n_max 10,000 among it
python docs/complexity/make.py --page    the page again, from the stored numbers
"""

from __future__ import annotations

import sys
from pathlib import Path

from figures import one_look, stopping
from measured import Numbers, measured
from page import page
from pydantic import TypeAdapter
from theory import theory

from smoothcert.evidence import open_run
from smoothcert.report.figures.style import drawn
from smoothcert.report.notebook.explore import needs
from smoothcert.report.notebook.pictures import draw_needs

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent
PAGE, NUMBERS = DOCS / "sample-complexity.md", HERE / "numbers.json"
_KIND = TypeAdapter(Numbers)


def stored() -> Numbers:
    """Return the numbers of the page as they were stored."""
    return _KIND.validate_json(NUMBERS.read_text(encoding="utf-8"))


def write(run_folder: Path) -> None:
    """Compute everything and write numbers, figures and page."""
    run = open_run(run_folder)
    numbers = Numbers(theory(), measured(run))
    NUMBERS.write_text(_KIND.dump_json(numbers, indent=1).decode() + "\n", encoding="utf-8")
    panels = [needs(run, sigma, 1, images=100) for sigma in run.spec.request.sigma]
    figures = {"": one_look(), "_looks": stopping(), "_run": draw_needs(run, panels, 1)}
    for name, figure in figures.items():
        (DOCS / "pictures" / f"sample_complexity{name}.svg").write_bytes(drawn(figure, "svg"))


def main(arguments: list[str]) -> None:
    """Write what the command line asks for."""
    if len(arguments) != 1:
        sys.exit(__doc__)
    if arguments != ["--page"]:
        write(Path(arguments[0]))
    PAGE.write_text(page(stored()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
