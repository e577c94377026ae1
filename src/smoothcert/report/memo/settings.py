"""Page 2: method, pre-specification, statistics and cost, as fields."""

from __future__ import annotations

from smoothcert.evidence import LEVEL, LOCKED, Cost, costs
from smoothcert.report.memo import text
from smoothcert.report.memo.claimed import cell_words, utc
from smoothcert.report.memo.field import UP, Field, Fields, down, exact, fill, up, words
from smoothcert.report.memo.material import Material
from smoothcert.report.memo.sponsored import opened, said, spoken
from smoothcert.stats import claims

PROJECTED = 10_000
"""Images that production scale is projected for."""


def settings(found: Material) -> Fields:
    """The run's settings as they stand in the method, and as plain values."""
    request, spec = found.run.spec.request, found.run.spec
    fields = {
        "images": exact(spec.data.images, "spec.json"),
        "alpha": exact(request.alpha, "spec.json"),
        "n0": exact(request.n0, "spec.json"),
        "n_max": exact(request.n_max, "spec.json"),
        "looks": exact(len(spec.looks), "spec.json"),
        "cells": exact(spec.cells, "spec.json: noise levels x k x radii"),
        "recipe": words(_recipe(found), "spec.json: recipe", spec.recipe.model_dump(mode="json")),
        "noise_rule": words(text.NOISE_RULES[request.noise], "spec.json: noise", request.noise),
    }
    targets = {request.target_of(k) for k in request.k}
    rule = "both" if len(targets) > 1 else targets.pop()
    fields["label_rule"] = words(fill(text.LABEL_RULES[rule], fields), "spec.json: target", request.target)
    fields["stopping_rule"] = words(fill(text.STOPPING_RULES[request.stopping], fields), "spec.json", request.stopping)
    fields["bound_rule"] = words(text.BOUND_RULES[request.bound], "spec.json: bound", request.bound)
    return fields | {"method": words(fill(text.METHOD, fields), "spec.json")}


def _recipe(found: Material) -> str:
    recipe = found.run.spec.recipe
    compiled = ", compiled" if recipe.compiled else ""
    return f"{recipe.precision} on {recipe.device}, batches of {recipe.batch_size:,}{compiled}, torch {recipe.torch}"


def prespecified(found: Material) -> Fields:
    """What was fixed before the first image, and when."""
    run, locked = found.run, found.event(LOCKED)
    first = min((line.at for line in run.ledger.lines), default="")
    base = {
        "cell_words": words(cell_words(found.shown), ""),
        "locked_at": words(utc(locked.at) if locked else "never", "log of events"),
        "first_at": words(utc(first) or "none yet", "ledger"),
    }
    named = text.NAMED_WORDS if found.named else text.UNNAMED_WORDS
    base["named_words"] = words(fill(named, base), "spec.json")
    told = text.LOCKED_FIRST if found.locked_first else text.NOT_LOCKED_FIRST
    del base["cell_words"]
    return {
        **base,
        "locked_words": words(fill(told, base), "log of events and ledger"),
        "thresholds": words(said(found.sponsor, "thresholds"), "sponsor.yaml: thresholds"),
    }


def statistics(found: Material) -> Fields:
    """Section 9, with what was tested about noise and arithmetic."""
    run, groups = found.run, found.shown.groups
    levels = [event for event in run.events if event.event == LEVEL]
    tests = [event.facts["noise_test"]["passed"] for event in levels if "noise_test" in event.facts]
    equal = sum((event.facts.get("self_test") or {}).get("bit_equal") is True for event in levels)
    wanted = len(run.spec.request.sigma)
    base = settings(found) | {
        "m_bad": exact(_m_bad(found), "quantile of Binomial(m, alpha)"),
        "noise_test": words(_noise_test(tests, wanted), "log of events", tests.count(True)),
        "self_test": words(
            f"Equal numbers for permuted rows (self-test): {equal} of {wanted} noise levels.", "log of events", equal
        ),
        "groups": exact(groups or 0, "ledger: groups"),
    }
    base["groups_words"] = words(fill(text.GROUPS, base) if groups else "", "spec.json: grouped", groups)
    names = ["m_bad", "noise_test", "self_test", "groups_words", *(["groups"] if groups else [])]
    told = " ".join(fill(text.STATISTICS, base).split())
    return {name: base[name] for name in names} | {"statistics": words(told, "constant, filled in")}


def _noise_test(tests: list[bool], wanted: int) -> str:
    if not tests:
        return "A test of the noise delivered was not recorded."
    return f"The noise delivered passed its test at {tests.count(True)} of {wanted} noise levels."


def _m_bad(found: Material) -> int:
    from smoothcert.stats import bad_runs

    return bad_runs(found.run.spec.data.images, found.run.spec.request.alpha)


def cost(found: Material) -> Fields:
    """Section 10: what the run cost, and what production scale would."""
    spec, total = found.run.spec, costs(found.run)[-1]
    whole = claims(spec.data.images, spec.data.images, spec.request.alpha).population
    base = {
        "images": exact(spec.data.images, "spec.json"),
        "passes": exact(total.passes, "ledger: copies classified"),
        "fixed_passes": exact(total.fixed_passes, "decided images x (n0 + n_max)"),
        "device_time": duration(total.seconds, "ledger: seconds"),
        "device": words(spec.recipe.device, "spec.json: recipe"),
        "ceiling": down(whole, 1, "population bound of m out of m", 100),
    }
    base |= _scaled(found, total)
    return base | {"cost": words(" ".join(fill(text.COST, base).split()), "ledger")}


def _scaled(found: Material, total: Cost) -> Fields:
    """Return the projection to `PROJECTED` images, and its price where the sponsor gave one and a GPU was used."""
    if not total.seconds or not total.images:
        return {"scale_words": words(text.NO_SCALE, "ledger"), "price_words": words("", "sponsor.yaml")}
    levels = len(found.run.spec.request.sigma)
    factor = PROJECTED * levels / total.images
    hours, most = (factor * n / total.rate / 3600 for n in (total.passes, total.fixed_passes))
    base = {
        "scale_time": duration(3600 * hours, "seconds an image x 10,000 images x noise levels"),
        "scale_time_most": duration(3600 * most, "copies of fixed sampling at the measured rate"),
    }
    base["scale_words"] = words(fill(text.SCALE, base), "ledger")
    return base | _priced(found, total.seconds / 3600, hours)


def _priced(found: Material, hours: float, scaled: float) -> Fields:
    stated = found.sponsor.gpu_hour
    if stated is None:
        return {"price_words": words(text.PRICE["open"], "sponsor.yaml")}
    currency = spoken(stated.currency, "gpu_hour.currency")
    base = {
        "price": words(f"{stated.amount:,.2f} {currency}", "sponsor.yaml", stated.amount),
        "price_date": words(str(stated.date), "sponsor.yaml"),
        "price_run": words(
            f"{up(hours * stated.amount, 2, '').printed} {currency}", "hours x price, up", hours * stated.amount
        ),
        "price_scale": words(
            f"{up(scaled * stated.amount, 2, '').printed} {currency}", "hours x price, up", scaled * stated.amount
        ),
    }
    on_gpu = found.run.spec.recipe.device.startswith("cuda")
    return base | {"price_words": words(fill(text.PRICE["cuda" if on_gpu else "other"], base), "sponsor.yaml")}


def duration(seconds: float, source: str) -> Field:
    """A measured or projected time, rounded up, in the unit that suits it.

    >>> [duration(s, "").printed for s in (4.21, 300, 7200, 86400)]
    ['4.3 s', '5.0 min', '2.0 h', '24.0 h']
    """
    unit, length = next(((u, n) for u, n in (("h", 3600), ("min", 60)) if seconds >= 2 * n), ("s", 1))
    rounded = up(seconds / length, 1, source)
    return Field(seconds, UP, f"{float(rounded.printed):,.1f} {unit}", source)


def price_row(found: Material) -> str:
    """Return the sponsor's price of a GPU-hour for the cost table, or its grey box."""
    stated = found.sponsor.gpu_hour
    return (
        f"{stated.amount:,.2f} {spoken(stated.currency, 'gpu_hour.currency')}, {stated.date}"
        if stated
        else opened("gpu_hour")
    )
