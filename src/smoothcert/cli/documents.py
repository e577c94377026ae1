"""What `report` and `demo` share: the documents with progress, and where they lie."""

from __future__ import annotations

from pathlib import Path

from smoothcert.cli.interruption import terminated_is_interrupted
from smoothcert.cli.terminal import Screen, tell
from smoothcert.report.write import Wish, write_report

SHOWN = {
    "results.csv": "the results table (also .md, .tex, .json)",
    "tables": "further tables: accuracy, classes, cost, image units",
    "cost.json": "cost of this run, of the next, of production",
    "certificates.parquet": "a row an image, sigma and k",
    "figures": "figures as SVG and PNG",
    "notebook.ipynb": "the certification notebook, executed",
    "report.html": "the interactive report, one file",
    "memo.pdf": "the four-page memo, an unsigned draft (also US Letter)",
}


def write_with_progress(run: Path, wish: Wish | None = None) -> None:
    """Write all documents of a run, naming each step, and say where they lie."""
    console = Screen(stderr=True, highlight=False)
    try:
        with terminated_is_interrupted():
            if console.is_terminal and not console.is_dumb_terminal:
                with console.status("Writing the documents") as shown:
                    write_report(run, wish, lambda step: shown.update(f"Writing the documents: {step}"))
            else:
                write_report(run, wish)
    except KeyboardInterrupt:
        text = f"Interrupted; the evidence is untouched. `smoothcert report {run}` writes the documents anew."
        console.print(text, markup=False, soft_wrap=not console.is_terminal)
        raise
    tell(f"Documents in {run / 'results'}:")
    width = max(map(len, SHOWN))
    for name, what in SHOWN.items():
        tell(f"{name:<{width}}  {what}", indent=2)
    tell(f"Next: open {run / 'results' / 'report.html'}; smoothcert verify {run} checks evidence and documents")
