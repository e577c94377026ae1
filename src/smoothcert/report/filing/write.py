"""Write the files for other systems into `results/`."""

from __future__ import annotations

from pathlib import Path

from smoothcert.evidence import Run
from smoothcert.evidence.directory import write_derived
from smoothcert.report.filing.card import CARD, card_text
from smoothcert.report.filing.rows import rows_texts
from smoothcert.report.memo.memo import Memo


def filing_texts(run: Run, memo: Memo) -> dict[str, str]:
    """Return the text files by name.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
    """
    return {**rows_texts(run, memo), CARD: card_text(memo.sponsor.of(run), memo)}


def write_filing(run: Run, folder: Path, memo: Memo) -> list[Path]:
    """Write risk_rows.csv, requirements_trace.csv and model-card.md into an existing folder.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
    """
    texts = filing_texts(run, memo)
    for name, text in texts.items():
        write_derived(folder / name, text)
    return [folder / name for name in texts]
