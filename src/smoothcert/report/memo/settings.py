"""Page 2: method, pre-specification, statistics and cost, as fields."""

from __future__ import annotations

import math

from smoothcert.evidence.cost import costs
from smoothcert.evidence.events import LOCKED
from smoothcert.formats.cost import AGAIN, CERTIFY, PREDICT, RUN, Amount, Scenario
from smoothcert.report.cost import digits_up, energy_up, price, time_up
from smoothcert.report.memo import text
from smoothcert.report.memo.blocks import DOWN, UP, Field, Fields, exact, fill, up, words
from smoothcert.report.memo.claim_box import entry_words, tests_passed, utc
from smoothcert.report.memo.context import MemoContext
from smoothcert.report.memo.sponsor import field_text, opened, quoted
from smoothcert.stats import claims
from smoothcert.stats.rounding import percent_exact
from smoothcert.verify.conduct import NOT_KNOWN, described


def settings(found: MemoContext) -> Fields:
    """Return the settings of the run, as sentences of the method and as plain values."""
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
    betting = request.bound == "betting"
    if request.stops_by == "worth":
        fields["price"] = exact(round(request.worth_samples), "spec.json: price")
    stopping = request.stops_by if request.stops_by != "futility" or betting else request.stopping
    fields["stopping_rule"] = words(fill(text.STOPPING_RULES[stopping], fields), "spec.json", stopping)
    wrong = "votes" if betting and rule == "label" else "selection"
    fields["wrong_rule"] = words(text.WRONG_RULES[wrong], "spec.json: target", request.target)
    fields["bound_rule"] = words(text.BOUND_RULES[request.bound], "spec.json: bound", request.bound)
    method = text.BETTING_METHOD if betting else text.METHOD
    method = f"{method} {text.PIPELINE_METHOD}" if spec.denoised else method
    return fields | {"method": words(fill(method, fields), "spec.json")}


def _recipe(found: MemoContext) -> str:
    recipe = found.run.spec.recipe
    compiled = ", compiled" if recipe.compiled else ""
    return f"{recipe.precision} on {recipe.device}, batches of {recipe.batch_size:,}{compiled}, torch {recipe.torch}"


def prespecified(found: MemoContext) -> Fields:
    """Return what was fixed before the first image, and when."""
    run, locked = found.run, found.event(LOCKED)
    first = min(run.ledger.columns.at.distinct(), default="")
    base = {
        "cell_words": words(entry_words(found.shown), ""),
        "locked_at": words(utc(locked.at) if locked else "never", "log of events"),
        "first_at": words(utc(first) or "none yet", "ledger"),
    }
    named = text.NAMED_WORDS if found.named else text.UNNAMED_WORDS
    base |= _pilot(found)
    named = f"{named} {text.PLANNED_WORDS}" if found.planned else named
    base["named_words"] = words(fill(named, base), "spec.json and log of events")
    locked_words = text.LOCKED_FIRST if found.locked_first else text.NOT_LOCKED_FIRST
    del base["cell_words"]
    return {
        **base,
        "locked_words": words(fill(locked_words, base), "log of events and ledger"),
        "thresholds": words(field_text(found.sponsor, "thresholds"), "sponsor.yaml: thresholds"),
        "conduct": words(" ".join((*described(run), NOT_KNOWN)), "log of events and ledger", described(run)),
        "deviations": words(field_text(found.sponsor, "deviations"), "sponsor.yaml: deviations"),
    }


def _pilot(found: MemoContext) -> Fields:
    if found.planned is None:
        return {}
    pilot = found.planned.pilot
    return {
        "pilot_copies": exact(pilot.drawn, "log of events: forecast"),
        "pilot_images": exact(pilot.images, "log of events: forecast"),
    }


def statistics(found: MemoContext) -> Fields:
    """Return section 9, with the tests of noise and arithmetic."""
    run, groups = found.run, found.shown.groups
    tests, equal = tests_passed(run, "noise_test", "passed"), tests_passed(run, "self_test", "bit_equal").count(True)
    wanted = len(run.spec.request.sigma)
    base = settings(found) | {
        "m_bad": exact(_m_bad(found), "quantile of Binomial(m, alpha)"),
        "noise_test": words(_noise_test(tests, wanted), "log of events", tests.count(True)),
        "self_test": words(
            f"Equal outputs for permuted rows (self-test): {equal} of {wanted} noise levels.", "log of events", equal
        ),
        "groups": exact(groups or 0, "ledger: groups"),
    }
    base["groups_words"] = words(fill(text.GROUPS, base) if groups else "", "spec.json: grouped", groups)
    names = ["m_bad", "noise_test", "self_test", "groups_words", *(["groups"] if groups else [])]
    statistics = " ".join(fill(text.STATISTICS, base).split())
    return {name: base[name] for name in names} | {"statistics": words(statistics, "constant, filled in")}


def _noise_test(tests: list[bool], wanted: int) -> str:
    if not tests:
        return "No test of the delivered noise was recorded."
    return f"The delivered noise passed its test at {tests.count(True)} of {wanted} noise levels."


def _m_bad(found: MemoContext) -> int:
    from smoothcert.stats.population import bad_runs

    return bad_runs(found.run.spec.data.images, found.run.spec.request.alpha)


def cost(found: MemoContext) -> Fields:
    """Return section 10: the cost of the run, and the basis of the extrapolation."""
    spec, total = found.run.spec, costs(found.run)[-1]
    whole = claims(spec.data.images, spec.data.images, spec.request.alpha).population
    base = {
        "images": exact(spec.data.images, "spec.json"),
        "passes": exact(total.passes, "ledger: samples classified"),
        "fixed_passes": exact(total.fixed_passes, "decided images x (n0 + n_max)"),
        "device_time": Field(total.seconds, UP, time_up(total.seconds), "ledger: seconds"),
        "device": words(spec.recipe.device, "spec.json: recipe"),
        "highest_bound": up(whole, 2, "population bound of m out of m", 100),
    }
    base |= _once(found) | _scaled(found)
    return base | {"cost": words(" ".join(fill(text.COST, base).split()), "ledger")}


def _once(found: MemoContext) -> Fields:
    """Return energy and price of the run, and the cost of re-certification, as far as known."""
    if not found.run.ledger.lines:
        return {"run_words": words("", "ledger"), "again_words": words("", "ledger")}
    run, again = found.scenario(RUN), found.scenario(AGAIN)
    energy = "energy unknown" if run.kwh is None else energy_up(run.kwh)
    base = {"run_words": words(", ".join((energy, *_priced(run))), "log of events, sponsor.yaml", _value(run.kwh))}
    if again.hours is None:
        return base | {"again_words": words("", "ledger")}
    again_words = fill(
        text.AGAIN, {"again": words(", ".join((time_up(3600 * again.hours.value), *_priced(again))), "")}
    )
    return base | {"again_words": words(again_words, "run, at its rate", _value(again.hours))}


def _value(amount: Amount | None) -> float | None:
    return None if amount is None else amount.value


def _priced(row: Scenario) -> tuple[str, ...]:
    if row.money is None or row.currency is None:
        return ()
    return (price(row.money, quoted(row.currency, "production.devices.hour.currency")),)


def _scaled(found: MemoContext) -> Fields:
    """Return the basis of the extrapolation to production, in words."""
    device, basis, asked = found.serving, found.basis, found.production
    stated = device.copies_per_second if device else None
    rate = stated or basis.rate
    if rate is None or not found.run.ledger.lines:
        return {"scale_words": words(text.NO_SCALE, "ledger")}
    base = {
        "rate": Field(rate, DOWN, f"{math.floor(rate):,}", "sponsor.yaml" if stated else "ledger: samples / seconds"),
        "utilisation": words(percent_exact(asked.utilisation), "sponsor.yaml or default", asked.utilisation),
        "votes": exact(asked.votes, "sponsor.yaml or default"),
        "prediction_alpha": exact(asked.alpha, "sponsor.yaml or default"),
        "copies_predict": _samples(found.scenario(PREDICT, asked.studies_a_day[0]).copies),
        "copies_certify": _samples(found.scenario(CERTIFY, asked.studies_a_day[0]).copies),
        "abstention": up(basis.abstention or 0.0, 1, "estimate from stored votes", 100),
    }
    scale = text.SCALE_STATED if stated else text.SCALE
    return base | {"scale_words": words(" ".join((fill(scale, base), fill(text.SERVED, base))), "ledger, sponsor.yaml")}


def _samples(amount: Amount | None) -> Field:
    value = amount.value if amount else math.nan
    return Field(value, UP, digits_up(value, 0), "ledger: votes")


def price_row(found: MemoContext) -> str:
    """Return the sponsor's price per hour of the device shown, or its grey box."""
    if found.sponsor.production is None:
        return opened("production")
    if found.serving is None or found.serving.hour is None:
        return opened("hour")
    device, hour = found.serving, found.serving.hour
    name, source = (quoted(getattr(device, each), f"production.devices.{each}") for each in ("name", "source"))
    currency = quoted(hour.currency, "production.devices.hour.currency")
    return f"{hour.amount:,.2f} {currency}, {hour.date}; {name}: {source}"
