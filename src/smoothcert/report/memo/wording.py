"""The wording check: phrases that claim more than a certificate does, each with its reason, and structural rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from smoothcert.report.claims import ONE_SUPPLY
from smoothcert.report.groups import NO_TEST
from smoothcert.report.memo.blocks import DOES_NOT, Block, Piece, pieces
from smoothcert.report.memo.sponsor import Sponsor
from smoothcert.report.memo.text import references

_TEXTS = r"laws?|regulations?|directives?|standards?|guidances?|requirements?|MDR|IVDR|FDA|ISO|IEC|AI Act|GDPR"
_LAW = rf"[^.;]{{0,60}}\b({_TEXTS})\b"
_BODY = r"(system|cells?|responses?|disorders?|diseases?|deficienc\w+|status|therap\w+|checkpoint|mediated|thrombo\w+)"
_ITEM = r"(models?|classifiers?|devices?|algorithms?|networks?|software|AI)"

REFUSED: tuple[tuple[str, str], ...] = (
    (rf"\bimmun(e|ity)\b(?!([ -]{_BODY}))", "no classifier is; a certificate bounds changes of L2 norm below r"),
    (r"\b(invulnerable|unhackable|unbreakable|attack[- ]proof|tamper[- ]proof)\b", "no classifier is"),
    (r"\brobust (to|against) (all|any|every)\b", "only changes of L2 norm below r are covered"),
    (r"\bguaranteed accuracy\b", "accuracy is observed or bounded below, with a probability"),
    (r"\b(certified |certifiably |provably )?safe\b", "safety is not what was measured"),
    (r"\bFDA[- ]?(approved|cleared|authori[sz]ed|endorsed)\b", "no authority approves this method"),
    (
        rf"\b(compl(y|ies|iant)|satisf(y|ies|ied)|meets?|fulfil(s|led)?|conforms?|conformant)\b{_LAW}",
        "a memo of one test shows conformity with nothing",
    ),
    (r"\bcertified (device|model|classifier|algorithm|product)\b", "images are certified, not the classifier"),
    (
        r"\b99(\.\d+)? ?% of (the )?(certificates|images are certified)\b",
        "alpha bounds each image's failure, not the share of right certificates",
    ),
    (r"\bcannot be fooled\b|\bfool[- ]?proof\b", "beyond r nothing is claimed"),
    (r"\bimperceptib\w*\b|\binvisible (change|perturbation)", "what a reader of images sees was not measured"),
    (
        r"\bno residual risk\b|\brisk[- ]free\b|\beliminates? (the |all )?risk",
        "uncertified images and abstentions remain",
    ),
    (r"\b(best|optimal) (sigma|noise level)\b", "no noise level was chosen by a valid selection"),
    (r"\bsignificant(ly)? (better|worse|higher|lower)\b", "no test of a difference was made"),
    (
        rf"\b{_ITEM}\b[^.;]{{0,30}}\bvalidated\b|\bvalidated\b[^.;]{{0,30}}\b{_ITEM}\b",
        "this is one verification record; validation is the sponsor's",
    ),
    (r"\bvalidation (set|images|data)\b", "say: held-out test data, or what the sponsor confirms"),
    (r"\bground[- ]truth\b", "say: reference standard"),
    (r"\bvulnerable (images?|samples?)\b", "say: not certified"),
    (r"\b(unbiased|fair(ness)?|bias[- ]free)\b", "rows with intervals do not show it"),
    (r"\bstate[- ]of[- ]the[- ]art\b", "no comparison was made"),
    (
        r"\b0(\.0+)? ?%[^.]{0,40}not attainable|not attainable[^.]{0,40}\b0(\.0+)? ?%",
        "an entry that is not attainable has no percentage",
    ),
)
"""Pattern (case is ignored) and reason."""

_RULES = (
    (r"\badversarially robust\b", (r"\bL2\b", r"\br\b|radius"), "needs its norm and radius in the same sentence"),
    (r"\bprovabl[ey] robust", (r"\bL2\b", r"\br\b|radius", r"\balpha\b"), "needs norm, radius and alpha"),
    (r"\bconfidence\b(?! bounds? on)", (r"\bover\b",), "says over what"),
    (
        r"\bcertif\w*[^.]*?\d ?%|\d ?%[^.]*?\bcertif\w*",
        (r"\br\b|radius", r"\bsigma\b", r"\b(noise|selection) samples\b|\bsamples per image\b|\bn\b"),
        "a percentage of certified accuracy needs r, sigma and the number of samples",
    ),
)
_SPARED = (r"\b95 ?% ", r"\b5 % /")
_SENTENCE = re.compile(r"(?<=[.;!?])\s+(?=[A-Z\[])")


@dataclass(frozen=True)
class Refusal:
    """A refused phrase, its place and the reason."""

    phrase: str
    reason: str
    where: str

    @property
    def words(self) -> str:
        """The refusal in one sentence."""
        return f'{self.where}: the wording "{self.phrase}" is refused: {self.reason}'


def refused(pages: Sequence[Sequence[Block]], sponsor: Sponsor) -> list[Refusal]:
    """Return the refused phrases of all printed strings, except the does-not column, and of the sponsor's texts."""
    found: list[Refusal] = []
    for number, page in enumerate(pages, 1):
        for piece in pieces(page):
            if piece.place != DOES_NOT:
                found += check_text(piece.text, f"page {number}")
                found += _structure(piece, f"page {number}")
    printed = {refusal.phrase.lower() for refusal in found}
    for name, text in sponsor.texts():
        found += [each for each in check_text(text, f"sponsor.yaml, {name}") if each.phrase.lower() not in printed]
    return found


def check_text(text: str, where: str) -> Iterator[Refusal]:
    """Yield the refused phrases of a text, except in reviewed sentences and titles of references."""
    plain = without_reviewed(text)
    for pattern, reason in REFUSED:
        for match in re.finditer(pattern, plain, re.IGNORECASE):
            yield Refusal(match[0], reason, where)


def check_fields(record: dict[str, Any]) -> Iterator[Refusal]:
    """Yield the refused phrases of `memo_fields.json`, except in the does-not column."""
    fields = record.get("fields")
    for name, field in fields.items() if isinstance(fields, dict) else ():
        if isinstance(field, dict):
            yield from check_text(str(field.get("printed")), name)
    tables = record.get("tables")
    for name, table in tables.items() if isinstance(tables, dict) else ():
        rows = table.get("rows") if isinstance(table, dict) else None
        for row in rows if isinstance(rows, list) else ():
            entries = row[:2] if name == "guarantees" else row
            yield from check_text(" | ".join(str(entry) for entry in entries), f"table {name}")


def check_pdf(text: str, wanted: Sequence[Piece], where: str) -> Iterator[Refusal]:
    """Yield the refused phrases of a page that are not in the strings of the memo itself."""
    plain = " ".join(text.split())
    for piece in wanted:
        if piece.place == DOES_NOT:
            plain = plain.replace(" ".join(piece.text.split()), "")
    known = {each.phrase for piece in wanted for each in check_text(piece.text, where)}
    yield from (each for each in check_text(plain, where) if each.phrase not in known)


def without_reviewed(text: str) -> str:
    """Return a text without the reviewed sentences and titles, which are exempt."""
    plain = " ".join(text.split())
    for spared in (ONE_SUPPLY, NO_TEST, *references()):
        plain = plain.replace(spared, "")
    return plain


def _structure(piece: Piece, where: str) -> Iterator[Refusal]:
    for sentence in _SENTENCE.split(without_reviewed(piece.text)):
        for pattern, wanted, reason in _RULES:
            plain = re.sub("|".join(_SPARED), "", sentence)
            match = re.search(pattern, plain, re.IGNORECASE)
            context = f"{piece.context} {sentence}"
            if match and not all(re.search(each, context) for each in wanted):
                yield Refusal(match[0], reason, where)
