"""Why the memo is a draft, and what every page must say about the run. The tool never approves."""

from __future__ import annotations

from collections.abc import Iterator

from smoothcert.evidence import Run
from smoothcert.evidence.events import LEVEL
from smoothcert.report.memo.material import Material

UNSIGNED = "it is not signed, and this tool signs nothing"


def reasons(found: Material, refused: int) -> Iterator[str]:
    """Yield the open reasons, the gravest first.

    Args:
        found: what the memo is made from.
        refused: phrases of the memo that the wording check refuses.
    """
    run = found.run
    if not found.checked.passed:
        yield "the evidence does not verify"
    if not found.locked_first:
        yield "the settings are not shown to have been locked before the first image"
    if run.missing:
        yield f"the run is partial ({run.missing:,} results missing)"
    if not run.sealed:
        yield "the run is not sealed"
    if failed := noise_faults(found):
        yield f"the delivered noise did not pass its test at {failed} noise {_levels(failed)}"
    if refused:
        phrases = "phrase" if refused == 1 else "phrases"
        yield f"the wording check refuses {refused} {phrases} (smoothcert verify names them)"
    if found.sponsor.open:
        count = len(found.sponsor.open)
        yield f"{count} sponsor {'field is' if count == 1 else 'fields are'} open"
    yield UNSIGNED


def noise_faults(found: Material) -> int:
    """Return the number of noise levels whose delivered noise did not pass its test, in any session or shard."""
    return held(found.run, "noise_test", "passed").count(False)


def held(run: Run, test: str, name: str) -> list[bool]:
    """Return, for each noise level with such a test, whether it held each time: every session and shard tests anew."""
    found: dict[object, bool] = {}
    for event in run.events:
        facts = event.facts.get(test)
        if event.event == LEVEL and isinstance(facts, dict):
            sigma = event.facts.get("sigma")
            found[sigma] = found.get(sigma, True) and facts.get(name) is True
    return list(found.values())


def marks(found: Material) -> Iterator[str]:
    """Yield what is printed at the head of every page."""
    run = found.run
    yield "UNSIGNED DRAFT"
    if not found.checked.passed:
        yield "EVIDENCE DOES NOT VERIFY"
    if run.missing:
        yield f"PARTIAL: {run.missing:,} of {run.expected:,} results missing"
    if not run.sealed:
        yield "NOT SEALED"
    if found.run.spec.data.synthetic:
        yield "SYNTHETIC IMAGES"
    if found.sponsor.demonstration:
        yield "DEMONSTRATION DATA"
    if found.demo:
        yield "DEMONSTRATION CLASSIFIER"


def _levels(count: int) -> str:
    return "level" if count == 1 else "levels"
