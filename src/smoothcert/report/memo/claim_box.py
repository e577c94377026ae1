"""Pages 1 and 4: draft status, identity, claim box, residual risk. Claim sentences come from `report.claims`."""

from __future__ import annotations

from collections.abc import Iterator

from smoothcert.evidence import Run
from smoothcert.evidence.events import LEVEL
from smoothcert.evidence.seal import seal_remark
from smoothcert.formats.results import Entry
from smoothcert.report import claims
from smoothcert.report.memo import text
from smoothcert.report.memo.blocks import Fields, cut, down, exact, fill, substitute, up, words
from smoothcert.report.memo.context import MemoContext
from smoothcert.report.returned import ByClass
from smoothcert.report.tables import MET, NOT_MET
from smoothcert.report.units import GREY, units
from smoothcert.stats.population import bad_runs
from smoothcert.stats.rounding import full
from smoothcert.verify import NOT_SHOWN

UNSIGNED = "it is not signed, and this tool signs nothing"


def reasons(found: MemoContext, refused: int) -> Iterator[str]:
    """Yield the reasons why the memo is a draft, the most severe first; for a final one, what it is.

    Args:
        found: context of the memo.
        refused: number of phrases that the wording check refuses.
    """
    if found.final:
        yield text.COMPLETE
    else:
        yield from open_reasons(found, refused)
        if found.sponsor.open:
            count = len(found.sponsor.open)
            yield f"{count} sponsor {'field is' if count == 1 else 'fields are'} open"
    yield UNSIGNED


def open_reasons(found: MemoContext, refused: int) -> Iterator[str]:
    """Yield the reasons why the memo cannot be final, other than open fields of the sponsor; see `reasons`."""
    run = found.run
    if not found.checked.passed:
        yield "the evidence does not verify"
    if not found.locked_first:
        yield "the log does not show that the settings were locked before the first image"
    if run.missing:
        yield f"the run is partial ({run.missing:,} results missing)"
    if not run.sealed:
        yield "the run is not sealed"
    if failed := noise_faults(found):
        yield f"the delivered noise did not pass its test at {failed} noise {_levels(failed)}"
    if refused:
        phrases = "phrase" if refused == 1 else "phrases"
        yield f"the wording check refuses {refused} {phrases} (smoothcert verify names them)"


def noise_faults(found: MemoContext) -> int:
    """Return the number of noise levels whose delivered noise did not pass its test, in any session or shard."""
    return tests_passed(found.run, "noise_test", "passed").count(False)


def tests_passed(run: Run, test: str, name: str) -> list[bool]:
    """Return, for each noise level with this test, whether it passed in every session and shard."""
    found: dict[object, bool] = {}
    for event in run.events:
        facts = event.facts.get(test)
        if event.event == LEVEL and isinstance(facts, dict):
            sigma = event.facts.get("sigma")
            found[sigma] = found.get(sigma, True) and facts.get(name) is True
    return list(found.values())


def marks(found: MemoContext) -> Iterator[str]:
    """Yield the marks in the header of every page."""
    run = found.run
    yield text.FINAL if found.final else text.STATUS
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


def identity(found: MemoContext, refused: int) -> Fields:
    """Return the identity of the memo: ids, date, status and the marks of the header."""
    run, open_fields = found.run, found.sponsor.open
    spec, ledger = run.spec.sha256(), run.ledger.sha256()
    return {
        "document_id": words(f"SC-MEMO-{spec[:8]}-{ledger[:8]}", "hashes of spec.json and of the canonical ledger"),
        "run_id": words(spec[:12], "hash of spec.json"),
        "status": words(text.FINAL if found.final else text.STATUS, "the tool never approves"),
        "dated": words(utc(found.dated), "finish event, or the last line of a run that is not sealed"),
        "open_fields": exact(len(open_fields), "sponsor fields that are open"),
        "regulation": words(found.sponsor.regulation or "open", "sponsor.yaml: regulation", found.sponsor.regulation),
        "marks": words(" · ".join(marks(found)), "run and sponsor", list(marks(found))),
        "reasons": words("; ".join(reasons(found, refused)), "gates", list(reasons(found, refused))),
        "warnings": words(" ".join(warnings(found)), "data and model of spec.json, sponsor", warnings(found)),
    }


def warnings(found: MemoContext) -> list[str]:
    """Return the warnings at the top of page 1."""
    smoothing, sigmas = found.sponsor.smoothing, [float(sigma) for sigma in found.run.spec.request.sigma]
    released = smoothing.sigma if smoothing and smoothing.in_release else None
    base = {"released_sigma": exact(released or 0.0, "sponsor.yaml")}
    stated = [
        (found.run.spec.data.synthetic, text.SYNTHETIC),
        (found.run.arithmetic.startswith("not covered"), text.NOT_COVERED),
        (found.demo, text.DEMONSTRATION_MODEL),
        (found.sponsor.demonstration, text.DEMONSTRATION_DATA),
        (smoothing is not None and not smoothing.in_release, text.NOT_RELEASED),
        (released is not None and released not in sigmas, fill(text.OTHER_SIGMA, base)),
        (released in sigmas and released != found.shown.sigma, fill(text.UNSHOWN_SIGMA, base)),
    ]
    remark = substitute(seal_remark(found.run.directory))
    return [sentence for holds, sentence in [*stated, (bool(remark), f"{remark}.")] if holds]


def utc(at: str) -> str:
    """Return a time of the log in the form 2026-11-22 14:48:55 UTC."""
    return at.replace("T", " ").replace("Z", " UTC")


def entry_words(entry: Entry) -> str:
    """Return the sigma, r and k of an entry as text."""
    return f"sigma {full(entry.sigma)}, r = {full(entry.radius)}, k = {entry.k}"


def claim(found: MemoContext) -> Fields:
    """Return the claim box: the entry, the three sentences, their condition and their limits."""
    run, entry = found.run, found.shown
    where = f"results, {entry_words(entry)}"
    fields = {"cell_words": words(entry_words(entry), "primary, first criterion, or first attainable entry")}
    heading = text.NAMED if found.named else text.UNNAMED if entry.attainable else text.UNATTAINABLE
    fault = cut(substitute(" ".join(found.checked.faults[:1])), 180)
    fields |= _numbers(found, where) if entry.attainable else {}
    fields |= {
        "cell_radius": exact(entry.radius, "spec.json"),
        "cell_grey": down(units(entry.radius, run.spec.data.shape).rms, 2, f"r {GREY} / sqrt(values of an image)"),
        "claim_heading": words(fill(heading, fields), "spec.json and log of events"),
        "first_fault": words(f"First fault: {fault}." if fault else "", "verify"),
        "observed": words(claims.observed(entry, run), where, _raw(entry)),
        "by_class": words(claims.of_classes(found.by_class), where, _extremes(found.by_class)),
        "stable_wrong": words(claims.of_wrong(found.stable_wrong) if found.stable_wrong else "", "ledger: looks"),
        "sample": words(_sample(found), where, {"sample": entry.sample, "images": entry.images}),
        "population": words(_population(found), where, {"population": entry.population, "joint": entry.joint}),
        "condition": words(_condition(found), "sponsor.yaml"),
        "deployment": words(claims.deployment(run.spec), "constant"),
        "arithmetic": words(claims.arithmetic(run), "spec.json and self-tests in the log of events"),
        "one_image": words(claims.one_image(run.spec.request.alpha), "spec.json", run.spec.request.alpha),
        "criteria_words": words(_criteria(found), "criteria of spec.json and results"),
        "not_shown": words(NOT_SHOWN, "constant"),
    }
    if run.spec.denoised:
        fields["object"] = words(claims.PIPELINE, "spec.json: denoiser")
    return fields | {
        "failed": words(fill(text.FAILED, fields), "verify"),
        "size": words(fill(text.SIZE, fields), where),
    }


def _extremes(found: ByClass | None) -> dict[str, list[str | int]] | None:
    if found is None:
        return None
    parts = {"lowest": found.lowest, "highest": found.highest}
    return {name: [row.name, row.certified, row.images] for name, row in parts.items()}


def _raw(entry: Entry) -> dict[str, float | int | bool]:
    names = ("sigma", "k", "radius", "attainable", "r_max", "images", "certified", "low", "high", "abstained", "wrong")
    return {name: getattr(entry, name) for name in names}


def _numbers(found: MemoContext, where: str) -> Fields:
    entry = found.shown
    fields = {
        "cell_certified": exact(entry.certified, where),
        "cell_share": down(entry.certified / entry.images, 1, where, 100),
        "cell_low": down(entry.low, 1, where, 100),
        "cell_high": up(1.0 if entry.high is None else entry.high, 1, where, 100),
        "cell_sample": exact(entry.sample, where),
        "cell_abstained": exact(entry.abstained, where),
        "cell_wrong": exact(entry.wrong, where),
        "cell_m_bad": exact(bad_runs(entry.images, found.run.spec.request.alpha), "quantile of Binomial(m, alpha)"),
    }
    bound = entry.population if found.named else entry.joint
    withheld = bound is None or claims.no_population(entry, found.run)
    return fields if withheld else fields | {"cell_bound": down(bound or 0.0, 1, where, 100)}


def _sample(found: MemoContext) -> str:
    return claims.this_sample(found.shown, found.run.spec.request.alpha) if found.shown.attainable else ""


def _population(found: MemoContext) -> str:
    if not found.shown.attainable:
        return ""
    return text.PARTIAL if found.run.missing else claims.population(found.shown, found.named is None, found.run)


def _condition(found: MemoContext) -> str:
    stated = found.sponsor.independence
    if not found.shown.attainable or claims.no_population(found.shown, found.run) or stated is None:
        return ""
    return f"{text.CONDITION_STATED} {text.CLASS_MIX.get(stated.sampling, '')}".strip()


def _criteria(found: MemoContext) -> str:
    if not found.verdicts or not found.locked_first:
        return text.DESCRIPTIVE
    judged = [MET[each.met] for each in found.verdicts]
    shown = ", ".join(f"{judged.count(word)} {word}" for word in ("met", NOT_MET, "undecided") if word in judged)
    if any(each.open for each in found.verdicts):
        shown += "; a bound that reaches its threshold is no finding while population and independence are not stated"
    return f"Acceptance criteria fixed before the first image: {len(found.verdicts)}; {shown} (section 8)."


def remaining(found: MemoContext) -> Fields:
    """Return section 15: what the verification leaves open."""
    entry = found.shown
    base = {
        "uncertified": exact(entry.images - entry.certified, f"m - s, {entry_words(entry)}"),
        "images": exact(entry.images, "spec.json"),
        "alpha": exact(found.run.spec.request.alpha, "spec.json"),
        "cell_words": words(entry_words(entry), "entry of the claim box"),
    }
    residual = fill(text.RESIDUAL if entry.attainable else text.RESIDUAL_UNATTAINABLE, base)
    return {"uncertified": base["uncertified"], "residual": words(residual, f"results, {entry_words(entry)}")}
