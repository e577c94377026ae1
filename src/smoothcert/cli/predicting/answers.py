"""What `predict` says: answers as a table, and what they mean in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from smoothcert.cli.predicting.question import Question
from smoothcert.errors import printable
from smoothcert.evidence.bundle.record import Bundle
from smoothcert.report import Table
from smoothcert.stats.rounding import format_down, full

ABSTAINED = "abstained"


@dataclass(frozen=True)
class Answer:
    """What was answered for one image.

    Attributes:
        image: the file.
        sha256: hash of its pixels.
        classes: the class, or the k classes; none for an abstention.
        copies: noisy copies drawn.
        share: the leader's share of the votes of a prediction.
        radius: certified L2 radius of a certificate.
        certified_at: which radii are certified.
    """

    image: Path
    sha256: str
    classes: tuple[int, ...]
    copies: int
    share: float | None = None
    radius: float | None = None
    certified_at: tuple[float, ...] = ()


def as_table(answers: Sequence[Answer], bundle: Bundle, question: Question) -> Table:
    """Return the table that people read; texts from elsewhere are printable and on one line."""
    headings = ("image", "class", "label", *(("radius", "certified at") if question.certify else ("share",)), "copies")
    rows = tuple(tuple(_row(answer, bundle, question).values()) for answer in answers)
    return Table(headings, rows, ({},))


def _row(answer: Answer, bundle: Bundle, question: Question) -> dict[str, str]:
    names = [printable(bundle.class_names[c]) for c in answer.classes]
    row = {
        "image": printable(str(answer.image)),
        "class": ", ".join(map(str, answer.classes)) or "-",
        "label": ", ".join(names) or ABSTAINED,
    }
    if question.certify:
        row["radius"] = format_down(answer.radius or 0.0) if answer.classes else "-"
        row["certified"] = ", ".join(full(r) for r in answer.certified_at) or "-"
    else:
        row["share"] = format_down(answer.share or 0.0, 4)
    return {**row, "copies": f"{answer.copies:,}"}


def in_words(bundle: Bundle, question: Question) -> str:
    """Return what the answers mean, and which run stands behind the classifier."""
    level, alpha = f"sigma {full(bundle.sigma)}", f"with probability at most alpha = {full(question.alpha)}"
    if question.certify:
        stays = "the class" if question.k == 1 else f"among the {question.k} most probable classes"
        meaning = (
            f"Under every change of an image with L2 norm below its radius, in units of the [0, 1] range, its class "
            f"stays {stays} of the smoothed classifier ({level}); of one image, class and radius are wrong together "
            f"{alpha}. An abstention is an answer: up to {question.n:,} noisy copies certified nothing."
        )
    else:
        what = "A class is the one" if question.k == 1 else f"The {question.k} classes are those"
        meaning = (
            f"{what} most probable under noise ({level}); of one image, that is wrong {alpha}. An abstention is an "
            f"answer: up to {question.n:,} noisy copies did not tell the classes apart."
        )
    return f"\n{meaning} Nothing here says that a label is true. {_origin(bundle)}"


def _origin(bundle: Bundle) -> str:
    certified = bundle.certified
    if certified is None:
        return "The bundle names no certification run."
    return (
        f"Tested by the certification run with ledger {certified.ledger_sha256[:12]}... ({certified.images:,} images "
        f"of {printable(certified.data)})."
    )
