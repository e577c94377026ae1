"""What was tested, where the numbers came from, and the event log in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from smoothcert.config import ModelFacts
from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.evidence.events import (
    CHANGED,
    CLEAN,
    ENERGY,
    FINISHED,
    LEVEL,
    LOCKED,
    MERGED,
    RATES,
    REPEATED,
    RESUMED,
    SESSION_ENDED,
    SHARD_FINISHED,
    SIGNED,
    STARTED,
    WORKER,
    Event,
)
from smoothcert.evidence.run import PLANNED
from smoothcert.report.claims import PIPELINE
from smoothcert.report.networks import NO_STEPS, denoiser_code, has_weights, networks
from smoothcert.report.results_table import Table
from smoothcert.stats.rounding import full

Facts = Mapping[str, Any]
_LONGEST = 300  # characters of an unknown event


def event_words(event: Event) -> str:
    """Return the facts of one event in words; those of an unknown event as JSON."""
    try:
        return _WORDS[event.event](event.facts)
    except (KeyError, TypeError, ValueError, AttributeError):
        text = json.dumps(event.facts, sort_keys=True, ensure_ascii=False)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _locked(facts: Facts) -> str:
    return f"spec SHA-256 {facts['spec_sha256']}, smoothcert {facts['smoothcert']}"


def _started(facts: Facts) -> str:
    worker = f", worker {facts['worker']}" if "worker" in facts else ""
    recipe = f", numeric recipe {facts['recipe']}" if facts.get("recipe") else ""
    shard = f", shard {facts['shard']}" if facts.get("shard") else ""
    code = f", code SHA-256 {facts['code_sha256'][:12]}..." if "code_sha256" in facts else ""
    return f"{facts['lines']:,} results present{shard}{worker}{recipe}{code}"


def _worker(facts: Facts) -> str:
    reason = f": {facts['reason']}" if "reason" in facts else ""
    again = f"; {facts['images_again']:,} images are sampled again" if facts.get("images_again") else ""
    return f"{facts['worker']} {facts['state']}{reason}{again}"


def _repeated(facts: Facts) -> str:
    return f"{facts['repeats']:,} of {facts['images']:,} images are repeats of others"


def _level(facts: Facts) -> str:
    noise, test = facts.get("noise_test"), facts.get("self_test")
    words = [f"sigma {full(facts['sigma'])}"]
    if noise:
        state = "passed" if noise["passed"] else "FAILED"
        words.append(f"delivered noise {state} its test ({noise['values']:,} values, p = {noise['chi_square_p']:.2g})")
    if test:
        equal = "the same" if test["bit_equal"] else "DIFFERENT"
        words.append(f"self-test: outputs bit for bit {equal} in another order and in other batches")
    return "; ".join(words)


def _clean(facts: Facts) -> str:
    def counts(name: str) -> str:
        return ", ".join(f"k = {k}: {sum(each):,}/{facts['images']:,}" for k, each in facts[name].items())

    alone = f"; without the denoiser: {counts('alone')}" if facts.get("alone") else ""
    return f"sigma {full(facts['sigma'])}, no noise: label among the k highest scores: {counts('correct')}{alone}"


def _changed(facts: Facts) -> str:
    return f"{len(facts['changes'])} simple perturbations measured in L2 on {facts['images']:,} images"


def _rates(facts: Facts) -> str:
    rates = ", ".join(f"{precision} {rate:,.0f}" for precision, rate in facts["rates"].items())
    left_out = "".join(f"; not {precision}: {reason}" for precision, reason in facts["left_out"].items())
    return f"samples per second at sigma {full(facts['sigma'])} on {facts['device']}: {rates}{left_out}"


def _energy(facts: Facts) -> str:
    used = "energy unknown" if facts["joules"] is None else f"{facts['joules']:,.0f} J"
    source = str(facts["source"]).removeprefix("unknown: ")
    return f"sigma {full(facts['sigma'])}: {facts['copies']:,} samples in {facts['seconds']:,.1f} s, {used} ({source})"


def _planned(facts: Facts) -> str:
    pilot = facts["forecast"]["pilot"]
    return f"forecast of this run, from a pilot of {pilot['images']:,} images with {pilot['copies']:,} samples each"


def _shard_finished(facts: Facts) -> str:
    return f"{facts['lines']:,} results of shard {facts['shard']}, ledger SHA-256 {facts['ledger_sha256']}"


def _merged(facts: Facts) -> str:
    lines = [shard["lines"] for shard in facts["shards"]]
    return f"{sum(lines):,} results of {len(lines):,} shards, which locked the same spec; their own logs are in shards/"


def _files(facts: Facts) -> str:
    return f"{sum(file['lines'] for file in facts['files'].values()):,} lines in {len(facts['files']):,} ledger files"


def _interrupted(facts: Facts) -> str:
    return f"interrupted; {_files(facts)}"


def _signed(facts: Facts) -> str:
    return f"lock.sig, SHA-256 {facts['sha256']}"


def _finished(facts: Facts) -> str:
    return f"{facts['lines']:,} results sealed, ledger SHA-256 {facts['ledger_sha256']}"


_WORDS: dict[str, Callable[[Facts], str]] = {
    LOCKED: _locked,
    SIGNED: _signed,
    PLANNED: _planned,
    STARTED: _started,
    RESUMED: _started,
    LEVEL: _level,
    CLEAN: _clean,
    CHANGED: _changed,
    REPEATED: _repeated,
    RATES: _rates,
    ENERGY: _energy,
    WORKER: _worker,
    SESSION_ENDED: _interrupted,
    SHARD_FINISHED: _shard_finished,
    MERGED: _merged,
    FINISHED: _finished,
}


Fact = tuple[str, str]


def images_facts(run: Run) -> list[Fact]:
    """Return what is known about the images."""
    data = run.spec.data
    channels, height, width = data.shape
    grouped = "yes; the population bound uses one image per group" if data.grouped else "no groups given"
    columns = ", ".join(map(printable, data.subgroups))
    return [
        ("Reference", data.reference),
        ("Images", f"{data.images:,}, {height} x {width} pixels, {channels} channels, values 0 to {data.levels}"),
        ("Classes", f"{run.spec.classes:,}"),
        ("Groups (such as patients)", grouped),
        *([("Subgroups", f"results by {columns}")] if columns else []),
        ("Preprocessing", "; ".join(data.preprocessing) or NO_STEPS),
        ("Data SHA-256", data.sha256.removeprefix("sha256:")),
        ("Labels SHA-256", data.labels_sha256.removeprefix("sha256:")),
    ]


def classifiers(run: Run) -> Table:
    """Return the tested classifiers, one row per sigma; with denoisers, one row per network."""
    denoised = run.spec.denoised
    rows = tuple(
        (
            full(each.sigma),
            *((each.part,) if denoised else ()),
            each.facts.reference,
            each.facts.arch or "not named",
            each.trained or "not known",
            each.facts.sha256.removeprefix("sha256:") if has_weights(run.spec, each.facts) else "none: code alone",
        )
        for each in networks(run.spec)
    )
    named = ("part of the pipeline", "file or name") if denoised else ("classifier",)
    return Table(("sigma", *named, "architecture", "trained with sigma", "weights SHA-256"), rows, ())


def pipeline_facts(run: Run) -> list[Fact]:
    """Return how the parts of the pipeline are applied; empty without a denoiser."""
    if not run.spec.denoised:
        return []
    steps = dict.fromkeys("; ".join(_steps(model)) for model in run.spec.models)
    code = ((f"C{name[1:]}, SHA-256", sha.removeprefix("sha256:")) for name, sha in denoiser_code(run.spec))
    return [("Certified", PIPELINE), *(("Steps after the noise", each) for each in steps), *code]


def _steps(model: ModelFacts) -> Iterator[str]:
    around = () if model.denoiser is None else model.denoiser.adapted
    yield f"denoiser ({', '.join(around)})" if around else "denoiser"
    if model.mean:
        yield f"normalisation with mean {_plain(model.mean)}, std {_plain(model.std)}"
    yield f"classifier ({', '.join(model.adapted)})" if model.adapted else "classifier"


def settings(run: Run) -> list[Fact]:
    """Return every setting of the request, as in spec.json."""
    record = run.spec.request.model_dump(mode="json")
    return [(name, _plain(value)) for name, value in record.items() if value not in (None, [])]


def origin(run: Run) -> list[Fact]:
    """Return where the numbers come from: hashes, seed, recipe."""
    spec = run.spec
    odd, shards = len(run.ledger.differing), run.directory.shards
    found = [
        ("Spec SHA-256", spec.sha256()),
        _ledger(run),
        ("Ledger", f"{len(run.ledger.lines):,} results, {run.missing:,} missing"),
        *([("Merged from", "; ".join(f"{each.name}: {each.lines:,} results" for each in shards))] if shards else []),
        ("Seed of the noise", f"{spec.seed} ({_SEEDS[spec.seed_source]})"),
        ("Looks", f"{', '.join(f'{n:,}' for n in spec.looks)} samples"),
        ("Numeric recipe", ", ".join(f"{name} {_plain(value)}" for name, value in spec.recipe.model_dump().items())),
        ("smoothcert", spec.smoothcert),
    ]
    return (
        [*found, ("Differing workers", f"{odd:,} results; the worker whose name sorts first counts")] if odd else found
    )


def _ledger(run: Run) -> Fact:
    """Return the hash of the ledger; for a sealed run the one in the seal, which the status has already checked."""
    seal = run.directory.seal()
    if seal is None:
        return "Ledger SHA-256", run.ledger.sha256()
    return "Ledger SHA-256, as sealed", str(seal.facts["ledger_sha256"])


_SEEDS = {"operating system": "drawn from the operating system's entropy", "user": "chosen by the user"}


def environment(run: Run) -> list[Fact]:
    """Return versions and machine as recorded during the run; empty without a record."""
    record = run.directory.read_environment()
    return [(name.replace("_", " "), _plain(value)) for name, value in sorted(record.items())]


def _plain(value: Any) -> str:
    """Return a setting without brackets and quotes."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return "; ".join(map(_plain, value)) if value and isinstance(value[0], dict) else ", ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)
