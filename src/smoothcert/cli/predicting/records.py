"""What `predict` writes for machines: CSV that is inert wherever it is opened, and JSON that is exact."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import smoothcert
from smoothcert.cli.predicting.answers import Answer
from smoothcert.cli.predicting.question import Question
from smoothcert.errors import printable
from smoothcert.evidence.bundle.record import Bundle
from smoothcert.evidence.events import utc_now
from smoothcert.report import Table
from smoothcert.report.markup import FORMULA
from smoothcert.stats.rounding import format_down, full


def as_csv(answers: Sequence[Answer], bundle: Bundle, question: Question, recipe: str) -> str:
    """Return CSV in which no text can act as a formula, a line break or a terminal command."""
    records = []
    for answer in answers:
        names = [printable(bundle.class_names[c]) for c in answer.classes]
        record: dict[str, Any] = {
            "image": _path(printable(str(answer.image))),
            "class": "; ".join(map(str, answer.classes)),
            "label": "; ".join(names),
        }
        if not question.certify:
            record["share"] = format_down(answer.share or 0.0, 4)
        record |= {"copies": answer.copies, "abstained": "false" if answer.classes else "true"}
        if question.certify:
            record["radius"] = format_down(answer.radius or 0.0) if answer.classes else ""
            record["certified_radii"] = "; ".join(full(r) for r in answer.certified_at)
        records.append({**record, "recipe": recipe})
    return Table((), (), tuple(records)).render("csv")


def _path(name: str) -> str:
    """A name that a spreadsheet would take for a formula, as a path that still opens the file."""
    return f"./{name}" if name.startswith(FORMULA) else name


def as_json(answers: Sequence[Answer], bundle: Bundle, question: Question, more: dict[str, Any]) -> str:
    """Return everything a device should log of these answers; texts are exact."""
    asked: dict[str, Any] = {"k": question.k, "alpha": question.alpha, "n": question.n}
    if question.radii is not None:
        asked["radii"] = list(question.radii)
    head = {
        "procedure": "certify" if question.certify else "predict",
        **asked,
        "sigma": bundle.sigma,
        "smoothcert": smoothcert.__version__,
        "weights_sha256": bundle.model.sha256,
        "ledger_sha256": bundle.certified.ledger_sha256 if bundle.certified else None,
        "at": utc_now(),
        **more,
    }
    return json.dumps({**head, "answers": [_record(answer, bundle, question) for answer in answers]}, indent=1)


def _record(answer: Answer, bundle: Bundle, question: Question) -> dict[str, Any]:
    abstained = not answer.classes
    record: dict[str, Any] = {
        "image": os.fspath(answer.image),
        "image_sha256": answer.sha256,
        "classes": list(answer.classes),
        "labels": [bundle.class_names[c] for c in answer.classes],
        "abstained": abstained,
        "copies": answer.copies,
    }
    if not question.certify:
        return {**record, "share": answer.share}
    return {**record, "radius": None if abstained else answer.radius, "certified_at": list(answer.certified_at)}
