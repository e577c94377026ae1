"""Specs, ledger lines, runs, shards, bundles and forecasts without torch; votes are drawn from multinomials."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from smoothcert.config import DataFacts, DenoiserFacts, ModelFacts, Recipe, Spec, make_request, parse_share
from smoothcert.evidence import RunDirectory, open_run
from smoothcert.evidence.bundle.differences import certified_of
from smoothcert.evidence.bundle.record import Bundle, DenoiserFile, Facts
from smoothcert.evidence.creation import create_run
from smoothcert.evidence.events import (
    CLEAN,
    ENERGY,
    LEVEL,
    REPEATED,
    SHARD_FINISHED,
    STARTED,
    append_event,
    utc_now,
)
from smoothcert.evidence.ledger import Ledger, LedgerWriter
from smoothcert.evidence.outcomes import grid_of
from smoothcert.evidence.run import PLANNED, Run, settings_of
from smoothcert.evidence.seal import seal_facts, seal_run
from smoothcert.formats.line import Line
from smoothcert.formats.plan import EntryForecast, Estimate, Forecast, LevelForecast, Pilot, Rate

SHAPE = (3, 28, 28)
THRESHOLDS = {0.25: 1158, 0.5: 2316, 1.0: 4630}
"""64-bit thresholds of 8-bit integer noise, as the design page of the statistics states them."""
PASSED = {"self_test": {"bit_equal": True}, "noise_test": {"passed": True, "values": 1000, "chi_square_p": 0.5}}
"""Facts of a noise level whose tests passed."""
LOOKS = {"looks": (131, 197, 296, 444, 666, 1000), "fixed": (1000,)}


def looks_of(settings):
    """Return the looks up to 1000 samples of a run with these settings."""
    if settings.get("bound") != "betting":
        return LOOKS[settings["stopping"]]
    found = [1000]
    while (n := found[0] * 10 // 11) >= 100:
        found.insert(0, n)
    return tuple(found)


def labels_sha256(labels):
    """Return the hash of labels, written out: shape and dtype in words, then little-endian int64."""
    array = np.asarray(labels, dtype="<i8")
    return "sha256:" + hashlib.sha256(f"({len(array)},) int64\n".encode() + array.tobytes()).hexdigest()


def make_spec(labels=(0, 1, 2, 0, 1), classes=4, looks=(100, 200), grouped=False, seed=7, **settings):
    """Return a spec of images with these labels; `settings` are those of its request."""
    request = make_request(**{"model": "nets:net", "data": "d.npz", "sigma": "0.25", "n_max": looks[-1], **settings})
    eta = (lambda s: 0.0) if request.noise == "float" else (lambda s: np.prod(SHAPE) * THRESHOLDS[s] * 2.0**-64)
    grids = [grid_of(request, looks, float(sigma), float(eta(sigma))) for sigma in request.sigma]
    betting = request.bound == "betting"
    return Spec(
        minor=3 if betting else 0,
        grid=tuple(grids) if betting else (),
        smoothcert="0.1.0",
        request=request,
        looks=looks,
        seed=seed,
        seed_source="user",
        models=tuple(model_facts(sigma, float(eta(sigma)), request.denoiser) for sigma in request.sigma),
        data=DataFacts(
            reference="d.npz",
            sha256="sha256:" + "d" * 64,
            labels_sha256=labels_sha256(labels),
            images=len(labels),
            shape=SHAPE,
            levels=255,
            class_names=tuple("abcdefghij"[:classes]),
            class_counts=tuple(np.bincount(labels, minlength=classes).tolist()),
            preprocessing=(),
            grouped=grouped,
        ),
        recipe=Recipe(
            precision="fp32",
            folded=False,
            autocast=False,
            compiled=False,
            memory_format="contiguous",
            batch_size=512,
            device="cpu",
            instructions="x86_64 avx2",
            torch="2.11.0",
        ),
    )


def model_facts(sigma, eta, denoiser=None):
    """Return the facts of the model of one noise level; with a denoiser, of that one too."""
    return ModelFacts(
        sigma=sigma,
        written=sigma.text,
        reference="nets:net",
        weights=None,
        sha256="sha256:" + "c" * 64,
        arch=None,
        input_shape=None,
        mean=(),
        std=(),
        trained_sigma=None,
        own=False,
        eta=eta,
        denoiser=None if denoiser is None else denoiser_facts(denoiser),
    )


def denoiser_facts(reference, **changed):
    """Return the facts of a denoiser."""
    facts = {"weights": None, "sha256": "sha256:" + "7" * 64, "arch": None, "trained_low": 0.25, "trained_sigma": 0.5}
    facts |= {"adapted": ("images from -1 to 1",), "source_sha256": None, "state_sha256": None}
    return DenoiserFacts(**{"reference": reference, **facts, **changed})


def make_line(
    index=0, label=0, selection=None, looks=(), sigma=0.25, group=None, worker="local-0", seconds=0.5, compact=False
):
    """Return a ledger line; `selection` and each look are votes by class."""
    return Line(
        sigma=sigma,
        index=index,
        image=f"sha256:{index:064x}",
        label=label,
        group=group,
        selection=selection,
        looks=tuple((sum(votes.values()), votes) for votes in looks),
        seconds=seconds,
        worker=worker,
        at="2026-01-02T03:04:05Z",
        compact=compact,
    )


def draw_line(rng, spec, sigma, index, label, probabilities):
    """Return a line with votes from these class probabilities; images of even index stop at a random look."""
    taken = len(spec.looks) if index % 2 else int(rng.integers(1, len(spec.looks) + 1))
    looks = np.cumsum([rng.multinomial(n, probabilities) for n in np.diff((0, *spec.looks[:taken]))], axis=0)
    selection = votes_of(rng.multinomial(spec.request.n0, probabilities)) if spec.request.selects else None
    return make_line(index, label, selection, [votes_of(look) for look in looks], sigma, compact=spec.compact_lines)


def draw_hard_line(rng, spec, sigma, index, label, share=0.6):
    """Return a line whose label has at least this share of the probability; image 3 selects another class."""
    p = rng.dirichlet(np.full(spec.classes, 0.3)) * (1 - share)
    p[label] += share
    targets = {spec.request.target_of(k) for k in spec.request.k}
    selection = votes_of(rng.multinomial(spec.request.n0, p)) if "prediction" in targets else None
    if selection and index == 3:
        return make_line(
            index, label, {(label + 1) % spec.classes: spec.request.n0}, [], sigma, compact=spec.compact_lines
        )
    taken = len(spec.looks) if index % 2 else int(rng.integers(1, len(spec.looks) + 1))
    looks = np.cumsum([rng.multinomial(n, p) for n in np.diff((0, *spec.looks[:taken]))], axis=0)
    return make_line(index, label, selection, [votes_of(look) for look in looks], sigma, compact=spec.compact_lines)


def votes_of(counts):
    """Return counts as votes by class."""
    return {int(c): int(counts[c]) for c in np.flatnonzero(counts)}


def dated_now(lines):
    """Return the lines with the present date: after the lock of a run, and before its seal."""
    return [replace(line, at=utc_now()) for line in lines]


def with_subgroups(lines, subgroups):
    """Return the lines with the values of each column for their image."""
    return [replace(line, subgroups={name: of[line.index] for name, of in subgroups.items()}) for line in lines]


def error_of(kind, call, *arguments):
    """Return the message of the error of a kind that a call raises, or None; other errors pass."""
    try:
        call(*arguments)
    except kind as error:
        return str(error)
    return None


def write_run(path, spec, lines, sealed=True, forecast=None, tests=PASSED, environment=None):
    """Write lines as a run directory and open it; `forecast` returns the record of a forecast of the spec."""
    run = create_run(path, spec, environment or {"threads": 1})
    if forecast is not None:
        append_event(run.events, PLANNED, forecast=forecast(spec))
    append_event(run.events, STARTED, lines=0)
    for sigma in spec.request.sigma:
        append_event(run.events, LEVEL, sigma=float(sigma), **tests)
    _append_lines(run, lines)
    if sealed:
        seal_run(run, spec, run.read_ledger())
    return open_run(path)


def _append_lines(run, lines):
    with LedgerWriter(run.ledger / "local-0.jsonl") as writer:
        writer.append(dated_now(lines))


def make_run(
    path, images=60, classes=4, p=None, drop=0, data=None, subgroups=None, groups=None, seed=3, write=None, **settings
):
    """Write a run and open it; sealed, unless the last `drop` lines are missing.

    Args:
        path: of the run directory.
        images: number of images; their labels are 0, 1, ..., classes - 1, 0, ...
        classes: number of classes.
        p: probability of each image's label; None: drawn per image.
        drop: number of lines left out.
        data: facts of the data that replace the usual ones.
        subgroups: for each column one value per image.
        groups: number of groups, or None.
        seed: of the votes.
        write: further arguments of `write_run`.
        settings: of the request.
    """
    rng = np.random.default_rng(seed)
    settings = {"sigma": "0.25,0.5", "stopping": "looks", "radius": "0.1,0.25,0.5", **settings}
    labels = np.arange(images) % classes
    spec = make_spec(labels.tolist(), classes=min(classes, 10), looks=looks_of(settings), **settings)
    facts = {
        "class_names": tuple(f"kind {c}" for c in range(classes)),
        "class_counts": tuple(np.bincount(labels, minlength=classes).tolist()),
        "grouped": groups is not None,
        "subgroups": tuple(subgroups or ()),
        **(data or {}),
    }
    spec = spec.model_copy(update={"data": spec.data.model_copy(update=facts)})
    lines = []
    for sigma in spec.request.sigma:
        for i, label in enumerate(labels):
            share = rng.beta(12, 1.2) if p is None else p
            probabilities = np.insert((1 - share) * rng.dirichlet(np.ones(spec.classes - 1)), label, share)
            lines.append(draw_line(rng, spec, sigma, i, int(label), probabilities))
    if groups is not None:
        lines = [replace(line, group=f"patient {line.index % groups}") for line in lines]
    lines = with_subgroups(lines, subgroups or {})
    return write_run(path, spec, lines[: len(lines) - drop], sealed=not drop, **(write or {}))


def simulate_run(
    path,
    images=8,
    classes=6,
    seed=0,
    stopping="looks",
    drop=0,
    subgroups=None,
    groups=None,
    sign_lock=None,
    repeats=None,
    **settings,
):
    """Write a run with random labels and harder images than `make_run`; return its path.

    `subgroups` has one value per image for each column, `groups` one group per image. `repeats` is the number of images
    that an event reports as duplicates, and makes image 1 a duplicate of image 0; "untold" makes it without the event.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images)
    settings = {"sigma": "0.25,0.5", "bound": "rankcp", "radius": "0.1,0.25", "stopping": stopping, **settings}
    spec = make_spec(labels.tolist(), classes, looks_of(settings), seed=seed, grouped=bool(groups), **settings)
    data = spec.data.model_copy(update={"subgroups": tuple(subgroups or ())})
    spec = spec.model_copy(update={"data": data})
    run = create_run(path, spec, {"threads": 1}, sign_lock=sign_lock)
    append_event(run.events, STARTED, lines=0)
    if isinstance(repeats, int):
        append_event(run.events, REPEATED, images=images, repeats=repeats)
    lines = []
    for sigma in spec.request.sigma:
        append_event(run.events, LEVEL, sigma=float(sigma), **PASSED)
        lines += [draw_hard_line(rng, spec, sigma, i, int(label)) for i, label in enumerate(labels)]
    if repeats is not None:
        lines = [replace(line, image=lines[0].image) if line.index == 1 else line for line in lines]
    lines = [replace(line, group=groups[line.index]) for line in lines] if groups else lines
    lines = with_subgroups(lines, subgroups or {})
    _append_lines(run, lines[: len(lines) - drop])
    if not drop:
        seal_run(run, spec, run.read_ledger())
    return path


def make_shard(path, whole, share, lines, finished=True, machine=1, **environment):
    """Write one shard of a run: its share of the lines, decided after it locked the spec."""
    machine = {"threads": machine, "packages": {"smoothcert": "0.1.0", "torch": "2.13.0"}, **environment}
    run = create_run(path, whole.spec, machine, None if share is None else parse_share(share))
    append_event(run.events, STARTED, lines=0, worker="local-0", recipe=None, shard=share)
    for sigma in map(float, whole.spec.request.sigma):
        samples = sum(line.samples for line in lines if line.sigma == sigma)
        correct = {str(k): list(whole.spec.data.class_counts) for k in whole.spec.request.k}
        append_event(run.events, CLEAN, sigma=sigma, images=whole.spec.data.images, correct=correct)
        append_event(run.events, LEVEL, sigma=sigma, **PASSED)
        append_event(run.events, ENERGY, sigma=sigma, copies=samples, joules=float(samples), source="RAPL", seconds=1.0)
    _append_lines(run, lines)
    if finished:
        append_event(run.events, SHARD_FINISHED, shard=share, **seal_facts(run.read_ledger()))
    return path


def deal_shards(whole: Path, folder: Path, n=3, **more) -> list[Path]:
    """Distribute the images of a sealed run over n finished shards, as `--shard i/n` does."""
    run = open_run(whole)
    place = {index: p for p, index in enumerate(run.spec.indices)}
    lines = list(run.ledger.lines)
    parts = [[line for line in lines if place[line.index] % n == i] for i in range(n)]
    return [make_shard(folder / f"part{i}", run, f"{i}/{n}", parts[i], **more) for i in range(n)]


def unfinish(path: Path, drop=1) -> RunDirectory:
    """Remove the last lines of a shard, and the event of its end."""
    run = RunDirectory(path)
    for file, count in ((run.events, 1), (run.ledger / "local-0.jsonl", drop)):
        file.write_text("".join(file.read_text().splitlines(keepends=True)[: -count or None]))
    return run


WEIGHTS = b"any bytes: only their hash is used"
WEIGHTS_SHA256 = f"sha256:{hashlib.sha256(WEIGHTS).hexdigest()}"


class SealedRun(Run):
    """A run in memory that counts as sealed."""

    sealed = True


def with_weights(spec, sha256=WEIGHTS_SHA256):
    """Return the spec with these weights in every noise level."""
    return spec.model_copy(update={"models": tuple(m.model_copy(update={"sha256": sha256}) for m in spec.models)})


DENOISER = b"any bytes of a denoiser"
DENOISER_SHA256 = f"sha256:{hashlib.sha256(DENOISER).hexdigest()}"
DENOISER_FACTS = denoiser_facts(
    "denoisers:blur",
    weights="d.safetensors",
    sha256=DENOISER_SHA256,
    source_sha256="sha256:" + "5" * 64,
    state_sha256="sha256:" + "6" * 64,
)
DENOISER_FILE = DenoiserFile(sha256=DENOISER_SHA256, value_range=(-1.0, 1.0), takes_sigma=True)


def with_denoiser(spec, facts=DENOISER_FACTS):
    """Return the spec with this denoiser before the classifier of every noise level."""
    return spec.model_copy(update={"models": tuple(m.model_copy(update={"denoiser": facts}) for m in spec.models)})


def certified_facts(spec, sigma=0.25):
    """Return what a sealed run of the spec certified."""
    return certified_of(SealedRun(None, spec, Ledger(())), sigma)


def make_bundle(spec, sigma=0.25, **changed):
    """Return the bundle of one noise level of a spec."""
    origin = certified_facts(spec, sigma)
    facts = {name: getattr(origin, name) for name in Facts.model_fields}
    usual = {
        "smoothcert": "0.1.0",
        "file_sha256": WEIGHTS_SHA256,
        "n": 1000,
        "alpha": 0.001,
        "n0": 100,
        "bound": "rankcp",
        "denoiser_file": None if origin.model.denoiser is None else DENOISER_FILE,
    }
    return Bundle(**{**facts, **usual, "certified": origin, **changed})


def make_forecast(spec, unclear=(), beyond=(), share=0.6, samples=(200.0, 150.0, 300.0)):
    """Return a forecast with equal entries, except for radii that the pilot cannot resolve or that are unattainable."""
    request = spec.request
    rates = (Rate("fp32", 50.0, 100.0, 200.0), Rate("bf16", 90.0, 190.0, 300.0, 0.5))
    mean = Estimate(*samples)
    entries = []
    for sigma in request.sigma:
        for k in request.k:
            for r in request.radius:
                estimate = None if r in beyond else Estimate(None if r in unclear else share, share - 0.3, share + 0.3)
                needed = None if r in beyond else 0.999 if r in unclear else 0.8
                limit = r - 0.01 if r in beyond else 2 * r
                entries.append(EntryForecast(float(sigma), k, r, limit, needed, estimate, estimate))
    most, lengths = Estimate(300.0, 300.0, 300.0), ((180, 0.7), (300, 0.3))
    return Forecast(
        settings=settings_of(spec),
        images=spec.data.images,
        stopping=request.stopping,
        pilot=Pilot(images=3, copies=100, drawn=300, seconds=1.5, device="cpu", precision="fp32", batch=512),
        cells=tuple(entries),
        levels=tuple(LevelForecast(float(sigma), mean, 180.0, most, 300.0, lengths, rates) for sigma in request.sigma),
    )
