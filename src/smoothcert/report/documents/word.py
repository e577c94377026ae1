"""Check memo.docx: each locked control against the memo that follows from the votes; the sponsor's boxes are free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from smoothcert.errors import MissingExtraError
from smoothcert.evidence.directory import file_sha256
from smoothcert.evidence.events import REPORTED
from smoothcert.report.documents.found import Finding, Findings, Written, fault, held, note
from smoothcert.report.documents.memo_pdf import known_text, squeeze
from smoothcert.report.memo.sponsor import FIELDS
from smoothcert.report.memo.wording import check_text
from smoothcert.report.word.memo import MEMO, docx_of, figure_of
from smoothcert.report.word.read import Control, WordFile, read_word
from smoothcert.report.word.xml import OURS
from smoothcert.verify.keys import some

_SPONSORED = ("device", "item_facts", "risk", "approvals", "revisions")
"""Tables with boxes of the sponsor, which may be edited in the file."""
_SHOWN = 50
"""Characters quoted of a text."""


def check_word(written: Written) -> Findings:
    """Check memo.docx, if there is one."""
    if not (written.folder / MEMO).is_file():
        return
    if written.fields is None:
        yield fault(MEMO, f": its numbers cannot be traced, as results/{FIELDS} is missing")
        return
    data = written.bytes(MEMO)
    again = b""
    if written.same_code:
        try:
            again = docx_of(written.memo, figure_of(written.run, written.memo))
        except MissingExtraError as missing:
            yield note(MEMO, f": not checked. {missing}")
            return
    if again == data:
        yield held(MEMO)
        return
    found = read_word(data, f"results/{MEMO}")
    if not any(found.locked()):
        yield fault(MEMO, " has none of its locked controls; a program that does not keep them saved it")
        return
    findings = list(_same(written, found, read_word(again, MEMO)) if again else _known(written, found))
    yield from findings
    if any(each.kind == "fault" for each in findings):
        return
    if _edited(written):
        count = len([*found.locked()])
        what = f"its {count:,} locked controls hold. Its layout and what is drawn over it were not checked"
        yield note(MEMO, f": edited after it was written; {what}")
    yield held(MEMO)


def _same(written: Written, found: WordFile, expected: WordFile) -> Iterator[Finding]:
    """Check a file that the same code wrote."""
    yield from differences(found, expected)
    yield from _free(found, expected)
    yield from _figure(written, found, expected)


def _edited(written: Written) -> bool:
    last = [each for each in written.run.directory.read_events() if each.event == REPORTED][-1:]
    hashes = last[0].facts.get("documents") if last else None
    return isinstance(hashes, dict) and hashes.get(MEMO) != file_sha256(written.folder / MEMO)


def differences(found: WordFile, expected: WordFile) -> Iterator[Finding]:
    """Yield how the locked controls of a file differ from the expected ones; copies of a control may be added."""
    wanted = {each.tag: each for each in expected.locked()}
    present = [*found.locked()]
    for tag in dict.fromkeys(each.tag for each in present if each.tag not in wanted):
        yield fault(MEMO, f": the locked control {tag.removeprefix(OURS)} is of no memo")
    tags = {each.tag for each in present}
    for each in wanted.values():
        if each.tag not in tags:
            yield fault(MEMO, f": the locked control of '{each.text[:_SHOWN]}' was removed")
    for each in present:
        if each.tag in wanted:
            yield from _difference(each, wanted[each.tag])
    order = iter(each.tag for each in present)
    if tags >= {*wanted} and not all(tag in order for tag in wanted):
        yield fault(MEMO, ": its locked controls are in another order")


def _difference(found: Control, wanted: Control) -> Iterator[Finding]:
    for strange in found.strange:
        yield fault(MEMO, f": the locked control of '{wanted.text[:_SHOWN]}' contains {strange}")
    if squeeze(found.text) == squeeze(wanted.text):
        return
    pairs = zip((*found.texts, ""), (*wanted.texts, ""), strict=False)
    one, other = next(((a, b) for a, b in pairs if squeeze(a) != squeeze(b)), (found.text, wanted.text))
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, at - _SHOWN // 2)
    yield fault(
        MEMO,
        f": a locked control has '{one[start : start + _SHOWN]}', the votes give '{other[start : start + _SHOWN]}'",
    )


def _free(found: WordFile, expected: WordFile) -> Iterator[Finding]:
    """Yield what the sponsor changed: boxes, and text outside of the controls."""
    before, after = expected.stated(), found.stated()
    edited = [name for name in before if squeeze(after.get(name, "")) != squeeze(before[name])]
    if edited:
        yield note(MEMO, f": boxes of the sponsor that were edited in the file, not in sponsor.yaml: {some(edited)}")
    added = list((Counter(found.outside) - Counter(expected.outside)).elements())
    added = [each for each in added if not each.replace(" of ", "").strip().isdigit()]  # page numbers
    if added:
        yield note(MEMO, f": text outside of its controls, not checked: {some([each[:_SHOWN] for each in added])}")
    for where, texts in (("a box of the sponsor", [after.get(name, "") for name in edited]), ("its text", added)):
        for each in texts:
            yield from (fault(MEMO, f": {refusal.words}") for refusal in check_text(each, where))


def _figure(written: Written, found: WordFile, expected: WordFile) -> Iterator[Finding]:
    if not written.same_libraries:
        yield note(MEMO, ": its figure was not compared, as matplotlib is another version")
    elif {*expected.media} - {*found.media}:
        yield note(
            MEMO, ": its figure is not the picture that the report drew; a word processor may have stored it anew"
        )
    more = len({*found.media} - {*expected.media})
    if more and written.same_libraries:
        yield note(MEMO, f": pictures that the report did not draw, not checked: {more:,}")


def _known(written: Written, found: WordFile) -> Iterator[Finding]:
    """Check a file that another version wrote: fields and tables of its record must be in its locked controls."""
    record = written.fields or {}
    free = [
        str(entry) for name in _SPONSORED for row in record["tables"].get(name, {}).get("rows", ()) for entry in row
    ]
    free += [str(record["fields"].get(name, {}).get("printed", "")) for name in ("thresholds", "deviations")]
    for each in found.locked():
        yield from (fault(MEMO, f": the locked control of '{each.text[:_SHOWN]}' contains {it}") for it in each.strange)
    yield from known_text(MEMO, [*(each.text for each in found.locked()), *free], written, written.memo)
    yield note(MEMO, ": sentences, boxes of the sponsor and the figure were not compared, as another version wrote it")
