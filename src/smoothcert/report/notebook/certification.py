"""The cells of the notebook, text and code, as a jupytext percent script."""
# Lines above the first cell are not part of the notebook.
# ruff: noqa: E402, E501
# mypy: ignore-errors

# %% [markdown]
# # Certification notebook
#
# This notebook derives every certificate and bound of a certification run from its stored votes, step by step. It was
# executed by `smoothcert report`, and its outputs are stored with it. It runs again on any machine with
# `pip install '.[report]'` in a clone of smoothcert. It needs no GPU and, except in section 1, neither torch nor the
# classifier nor the images. Every number below is computed by the code cells; readers who do not program can skip them.
#
# | word | meaning |
# |:---|:---|
# | noise sample | an image plus random Gaussian noise of standard deviation sigma, in units of the [0, 1] pixel range |
# | vote | the class that the base classifier returns for one noise sample |
# | smoothed classifier | returns the class with the highest probability of a vote: the winner over infinitely many samples |
# | certificate | a class and a radius: no perturbation of the image with L2 norm below the radius makes the smoothed classifier return another class (for k > 1: removes the class from the k most probable ones) |
# | alpha | upper limit of the probability, over its own noise, that the certificate of one image is wrong |
# | look | a number of samples at which the votes so far are evaluated |
# | abstention | nothing is certified for an image; it counts against the classifier |
# | entry | a row of the results: one sigma, k and radius |
#
# A certificate is about the smoothed classifier, not the base classifier, and about perturbations measured in L2 norm
# only. Section 8 lists what is claimed and what is not.

# %% [markdown] tags=["denoiser"]
# **The base classifier of this run is a pipeline: denoiser, then classifier.** Each noise sample goes through the
# denoiser first; the classifier, with its normalisation, receives the denoised image and gives the vote. Everything
# below is about the smoothed classifier of this pipeline, and nothing about the classifier without the denoiser.

# %% tags=["parameters"]
import os
from pathlib import Path

RUN = Path("..")  # the run directory, which contains spec.json
LIVE = "auto"  # section 1 certifies five images again. False: never. True: also large images, which takes long
FILES = Path(os.environ.get("SMOOTHCERT_FILES", "."))  # the working directory of `smoothcert certify`
SHOWN = None  # (sigma, k, r) shown in detail; None: the primary entry of the run, or the first attainable one

# %%
import contextlib
import hashlib
import importlib.util
import json
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainccinv, ndtr, ndtri

from smoothcert import stats
from smoothcert.config import Production
from smoothcert.errors import SmoothcertError
from smoothcert.evidence import open_run
from smoothcert.evidence.cost import basis_of
from smoothcert.evidence.line_store import columns_of, in_blocks, some_of
from smoothcert.evidence.outcomes import line_tallies, outcomes, plan_of
from smoothcert.evidence.scenarios import scenarios
from smoothcert.evidence.seal import fingerprint_words
from smoothcert.formats.cost import CERTIFY
from smoothcert.report import claims, results_table
from smoothcert.report.claims import guarantees
from smoothcert.report.cost import assumptions, device_tables, devices_table, rates_table, read_stated
from smoothcert.report.figures import class_figure, curve_figure, samples_figure
from smoothcert.report.memo.sponsor import as_stated
from smoothcert.report.notebook import picture, require, say, table
from smoothcert.report.notebook.explore import bound_change, margin_table, moves, needs, settings_table, stopping_table
from smoothcert.report.notebook.facts import class_name, event_table, file_name, line_table, rows, spec_table, warnings
from smoothcert.report.notebook.pictures import draw_devices, draw_images, draw_moves, draw_needs
from smoothcert.report.results_table import interval_words
from smoothcert.report.tables import accuracy_table, changes_table, class_table, cost_table, criteria_table, units_table
from smoothcert.stats.rounding import format_down, format_up, full
from smoothcert.stats.sequential import one_look
from smoothcert.verify import NOT_SHOWN, damage
from smoothcert.verify.conduct import deviations_stated

if not (RUN / "spec.json").is_file():
    raise FileNotFoundError(
        f"Expected a run in RUN = {str(RUN)!r}, found no spec.json there. Put this notebook back into the folder "
        "'results' of its run, or set RUN in the cell above to the run directory."
    )
run = as_stated(open_run(RUN))
spec, request, data = run.spec, run.spec.request, run.spec.data
entries = run.results()
certificates = {(s, j): run.certificates(s, j) for s in request.sigma for j in request.k}

# %% [markdown]
# ## The run

# %%
decided, wanted = len(run.ledger.lines), run.expected
levels = ", ".join(full(s) for s in request.sigma)
say(
    f"{data.images:,} images of {file_name(data.reference)}, {spec.classes:,} classes, sigma = {levels}: {decided:,} of "
    f"{wanted:,} results (one per sigma and image) are present."
)
for warning in warnings(run):
    say(warning, warn=True)
say(f"Computer arithmetic: {run.arithmetic}.")
say(f"Deviations and earlier use of these images: {' '.join(deviations_stated(run))}")

attainable = [entry for entry in entries if entry.attainable] or entries
sigma, k, r = SHOWN or next(
    (place.sigma, place.k, place.radius) for place in (request.primary, attainable[0]) if place is not None
)
here = [entry for entry in entries if (entry.sigma, entry.k, entry.radius) == (sigma, k, r)]
if not here:
    raise ValueError(f"SHOWN: expected a sigma, k and radius of this run, got {SHOWN}.")
entry, plan, lines = here[0], plan_of(spec, sigma), run.ledger.at(sigma)
where = f"sigma = {full(sigma)}, k = {k}"
say(f"The sections below show {where}, r = {full(r)} in detail. Set SHOWN above to see another entry of the results.")

# %% [markdown]
# ## 1 Five images, certified live
#
# How a certificate is derived: a few noise samples select the class; *other* samples are counted; the counts bound the
# probability of the class from below and those of its rivals from above; the bounds give the radius. The noise of a
# sample follows from its address (seed, sigma, image, number of the sample), so the votes counted here must equal those
# of the ledger. This section needs torch, the classifier and the images, and runs only if their hashes are those of the
# run.

# %%
MOST = 1000  # samples per image, after selection
LARGE = 3 * 64 * 64  # values per image; larger images take long without a GPU


def load():
    """Return the classifier of this sigma and the images, or the reason why they are not used."""
    if LIVE is False:
        return "LIVE is False"
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    facts = spec.model_at(sigma)
    name, first = (each.replace("{sigma}", facts.written) for each in (request.model, request.denoiser or ""))
    if facts.arch is None or not (name == "demo" or name.endswith(".safetensors")):
        return "only built-in architectures in safetensors files are loaded here, and the classifier is another one"
    if spec.denoised and (facts.denoiser.arch is None or not first.endswith(".safetensors")):
        return "only built-in architectures in safetensors files are loaded here, and the denoiser is another one"
    if LIVE is not True and np.prod(data.shape) > LARGE:
        return f"images of {data.shape[1]} x {data.shape[2]} take long without a GPU; set LIVE = True to wait for them"
    import torch

    from smoothcert.data import DataOptions, load_images
    from smoothcert.import_factory import NO_CONSENT
    from smoothcert.models import ModelOptions, read_built_in
    from smoothcert.models.denoisers.load import DenoiserOptions, load_denoiser
    from smoothcert.models.denoisers.pipeline import denoised
    from smoothcert.models.heads import LOOK, resolve_head

    denoiser = None
    try:
        with contextlib.chdir(FILES):
            images = load_images(request.data, DataOptions.of(request, request.subgroup, named=False))
            images = images.first(request.limit) if request.limit else images
            options = ModelOptions.of(request, None, images.num_classes, images.shape[0], NO_CONSENT)
            classifier = read_built_in(name, options)
            if spec.denoised:
                denoiser = load_denoiser(first, DenoiserOptions.of(request, None, images.shape[0], NO_CONSENT))
    except (SmoothcertError, OSError) as error:
        files = "denoiser, classifier" if spec.denoised else "classifier"
        return f"{files} or images are not at the paths in spec.json, relative to FILES ({type(error).__name__})"
    if images.sha256() != data.sha256:
        return "the images are not those of the run (different hash)"
    if classifier.sha256 != facts.sha256:
        return "the classifier is not that of the run (different hash)"
    if denoiser is not None and denoiser.sha256 != facts.denoiser.sha256:
        return "the denoiser is not that of the run (different hash)"
    few = np.stack([images.pixels(i) for i in range(min(LOOK, len(images)))])
    classifier = resolve_head(classifier, torch.from_numpy(few / images.levels))
    return classifier if denoiser is None else denoised(classifier, denoiser, sigma), images


loaded = load()
live = not isinstance(loaded, str)
if live:
    classifier, images = loaded
    used = (f"{file_name(classifier.denoiser.reference)}, " if spec.denoised else "") + file_name(classifier.reference)
    say(f"{used} and {file_name(data.reference)} were found, with the hashes of the run.")
else:
    say(f"Skipped: {loaded}. The rest of this notebook needs neither torch nor the classifier nor the images.")

# %%
if live:
    import torch

    from smoothcert.noise import Rows, Stage, make_noise
    from smoothcert.sampling import SmoothedClassifier
    from smoothcert.sampling.recipe import choose_recipe, differences, prepare
    from smoothcert.sampling.sampler import Sampler, Source, keep_freed_memory

    keep_freed_memory()
    m = min(5, len(images))
    chosen, labels = images.indices[:m].tolist(), images.labels[:m].tolist()  # the first images, whatever their result
    pixels = np.stack([images.pixels(i) for i in range(m)])

    gpu = torch.cuda.is_available()
    settings = {
        "precision": "fp32" if request.precision == "fp16" and not gpu else request.precision,
        "device": "cuda" if gpu and spec.recipe.device.startswith("cuda") else "cpu",
        "batch_size": spec.recipe.batch_size,
        "compile": "off",
    }
    recipe = choose_recipe(classifier, request.model_copy(update=settings), data.shape)
    noise = make_noise(request.noise, sigma, data.levels, spec.seed)
    source = Source(data.shape, lambda index: pixels[chosen.index(index)])
    sampler = Sampler(classifier, prepare(classifier, recipe), noise, recipe, source)
    for slot, index in enumerate(chosen):
        sampler.load(slot, index)

    selects = request.selects
    step = 1 / data.levels if request.noise == "grid" else 1.0
    kinds = {"as stored": pixels / data.levels}
    for sample in range(2):
        address = Rows.of(
            slot=range(m), image=chosen, sample=sample, stage=Stage.SELECTION if selects else Stage.ESTIMATION
        )
        kinds[f"sample {sample}"] = pixels / data.levels + step * noise.steps(address, data.shape)
    drawn = draw_images(run, dict(zip(chosen, labels, strict=True)), kinds, sigma)
    picture(drawn, f"{m} images, each as stored and with two noise samples", photo=True)

# %% [markdown]
# **Select.** The class with the most votes among the first samples. These samples are not counted again: a bound from
# the same votes that selected the class would be too optimistic.

# %%
if live:

    def votes(stage, start, stop):
        """Count the votes of samples start to stop - 1 of each image: int (images, classes)."""
        n = stop - start
        slot, sample = np.repeat(np.arange(m), n), np.tile(np.arange(start, stop), m)
        sampler.draw(Rows.of(slot=slot, image=np.repeat(chosen, n), sample=sample, stage=stage))
        return sampler.take(np.arange(m))

    n0 = min(request.n0, MOST)
    if selects:
        selection = votes(Stage.SELECTION, 0, n0)
        winner = selection.argmax(axis=1)
        found = [
            (chosen[i], class_name(spec, labels[i]), class_name(spec, winner[i]), f"{selection[i].max():,} of {n0:,}")
            for i in range(m)
        ]
        table(rows(("image", "reference label", "winner of the selection", "its votes"), found))
    else:
        say("Not needed: this run certifies reference labels.")

# %% [markdown] tags=["bounds"]
# **Count, bound, and derive the radius.** The votes of other samples for the reference label at each look, the lower
# bound on the probability of the label, the upper bound on that of its strongest rival, and the resulting L2 radius.

# %% tags=["bounds"]
if live:
    looks = tuple(n for n in spec.looks if n <= MOST) or (MOST,)
    new = [votes(Stage.ESTIMATION, start, stop) for start, stop in zip((0, *looks), looks, strict=False)]
    counts = np.cumsum(new, axis=0).swapaxes(0, 1)  # int (images, looks, classes), cumulative

    brief = replace(plan, looks=looks)  # the rules of a run with at most this many samples
    tally = stats.tally(counts, np.repeat([labels], len(looks), axis=0).T, k)
    bounds = stats.running(tally, brief, k)
    last = stats.Bounds(bounds.q[:, -1], bounds.u[:, -1])
    radii = stats.radius(last, sigma, plan.eta)

    found = []
    for i in range(m):
        wrong = selects and request.target_of(k) == "prediction" and winner[i] != labels[i]
        at = [full(x) for x in request.radius if stats.certified_at(last, x, sigma, plan.eta)[i]]
        outcome = ["wrong class", "-"] if wrong else [format_down(radii[i], 4), ", ".join(at) or "no radius of the run"]
        outcome = outcome if wrong or radii[i] > 0 else ["abstention", "-"]
        probabilities = (format_down(1 - last.q[i], 4), format_up(last.u[i, 0], 4))
        found.append((chosen[i], ", ".join(f"{n:,}" for n in tally.label_votes[i]), *probabilities, *outcome))
    headings = ("image", f"votes for the label after {', '.join(f'{n:,}' for n in looks)} samples")
    headings += ("label at least", "strongest rival at most", "L2 radius", "certified at")
    table(rows(headings, found), f"{where}, at most {looks[-1]:,} samples per image after selection.")

# %% [markdown] tags=["betting"]
# **Count, bet, and derive the radius.** The votes for the reference label at each look, and the largest radius of the
# grid against which, and against each smaller one, the bets have won.

# %% tags=["betting"]
if live:
    looks = tuple(n for n in spec.looks if n <= MOST) or (MOST,)
    new = [votes(Stage.ESTIMATION, start, stop) for start, stop in zip((0, *looks), looks, strict=False)]
    counts = np.cumsum(new, axis=0).swapaxes(0, 1)  # int (images, looks, classes), cumulative

    brief = replace(plan, looks=looks)  # the rules of a run with at most this many samples
    found = []
    for i in range(m):
        theirs = stats.certify_counts(counts[i], int(labels[i]), brief, k, request.radius)
        wrong = selects and request.target_of(k) == "prediction" and winner[i] != labels[i]
        at = ", ".join(map(full, theirs.certified_at)) or "no radius of the run"
        outcome = (
            ("wrong class", "-")
            if wrong
            else ("no certificate", "-")
            if theirs.label is None
            else (full(theirs.radius), at)
        )
        found.append((chosen[i], ", ".join(f"{counts[i, j, labels[i]]:,}" for j in range(0, len(looks), 4)), *outcome))
    shown = ", ".join(f"{n:,}" for n in looks[::4])
    headings = ("image", f"votes for the label after {shown} samples", "L2 radius", "certified at")
    table(rows(headings, found), f"{where}, at most {looks[-1]:,} samples per image.")

# %% [markdown]
# **Compare with the ledger**, class by class, where both have votes of the same samples.

# %%
if live:
    known = np.flatnonzero(np.isin(columns_of(lines).index, chosen))
    stored = {line.index: line for line in some_of(lines, known)}
    compared = []
    for i, line in ((i, stored[index]) for i, index in enumerate(chosen) if index in stored):
        if line.selection is not None and n0 == request.n0:
            compared.append([line.selection.get(c, 0) == n for c, n in enumerate(selection[i].tolist())])
        for n, theirs in line.looks:
            if n in looks:
                ours = counts[i, looks.index(n)].tolist()
                compared.append([theirs.get(c, 0) == n for c, n in enumerate(ours)])
            elif n > looks[-1]:  # a later look includes these samples
                compared.append([theirs.get(c, 0) >= n for c, n in enumerate(counts[i, -1].tolist())])
    differ = sum(not all(equal) for equal in compared)
    changed = differences(spec.recipe, recipe)
    if not compared:
        say("None of these images is in the ledger yet.")
    elif differ == 0:
        say(f"All {len(compared)} comparable counts (selections and looks) agree, class by class.")
    else:
        say(f"{differ} of {len(compared)} counts differ from the ledger.", warn=True)
    if changed:
        say(
            f"The numeric recipe differs from that of the run: {'; '.join(changed)}. The noise is the same, but single "
            "votes may differ."
        )
    elif differ:
        say("The numeric recipe is that of the run, so the votes should be equal. Find out why they differ.", warn=True)

# %% [markdown]
# **The same in two lines, for your own images.** `certify` stops as soon as every radius is decided.

# %%
if live:
    g = SmoothedClassifier(
        classifier,
        sigma,
        spec.classes,
        levels=data.levels,
        noise="grid" if request.noise == "grid" else "gaussian",
        precision=recipe.precision,
        batch_size=recipe.batch_size,
        bound=request.bound,
        n0=request.n0,
        seed=spec.seed,
    )
    found = g.certify(pixels, labels, k=k, radii=request.radius, n_max=MOST // 2, alpha=request.alpha)
    print(found)
    print(found.to_pandas().to_string())

# %% [markdown]
# ## 2 The evidence
#
# A run directory contains three records that were written during the run: `spec.json`, what was to be certified, fixed
# before the first image; `ledger/`, the votes, one line per sigma and image; `events.jsonl`, a log in which each line
# contains the hash of the line before it. Radii are not evidence: they are always derived from votes.

# %%
table(spec_table(spec))

# %%
table(event_table(run))

# %% [markdown]
# **One line of the ledger, field by field.** Votes of looks are cumulative; classes without a vote are omitted.

# %%
held = certificates[sigma, k].certified_correct(r)
candidates = np.flatnonzero(held if held.any() else columns_of(lines).looks).tolist()
example = lines[candidates[0]] if candidates else None
if example is None:
    say(f"No image has votes at sigma = {full(sigma)} yet.")
else:
    kind = f"certified at {where}, r = {full(r)}" if held.any() else "with votes; none is certified here"
    table(line_table(spec, example), f"The first image {kind}.")

# %% [markdown]
# **Is the evidence unchanged?** Every hash is recomputed from the files.

# %%
chained = True
for log in [RUN / "events.jsonl", *sorted(RUN.glob("shards/*/events.jsonl"))]:  # a merged run keeps its shards' logs
    previous = "0" * 64
    for text in log.read_bytes().split(b"\n")[:-1]:
        chained = chained and json.loads(text)["previous"] == previous
        previous = hashlib.sha256(text).hexdigest()

digest = hashlib.sha256()
for line in run.ledger.lines:
    digest.update(line.to_json(seal=True).encode() + b"\n")
votes_hash = digest.hexdigest()
seal, locked = run.directory.seal(), run.events[0].facts.get("spec_sha256")
sealed = "not sealed" if seal is None else "yes" if seal.facts["ledger_sha256"] == votes_hash else "NO"
checks = [
    ("each event contains the hash of the event before it", "events.jsonl", "yes" if chained else "NO"),
    ("the spec is that locked before the first image", spec.sha256(), "yes" if spec.sha256() == locked else "NO"),
    ("the votes are those sealed at the end", votes_hash, sealed),
]
table(rows(("check", "computed here", "holds"), checks))
say(f"Evidence fingerprint, to compare with one received by another channel: {fingerprint_words(run.directory)}.")
for fault in damage(run):
    say(f"DAMAGED: {fault}.", warn=True)

# %% [markdown]
# ## 3 Certificates, derived again from the votes

# %% [markdown] tags=["bounds"]
# **One image by hand.** Every look spends a part of alpha; the parts sum to at most alpha, so all bounds hold jointly
# with probability at least 1 - alpha. Each bound is that of Clopper and Pearson: the largest probability at which a vote
# count this small still has the probability spent by the look (SciPy's `betainccinv`). *q* bounds the probability of a
# vote for any class but the label, *u* that of a vote for each of the k strongest rivals. `smoothcert` rounds its bounds
# to the safe side, so they exceed those by hand by about one part in a billion.


# %% tags=["bounds"]
def upper(x, n, a):
    """Return the upper confidence bound of a probability for x votes of n that spends alpha a."""
    return np.where(x >= n, 1.0, betainccinv(x + 1.0, np.maximum(n - x, 1.0), a))


def bounds_by_hand(tally, plan, k):
    """Return q (images, looks) and u (images, looks, k)."""
    a = np.array(plan.spent_alpha)[: tally.n.shape[1]]
    if plan.bound == "cohen" or (plan.bound == "rankcp" and plan.classes == 2):  # every rival is at most q
        q = upper(tally.n - tally.label_votes, tally.n, a)
        return q, np.repeat(q[..., None], k, axis=-1)
    label, rival = (0.7 * a, 0.3 * a / k) if plan.bound == "rankcp" else (a / plan.classes, a / plan.classes)
    q = upper(tally.n - tally.label_votes, tally.n, label)
    return q, upper(tally.rivals, tally.n[..., None], rival[:, None])


def margin_by_hand(q, u, distance, plan):
    """Return the lower bound of the label minus the upper bound of the weakest of t rivals at a distance; best t."""
    margins = []
    for t in range(1, u.shape[-1] + 1):
        s = np.minimum(u[..., u.shape[-1] - t :].sum(axis=-1), q)  # the t weakest of the k rivals together
        least = ndtr(-ndtri(q + plan.eta) - distance / plan.sigma)
        margins.append(least - ndtr(ndtri(s + plan.eta) + distance / plan.sigma) / t)
    return np.max(margins, axis=0)


if example is None:
    say(f"No image has votes at sigma = {full(sigma)} yet, so there is nothing to derive.")
else:
    taken = len(example.looks)
    tally = line_tallies([example], taken, k)
    (q,), (u,) = bounds_by_hand(tally, plan, k)
    theirs = stats.bounds(tally, np.array(plan.spent_alpha[:taken]), k, plan.bound, plan.classes)
    found = []
    for i, (n, _) in enumerate(example.looks):
        rivals = tally.rivals[0, i].tolist()
        first = (
            f"{n:,}",
            f"{plan.spent_alpha[i]:.3e}",
            f"{tally.label_votes[0, i]:,}",
            f"{q[i]:.9f}",
            f"{theirs.q[0, i]:.9f}",
        )
        found.append((*first, *("\n".join(f"{x:.9g}" for x in column) for column in (rivals, u[i], theirs.u[0, i]))))
    headings = ("look", "spent alpha", "votes for the label", "q by hand", "q, smoothcert")
    headings += ("votes for rivals", "u by hand", "u, smoothcert")
    table(rows(headings, found), f"Image {example.index}, label {class_name(spec, example.label)}, {where}.")

# %% [markdown] tags=["bounds"]
# The smallest bounds over the looks apply. At L2 distance R from the image the probability of the label is at least
# Phi(Phi^-1(1 - q) - R / sigma) and that of a rival at most Phi(Phi^-1(u) + R / sigma); the radius is where the two meet
# (for k > 1: where the label meets the mean of the t weakest of k rivals, for the best t). Both probabilities are first
# made less favourable by the total-variation distance between the drawn noise and Gaussian noise.

# %% tags=["bounds"]
if example is not None:
    q, u = q.min(), u.min(axis=0)
    by_hand = 0.0
    if q + plan.eta < 1 and margin_by_hand(q, u, 0.0, plan) > 0:
        by_hand = brentq(lambda distance: margin_by_hand(q, u, distance, plan), 0.0, 40 * sigma, xtol=1e-12)
    exact = max(float(outcomes(spec, [example], sigma, k).radius[0]), 0.0)
    say(f"q = {q:.9f}; u = {', '.join(f'{x:.9g}' for x in u)}; total-variation distance {plan.eta:.2g}.")
    say(f"R by hand: {by_hand:.9f}. smoothcert: {exact:.9f}, printed as {format_down(exact, 6)}.")
    require(abs(by_hand - exact) < 1e-5, "the radius by hand and the radius of smoothcert differ")

# %% [markdown] tags=["bounds"]
# **All images.** The same by hand for every image, sigma, k and radius; a radius is certified if the margin at that
# distance is not negative. Every decision must agree with `smoothcert`, and every number of `results.json` must follow.

# %% tags=["bounds"]
decisions = close = 0
for (s, j), found in certificates.items():
    for part, block in in_blocks(run.ledger.at(s)):  # a few thousand images at a time
        theirs, tally = found.of(part), line_tallies(block, len(spec.looks), j)
        q, u = bounds_by_hand(tally, theirs.plan, j)
        q, u = q.min(axis=1), u.min(axis=1)
        open_image = (q + theirs.plan.eta >= 1) | theirs.wrong  # no bound below 1, or another class was selected
        for x in request.radius:
            margin = margin_by_hand(np.where(open_image, 0.5, q), u, x, theirs.plan)
            near = np.abs(margin) < 1e-6  # closer than the precision of SciPy's inverse
            agree = ((margin >= 0) & ~open_image) == theirs.certified_correct(x)
            require(
                np.all(agree | near),
                f"decisions by hand and by smoothcert differ at sigma {full(s)}, k {j}, r {full(x)}",
            )
            decisions, close = decisions + len(margin), close + int(near.sum())
say(f"{decisions:,} decisions by hand, {close:,} of them too close to decide without safe rounding: all agree.")

# %% [markdown] tags=["betting"]
# **One image by hand.** Suppose that radius r does *not* hold. Then some k rivals are likely enough that every set T of
# t of them has p_T >= g_t(p), where p is the probability of the label and g_t(p) = Phi(Phi^-1(t Phi(Phi^-1(p) - r / sigma)) -
# r / sigma) (Jia et al. 2020). g_t is convex, so a tangent of slope s, which meets the axis at -c, is below it:
# s p - p_T <= c. A bet that pays s - c for a vote for the label, -1 - c for a vote for T and -c for any other vote then
# gains nothing on average, whatever was learnt from earlier votes. A gambler who starts with wealth 1 reaches wealth
# 1 / alpha with probability at most alpha, at any look (Ville 1939). If the wealth against every possible set of rivals
# reaches 1 / alpha, radius r holds. Bets of several sizes share the first wealth ("experts"). The certified radius is the
# largest of a grid, fixed before the run, at which all bets are won, here and at every smaller radius of the grid.

# %% tags=["betting"]
from functools import cache

ROWS = 256  # tangents for a share 0, 1/256, ... of votes for third classes


@cache
def tangent(t, ratio, row, eta):
    """Return what a vote for the label, for T and for another class pays, and the standard deviation of a vote's pay."""

    def least(z):  # g_t
        inside = t * ndtr(z - ratio)
        return ndtr(ndtri(inside) - ratio) if inside < 1 else np.inf

    top = ratio + ndtri(1 / (t + 1))
    z = top if row == 0 else brentq(lambda z: min(ndtr(z) + least(z), 2) - 1 + row / ROWS, -38, top, xtol=1e-13)
    y = ndtri(t * ndtr(z - ratio))
    label, rivals = ndtr(z), ndtr(y - ratio)
    s = t * np.exp(ratio * (z - ratio + y))
    c, slack = s * label - rivals, (1 + s) * (eta + 1e-12)
    spread = np.sqrt(label * (s - c) ** 2 + rivals * (1 + c) ** 2 + row / ROWS * c**2)
    return s - c - slack, -1 - c - slack, -c - slack, spread


@cache
def experts(ratio, k, plan):
    """Return the number of votes that each expert is made for (the first: few), and the shares of the first wealth."""
    need, most = 2 - np.log(plan.alpha), plan.looks[-1]
    first = min(max(need / -np.log1p(-ndtr(-ratio - ndtri(1 / (k + 1)))), 16), most)
    sizes = [first, *sorted(n for i in range(40) if (n := most / 3**i) > first)]
    return sizes, np.sqrt(sizes) / np.sqrt(sizes).sum()


@cache
def factors(t, ratio, row, k, plan):
    """Return by what a vote for the label, T or others multiplies the wealth of each expert: logarithms (3, experts)."""
    *pays, spread = tangent(t, ratio, row, plan.eta)
    boldest, need = 0.98 / -pays[1], 2 - np.log(plan.alpha)
    bets = [boldest, *(min(np.sqrt(2 * need / n) / spread, boldest) for n in experts(ratio, k, plan)[0][1:])]
    return np.log1p(np.outer(pays, bets))


def chosen_set(n, label, members, ratio, k, plan):
    """Return t and the row of the tangent: from the votes before a batch, the most promising; all k at first."""
    if n == 0:
        return k if len(members) > 1 else 1, 0
    promises = []
    for t, x in enumerate(members, 1):
        others = n - label - x
        row = ROWS * others // (n + 1)
        shares = np.array([label + 0.5, x + 0.5, others + 0.5 if others else 0])
        promises.append((max(shares @ factors(t, ratio, row, k, plan)), -t, row))
    _, t, row = max(promises)
    return -t, row


def wealth(looks, label, rival, ratio, k, plan):
    """Return the logarithm of the wealth at each look: against one rival (k = 1), or against every set of k rivals."""
    total = np.log(experts(ratio, k, plan)[1])
    path, before = [], np.zeros(plan.classes, dtype=int)
    for now in looks:
        new, others = now - before, np.delete(np.arange(plan.classes), label)
        if k == 1:
            members, gained = [before[rival]], [new[rival]]
        else:
            order = others[np.lexsort((new[others], -before[others]))]
            members = [before[order[k - t : k]].sum() for t in range(1, k + 1)]
            gained = [np.sort(new[order[k - t :]])[-t:].sum() for t in range(1, k + 1)]
        t, row = chosen_set(before.sum(), before[label], members, ratio, k, plan)
        x = gained[t - 1]
        total = total + np.array([new[label], x, new.sum() - new[label] - x]) @ factors(t, ratio, row, k, plan)
        path.append(np.logaddexp.reduce(total))
        before = now
    return np.array(path)


def dense(line):
    """Return the votes of each look, int (looks, classes)."""
    return np.array([[votes.get(c, 0) for c in range(spec.classes)] for _, votes in line.looks])


def won(line, x, k, plan):
    """Return by how much the bets against radius x reach ln(1 / alpha) at the best look, for the worst rival."""
    looks = dense(line)
    if not len(looks):
        return -np.inf
    rivals = [c for c in range(spec.classes) if c != line.label] if k == 1 else [None]
    seen = {tuple(looks[:, c]): c for c in rivals} if k == 1 else {(): None}  # rivals with the same votes are alike
    return min(wealth(looks, line.label, c, x / plan.sigma, k, plan).max() for c in seen.values()) + np.log(plan.alpha)


if example is None:
    say(f"No image has votes at sigma = {full(sigma)} yet, so there is nothing to derive.")
else:
    looks = dense(example)
    strongest = None if k > 1 else int(np.argmax(np.where(np.arange(spec.classes) == example.label, -1, looks[-1])))
    path = wealth(looks, example.label, strongest, r / sigma, k, plan)
    found = [
        (f"{n:,}", f"{looks[i, example.label]:,}", f"{n - looks[i, example.label]:,}", f"{path[i]:.4f}")
        for i, (n, _) in enumerate(example.looks)
    ]
    headings = ("look", "votes for the label", "other votes", "ln of the wealth")
    caption = f"Image {example.index}, label {class_name(spec, example.label)}, {where}, r = {full(r)}"
    table(rows(headings, found), f"{caption}; needed: ln(1 / alpha) = {-np.log(plan.alpha):.4f}.")

# %% [markdown] tags=["betting"]
# **Many images.** The same by hand at every sigma and k, for the certified radius of each image and the next of the
# grid, and for the radii of the run; of many images, a random subset. Every decision must agree with `smoothcert`.

# %% tags=["betting"]
AT_MOST = 100  # images per sigma and k
decisions = close = 0
for (s, j), found in certificates.items():
    theirs, lines_here = found.plan, run.ledger.at(s)
    some = np.sort(np.random.default_rng(spec.seed).permutation(len(lines_here))[:AT_MOST])
    for i, line in zip(some, some_of(lines_here, some), strict=True):
        exact = max(float(found.radius[i]), 0.0)
        up_to = [x for x in theirs.grid if x <= exact]
        after = [x for x in theirs.grid if x > exact][:1]
        radii = sorted({*up_to[-3:], *after, *(x for x in request.radius if x in theirs.grid and x <= exact)})
        for x in radii:
            margin = won(line, x, j, theirs)
            near = abs(margin) < 1e-6  # closer than the rounding that smoothcert allows for
            require(near or (margin > 0) == (x <= exact), f"bets differ at sigma {full(s)}, k {j}, r {full(x)}")
            decisions, close = decisions + 1, close + int(near)
say(f"{decisions:,} decisions by hand, {close:,} of them too close to decide without safe rounding: all agree.")

# %%
path = RUN / "results" / "results.json"
stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
if stored.get("ledger_sha256") == votes_hash:
    for ours, theirs in zip(entries, stored["cells"], strict=True):
        stated = ours.record() if "format" in stored else vars(ours)
        same = all(stated[name] == value for name, value in theirs.items() if name in stated)
        place = f"sigma {full(ours.sigma)}, k {ours.k}, r {full(ours.radius)}"
        require(same, f"results.json does not follow from the votes at {place}")
    say(f"All {len(entries)} entries of results.json follow from the votes.")
else:
    say("There is no results.json for these votes.")

# %% [markdown]
# **The results.** Lower bounds are rounded down, upper bounds up. "Not attainable" is a limit of the number of samples,
# not a finding about the classifier: with this n_max and alpha no image can be certified beyond R_max.

# %%
budget = f"alpha = {full(request.alpha)}, up to {request.n_max:,} noise samples per image after selection"
table(
    results_table(entries, run),
    f"Certified accuracy of {data.images:,} images, {budget}. Intervals: {interval_words(run)}.",
)
for j in request.k[:4]:
    picture(curve_figure(run, j), f"Certified accuracy against L2 radius, one line per sigma, k = {j}")

# %% [markdown]
# **Clean and certified accuracy.** The base classifier without noise, beside certificates of any positive radius.

# %%
accuracy = accuracy_table(run)
table(accuracy, f"{budget[0].upper()}{budget[1:]}. {accuracy.note}")
if not any(run.clean(s) for s in request.sigma):
    say("This run did not record the clean accuracy.")

# %% [markdown]
# ## 4 Other settings, same votes
#
# **This section is exploration; nothing in it is a certificate.** The error probability alpha holds for settings that
# were fixed before the first image. It does not hold for a setting that is selected after trying several on the same
# votes. Use this section to plan the next run, and quote only what the spec fixed.
#
# Sampling of each image stopped as soon as the radii of this run were decided under its own settings, often with just
# enough votes. Stricter settings would have needed more votes. This is what ">=" means: a drop in these tables may come
# from early stopping and not from the classifier.

# %% [markdown]
# **alpha.** A smaller alpha certifies less, with more certainty. A larger alpha chosen now gives no certificate.

# %%
alphas = sorted({1e-1, 1e-2, 1e-3, 1e-4, 1e-5, request.alpha}, reverse=True)
by_alpha = moves(run, (sigma, k), "alpha", {full(a): {"alpha": a} for a in alphas}, own=full(request.alpha))
table(by_alpha.table(), f"Certified accuracy at {where}, up to {request.n_max:,} samples per image.")

# %% [markdown]
# **k.** The class stays among the k most probable ones. A larger k certifies more images, and less about each. Sampling
# did not continue for a k that the run did not ask for.

# %%
ks = range(1, min(5, spec.classes - 1) + 1)
by_k = moves(run, (sigma, k), "k", {str(j): {"k": j} for j in ks}, own=str(k))
targets = ["selection winner" if request.target_of(j) == "prediction" else "reference label" for j in ks]
asked = ["yes" if j in request.k else "no" for j in ks]
caption = f"Certified accuracy at sigma = {full(sigma)}, up to {request.n_max:,} samples per image."
table(by_k.table(certified_class=targets, asked_for=asked), caption)
if all(request.target_of(j) == "prediction" for j in request.k):
    say(
        "Images whose selection winner was not the label have no votes after selection and count as not certified here."
    )

# %% [markdown] tags=["bounds"]
# **Bound.** `rankcp` bounds the label and the k strongest rivals; `simuem` (Jia et al. 2020) bounds every class, each
# at alpha divided by the number of classes; `cohen` (Cohen et al. 2019) bounds the label and gives the rest of the
# probability to one rival. Each is valid if chosen before the run, not if chosen for its result.

# %% [markdown] tags=["betting"]
# **Bound.** The same votes evaluated with confidence bounds, which divide alpha among the many looks of this run.
# `rankcp` bounds the label and the k strongest rivals; `simuem` (Jia et al. 2020) bounds every class; `cohen` (Cohen et
# al. 2019) bounds the label alone. Each is valid if chosen before the run, not if chosen for its result.

# %%
bounds_of = {name: bound_change(request, name, k) for name in (*stats.BOUNDS, *({"betting"} & {request.bound}))}
by_bound = moves(run, (sigma, k), "bound", bounds_of, own=request.bound)
table(by_bound.table(), f"Certified accuracy at {where}, up to {request.n_max:,} samples per image.")

# %% [markdown]
# **n_max.** The result of a run planned with fewer samples: later looks are dropped, and alpha is spent over the shorter
# schedule. Such a run would have stopped earlier for some images, so the mean samples below are upper limits.

# %%
panels = [by_alpha, by_k, by_bound]
if len(spec.looks) == 1:
    say(
        "Each image has a single look, after its last sample, so these votes do not show the effect of a smaller n_max."
    )
else:
    ends = sorted({round(end) for end in np.linspace(1, len(spec.looks), 7)})
    cuts = {f"{spec.looks[end - 1]:,}": {"looks": spec.looks[:end]} for end in ends}
    by_n_max = moves(run, (sigma, k), "n_max", cuts, own=f"{spec.looks[-1]:,}")
    panels.append(by_n_max)
    taken = np.array([0, *spec.looks])[columns_of(lines).looks]  # samples at the last look of each image
    mean = [np.minimum(taken, cut["looks"][-1]).mean() if len(taken) else 0 for cut in cuts.values()]
    samples = [f"{each:,.0f}" for each in mean]
    table(by_n_max.table(samples_after_selection=samples), f"Certified accuracy at {where}; mean samples per image.")

# %%
picture(draw_moves(run, panels, where), "Certified accuracy under other values of alpha, k, bound and n_max")

# %% [markdown]
# ## 5 How many samples does a radius need?
#
# With unlimited samples the probability p of the label would be known, and the radius would be sigma Phi^-1(p) (for two
# classes; with more classes at least that). With n samples only a lower bound of p is known. The smaller the margin
# between the radius that unlimited samples would certify and the target radius, the more samples are needed: about four
# times as many for half the margin. No number of samples certifies a radius beyond that of unlimited samples. Margins
# are in units of sigma, so that only r / sigma matters. Samples and certificates of looks are simulated, with a fixed
# seed.

# %%
found = []
for s in request.sigma:
    for x in request.radius:
        needed = stats.votes_needed(x, s, request.alpha)
        at_least = "over 10^15" if needed is None else f"{needed:,}"
        found.append((full(s), full(x), format_up(float(ndtr(x / s)), 6), at_least))
headings = ("sigma", "r", "p must exceed", "samples, if every vote is for the label")
table(rows(headings, found), f"k = 1, a single look with Cohen's bound at alpha = {full(request.alpha)}.")

limits = [(full(s), *(format_down(stats.r_max(plan_of(spec, s), j), 4) for j in request.k)) for s in request.sigma]
table(
    rows(("sigma", *(f"R_max, k = {j}" for j in request.k)), limits),
    "The largest radius that the looks, alpha and bound of this run can certify.",
)

# %% [markdown]
# **A single look, if the margin were known.** Samples that certify r with 95 % probability; "none": more than 10^9.
# Numbers for k > 1 are simulated, to about 2 %.

# %%
table(
    margin_table(plan, request.radius), f"k = 1, Cohen's bound at alpha = {full(request.alpha)}, sigma = {full(sigma)}."
)
caption = f"Samples at r = {full(r)}, sigma = {full(sigma)}, one setting changed at a time, else alpha = {full(request.alpha)}, k = {k}"
table(
    settings_table(plan, k, r),
    f"{caption}, {one_look(plan).bound}; votes that miss the label are split equally among k rivals.",
)

# %% [markdown]
# **Fixed against sequential.** The margin is not known in advance. Fixed sampling draws n_max samples of every image.
# Sequential sampling stops once the radius is certified or out of reach. If a single look would need more samples than
# the first look has, sequential sampling takes about as many on average; images near the radius take the most.

# %%
if len(spec.looks) > 1:
    caption = f"One radius, r = {full(r)}, at {where}, after selection; fixed sampling: {request.n_max:,} samples of every image."
    table(stopping_table(plan, k, r), caption)
if entry.r_max > 0:
    picture(
        draw_needs(run, [needs(run, sigma, k)], k),
        "Samples taken by the images, and samples needed, against their radius",
    )
else:
    say(f"No radius of this run is attainable at {where} with this n_max and alpha, so there is nothing to draw.")
picture(samples_figure(run), "Distribution of the noise samples per image, for each sigma")

# %% [markdown]
# ## 6 Cost
#
# "With fixed sampling" is computed, not measured: n0 + n_max samples for each of the same images.

# %%
table(cost_table(run), "Forward passes of the classifier, and device time as recorded in the ledger.")
if run.rates:
    table(rates_table(run), "Rate in each precision on the device of this run, measured before the first image.")

# %% [markdown]
# **Re-certification and production.** The first row is measured. All others are extrapolated from the measured rate, or
# from a rate, power and price that the sponsor states (the `production` section of `sponsor.yaml`). What was neither
# measured nor stated is unknown. Costs are rounded up. Brackets show the spread: the highest and lowest rate of ten
# consecutive parts of the noise level, and two standard errors of the mean number of samples over the images.
#
# How often `predict` abstains, and how many samples it takes, is estimated from the stored votes: for each image the
# vote share of the leader against the runner-up, then the exact power of the test between two classes.

# %%
production = read_stated(RUN / "results") or Production()
if run.ledger.lines:
    basis = basis_of(run, production)
    priced = scenarios(basis, production)
    table(devices_table(basis, production), assumptions(basis, production))
    for name, found in device_tables(priced).items():
        table(found, f"On {name}: tasks done once, and one day of production.")
    say(
        "Latency: one study alone on a device, in whole batches. Money at work counts device time only; money held 24 h "
        "counts each device needed for the whole day. The energy of idle devices is not counted."
    )
    if basis.rate:
        by_hand = production.studies_a_day[-1] * basis.copies / basis.rate / 3600
        served = [row for row in priced if row.here and row.studies == production.studies_a_day[-1]]
        theirs = next(row.hours.value for row in served if row.task == CERTIFY)
        require(abs(by_hand - theirs) < 1e-9 * by_hand, "the device time by hand and by smoothcert differ")
        say(
            f"By hand: {production.studies_a_day[-1]:,} studies x {basis.copies:,.1f} samples / {basis.rate:,.1f} samples "
            f"per second = {by_hand:,.1f} device-hours per day to certify each served image."
        )

# %%
if run.ledger.lines and any(row.hours is not None for row in priced if row.studies):
    picture(draw_devices(run, priced, production), "Devices needed against studies per day, for each device and task")

# %% [markdown]
# ## 7 Results by class
#
# Classes with fewer than 50 images are given as raw counts, as their percentages are uncertain. Each interval holds for
# one class at a time; a class that was selected for being the lowest would on average be higher on other images.

# %%
caption = f"Certified accuracy by class at k = {k}, r = {full(r)}, up to {request.n_max:,} samples per image: % (95 % interval), or counts. Intervals: {interval_words(run)}."
table(class_table(run, k, r), caption)
picture(class_figure(run, k, r), f"Certified accuracy by class at k = {k}, r = {full(r)}, one panel per sigma")
if data.grouped:
    say("Images of one group (patient) are not independent; these intervals treat them as if they were.", warn=True)

# %% [markdown] tags=["subgroups"]
# **Results by subgroup.** The subgroup columns of the run, values with the most images first. Subgroups differ in size
# and in class mix, so rows that differ do not show the reason.

# %% tags=["subgroups"]
from smoothcert.report import subgroup_note, table_of

caption = f"Certified accuracy by subgroup at k = {k}, r = {full(r)}, up to {request.n_max:,} samples per image."
table(table_of(run, "subgroups", k, r), caption)
say(subgroup_note(run))

# %% [markdown]
# ## 8 What is claimed, and what is not

# %% tags=["denoiser"]
say(claims.PIPELINE)

# %%
say(claims.one_image(request.alpha))
say(claims.observed(entry, run))
if entry.attainable:
    say(claims.this_sample(entry, request.alpha))
    chosen = request.primary
    named = chosen is not None and (chosen.sigma, chosen.k, chosen.radius) == (entry.sigma, entry.k, entry.radius)
    say(claims.population(entry, not named, run))
    if not named and claims.no_population(entry, run) is None:
        say("This is not the primary entry, named before the run, so the bound is that for all entries together.")
say(claims.arithmetic(run))
say(claims.deployment(spec))

# %%
criteria = criteria_table(run)
if criteria.rows:
    table(criteria, f"Acceptance criteria, fixed before the first image. {criteria.note}")
else:
    say("No acceptance criterion was fixed before the run: results are descriptive; no pass or fail is stated.")
table(
    units_table(run), f"The radius in image units, for images of {data.shape[1]} x {data.shape[2]} x {data.shape[0]}."
)
if run.changes:
    table(
        changes_table(run),
        "L2 norms of simple perturbations of these images, and how many images stay within each radius.",
    )
else:
    say("This run did not measure the L2 norms of simple perturbations.")

# %%
table(guarantees(run.arithmetic_covered, spec.denoised))
say(f"Recomputation from votes does not show {NOT_SHOWN}.")

# %% [markdown]
# ## Verify the run
#
# ```
# smoothcert verify RUN
# ```
#
# recomputes bounds, decisions and results from the votes by two independent implementations, checks the chain of events,
# the seal and the labels, and lists every fault. It needs no GPU, torch, classifier or images. `smoothcert table RUN`
# prints the results at these or other radii.
