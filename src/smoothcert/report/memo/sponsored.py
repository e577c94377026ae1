"""The sponsor's fields in print: open ones as grey boxes, long or unprintable ones with a pointer to the annex."""

from __future__ import annotations

from smoothcert.report.memo.letters import MISSING, cut, substitute
from smoothcert.report.memo.sponsor import Sponsor
from smoothcert.report.table import Table

ANNEX = "memo_annex.txt"
OPEN = "[SPONSOR TO COMPLETE: {}]"
ROW = 210
"""Characters that fit a row of the sponsor's tables."""
LIMITS = {
    "independence.statement": 150,
    "threat_model": 330,
    "risk_ids": 28,
    "production.devices.name": 40,
    "production.devices.source": 80,
    "production.devices.hour.currency": 12,
    "approvals.role": 24,
    "approvals.name": 36,
    "revisions.version": 8,
    "revisions.change": 70,
}
"""Characters that are printed of the other texts, by field."""
_POINTED = 100  # shorter texts are cut without a pointer to the annex
_LISTED = 4
_IDS = 6

_ASKED = {
    "device": "device and version",
    "intended_use": "intended use",
    "users": "intended users",
    "population": "patients and images the device is meant for",
    "reference_standard": "how the reference labels were made",
    "data_origin": "origin of the images; none used in training",
    "independence": "how the images were drawn; independent or not",
    "data_role": "role of the images in development",
    "threat_model": "who could change an image before it is classified, and how",
    "smoothing": "smoothing in the released build: yes or no, sigma, copies",
    "thresholds": "why these radii and accuracies matter for the intended use",
    "risk_ids": "numbers of the risks in the risk management file",
    "production": "studies a day, devices, and the price of an hour of device with its date",
    "hour": "price of an hour of device, with its date",
    "approvals": "names",
    "revisions": "revision history",
}


def opened(name: str) -> str:
    """Return the grey box of an open field."""
    return OPEN.format(_ASKED[name])


def spoken(text: str, name: str) -> str:
    """Return a sponsor's text as it is printed: one line within its limit, with a pointer where it differs."""
    shown, most = substitute(text), LIMITS.get(name, ROW)
    if not _differs(name, text) or most < _POINTED:
        return cut(shown, most)
    pointer = f" [full text: {ANNEX}, {name}]"
    return cut(shown, most - len(pointer)) + pointer


def _differs(name: str, text: str) -> bool:
    shown = substitute(text)
    return len(shown) > LIMITS.get(name, ROW) or MISSING in shown


def said(sponsor: Sponsor, name: str) -> str:
    """Return a field of plain text, or its grey box."""
    text = getattr(sponsor, name)
    return spoken(text, name) if text else opened(name)


def device_table(sponsor: Sponsor) -> Table:
    """Section 3: device, intended use, and how the images came about."""
    rows = [
        ("Device", said(sponsor, "device")),
        ("Intended use", said(sponsor, "intended_use")),
        ("Users", said(sponsor, "users")),
        ("Population", said(sponsor, "population")),
        ("Reference standard", said(sponsor, "reference_standard")),
        ("Origin of the images", said(sponsor, "data_origin")),
        ("Independence", _independence(sponsor)),
        ("Smoothing in released build", _smoothing(sponsor)),
    ]
    return Table(("field", "sponsor's statement"), tuple(rows), ())


def _independence(sponsor: Sponsor) -> str:
    stated = sponsor.independence
    if stated is None:
        return opened("independence")
    draws = "independent draws" if stated.independent else "NOT independent draws"
    return f"{draws}; sampling: {stated.sampling}. {spoken(stated.statement, 'independence.statement')}"


def _smoothing(sponsor: Sponsor) -> str:
    stated = sponsor.smoothing
    if stated is None:
        return opened("smoothing")
    if not stated.in_release:
        return "no"
    return f"yes, sigma {stated.sigma:g}, {stated.copies:,} noisy copies an image"


def risk_table(sponsor: Sponsor) -> Table:
    """Section 15: threat model and the place in the risk management file."""
    ids = [spoken(each, "risk_ids") for each in sponsor.risk_ids[:_IDS]]
    more = len(sponsor.risk_ids) - len(ids)
    listed = ", ".join(ids) + (f" and {more:,} more [{ANNEX}, risk_ids]" if more else "")
    rows = (
        ("Threat model", said(sponsor, "threat_model")),
        ("Risk file", listed or opened("risk_ids")),
    )
    return Table(("field", "sponsor's statement"), rows, ())


def approval_table(sponsor: Sponsor) -> Table:
    """Section 18: who is to sign; the tool signs nothing."""
    given = [
        (spoken(each.role, "approvals.role"), spoken(each.name or "", "approvals.name"), str(each.date or ""), "")
        for each in sponsor.approvals[:_LISTED]
    ]
    blank = [(role, opened("approvals"), "", "") for role in ("Author", "Reviewer", "Approver")]
    return Table(("role", "name", "date", "signature"), tuple(given or blank), ())


def revision_table(sponsor: Sponsor) -> Table:
    """Section 18: the last revisions, newest last."""
    rows = tuple(
        (spoken(each.version, "revisions.version"), str(each.date), spoken(each.change, "revisions.change"))
        for each in sponsor.revisions[-_LISTED:]
    )
    return Table(("version", "date", "change"), rows or (("", "", opened("revisions")),), ())


def annex(sponsor: Sponsor) -> str:
    """Return every text that the memo cuts or cannot print, and every list it shortens, in full; or an empty text."""
    listed = {"risk_ids": _IDS, "approvals": _LISTED, "revisions": _LISTED}
    whole = {name for name, most in listed.items() if len(getattr(sponsor, name)) > most}
    held = [(name, text) for name, text in sponsor.texts() if name.split(".")[0] in whole or _differs(name, text)]
    head = "Annex to the robustness memo: sponsor's texts that the memo cuts or cannot print, in full.\n"
    return head + "".join(f"\n== {name} ==\n{text}\n" for name, text in held) if held else ""
