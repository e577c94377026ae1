"""What a reader must know before reading anything else: sealed or not, partial, synthetic."""

from __future__ import annotations

from dataclasses import dataclass

from smoothcert.evidence import Run
from smoothcert.evidence.seal import fingerprint_words, seal_remark
from smoothcert.verify import damage


@dataclass(frozen=True)
class Mark:
    """One statement that stands on every screen and every printed page.

    Attributes:
        kind: bad, warn or good; the colour, never the only sign.
        text: a few words.
        detail: one sentence for the head of the page.
    """

    kind: str
    text: str
    detail: str


def marks(run: Run) -> list[Mark]:
    """Return the marks of a run, the state of its evidence first."""
    found = [_evidence(run)]
    if run.missing:
        words = (
            f"{run.missing:,} of {run.expected:,} results are missing. Images without a result count as not certified. "
            "Nothing is said about a population, as images that are decided quickly are decided first."
        )
        found.append(Mark("bad", "PARTIAL", words))
    if run.spec.data.synthetic:
        words = "The images are synthetic: drawn, not photographed; they are no patient's."
        found.append(Mark("warn", "SYNTHETIC IMAGES", words))
    if remark := seal_remark(run.directory):
        found.append(Mark("warn", "A SECOND SEAL", f"{remark}."))
    if not run.arithmetic_covered:
        found.append(Mark("warn", "ARITHMETIC NOT COVERED", f"Computer arithmetic: {run.arithmetic}."))
    return found


def _evidence(run: Run) -> Mark:
    fault = next(damage(run), None)
    if fault is not None:
        return Mark("bad", "DAMAGED", f"The evidence was changed after it was recorded. {fault}.")
    if not run.sealed:
        return Mark("bad", "NOT SEALED", "The run has no finish event: nothing vouches for its ledger yet.")
    words = f"A finish event vouches for the ledger. Evidence fingerprint: {fingerprint_words(run.directory)}."
    return Mark("good", "Sealed", words)
