"""Claim sentences, and what the bound does and does not guarantee: the reviewed wording of every document.

Sentences are filled with the values of one entry. Lower bounds are rounded down, upper bounds up.
"""

from __future__ import annotations

from smoothcert.config import Spec
from smoothcert.errors import printable
from smoothcert.evidence import Run
from smoothcert.formats.results import Entry
from smoothcert.report.results_table import Table
from smoothcert.report.returned import ByClass, StableWrong, breakdown
from smoothcert.stats.population import bad_runs
from smoothcert.stats.rounding import format_down, full, percent_down, percent_of, percents

PIPELINE = (
    "What is certified is the smoothed classifier of the pipeline: denoiser, then classifier. Nothing is certified "
    "about the classifier without the denoiser, or about the pipeline without noise."
)
_ESTIMATED = (
    "A device that estimates the smoothed classifier from n votes can abstain, and can return another class with "
    "probability up to its own alpha; "
)
DEPLOYMENT = f"{_ESTIMATED}running the base model without noise voids every statement."
PIPELINE_DEPLOYMENT = (
    f"{_ESTIMATED}running the pipeline without noise, or the classifier without this denoiser, voids every statement."
)
ONE_SUPPLY = (
    "This memo supplies one verification record about one class of input perturbation. It does not by itself show "
    "conformity with, or satisfy, any law, guidance or standard listed here."
)


def pipeline(spec: Spec) -> str:
    """Return what the certificates of a run with a denoiser are about; "" for a run without one."""
    return PIPELINE if spec.denoised else ""


def deployment(spec: Spec) -> str:
    """Return what a device must do for the statements to hold."""
    return PIPELINE_DEPLOYMENT if spec.denoised else DEPLOYMENT


def one_image(alpha: float) -> str:
    """Return what one certificate states."""
    return (
        f"For any fixed image, the procedure returns a wrong class-radius pair with probability at most {full(alpha)}, "
        "taken over its own random noise draws. Wrong means that the smoothed classifier does not keep the returned "
        "class (for top-k: the reference label among its k most probable classes) everywhere in the open ball of L2 "
        "radius R around the preprocessed image."
    )


def observed(entry: Entry, run: Run) -> str:
    """Return what was counted in one entry, as parts that add up to its images, or that it is not attainable."""
    n_max = run.spec.request.n_max
    if not entry.attainable:
        return not_attainable(entry, n_max)
    where = (
        f"r = {full(entry.radius)} (sigma {full(entry.sigma)}{_rank(entry)}, up to {n_max:,} noise samples per image)"
    )
    share = f"{percent_of(entry.certified, entry.images)} %{' so far' if entry.lines < entry.images else ''}"
    parts, label = breakdown(entry), "the reference label" if entry.k == 1 else "the reference label among them"
    others = [f"{parts.smaller:,} keep {label} within a smaller radius", f"{parts.abstained:,} are abstentions"]
    if run.spec.request.target_of(entry.k) == "prediction":
        others.append(f"{parts.wrong:,} get another class")
    if parts.missing:
        others.append(f"{parts.missing:,} have no result")
    counts = [parts.certified, parts.smaller, parts.abstained, parts.wrong, parts.missing]
    total = " + ".join(f"{count:,}" for count in (*counts[:3], *filter(None, counts[3:])))
    return (
        f"Of {entry.images:,} images, {entry.certified:,} were certified-correct at {where}: {share}. Of the others, "
        f"{', '.join(others[:-1])} and {others[-1]}; {total} = {entry.images:,}. This is a count of procedure outcomes "
        f"on this sample.{_interval(entry, run)}"
    )


def _interval(entry: Entry, run: Run) -> str:
    if entry.lines < entry.images:
        return ""
    if run.no_interval:
        return f" No interval is given: {run.no_interval}."
    ends = percents(entry.low, entry.high)
    return f" 95 % Clopper-Pearson interval of the share, {run.stated.assumed}: {ends} %."


def of_classes(found: ByClass | None) -> str:
    """Return the extreme classes of an entry and the mean over its classes; "" where they cannot be given."""
    if found is None:
        return ""
    low, high = (
        f"{percent_of(row.certified, row.images)} % ({row.certified:,} of {row.images:,} {printable(row.name)})"
        for row in (found.lowest, found.highest)
    )
    return (
        f"By class, certified accuracy at this r, sigma and n goes from {low} to {high}; its mean with equal weight "
        f"for each class is {percent_down(found.mean)} %."
    )


def of_wrong(found: StableWrong) -> str:
    """Return how many wrong answers are stable; "" if there is none."""
    if not found.wrong:
        return ""
    if not found.sampled:
        return (
            f"Whether the {found.wrong:,} other classes are stable as well was not measured: sampling of these images "
            "ended with the selection."
        )
    among = "" if found.sampled == found.wrong else f" of {found.sampled:,} that were sampled further"
    return (
        f"A stable answer can be wrong: of the {found.wrong:,} images with another class, at least "
        f"{found.certified:,}{among} keep it throughout the ball of radius r."
    )


def not_attainable(entry: Entry, n_max: int) -> str:
    """Return why an entry has no count."""
    return (
        f"r = {full(entry.radius)} is not attainable: with {n_max:,} noise samples and this alpha no image can be "
        f"certified beyond R_max = {format_down(entry.r_max, 4)} at sigma {full(entry.sigma)}{_rank(entry)}. This is a "
        "limit of the sampling budget, not a finding about the model."
    )


def this_sample(entry: Entry, alpha: float) -> str:
    """Return what the counts imply for these images."""
    kept = (
        f"at least {entry.sample:,} of these images are truly classified correctly"
        if entry.k == 1
        else f"for at least {entry.sample:,} of these images the reference label truly stays among the {entry.k} most "
        "probable classes"
    )
    return (
        f"With probability at least 95 % over the noise draws, at most {bad_runs(entry.images, alpha):,} of the "
        f"{entry.images:,} runs (sigma {full(entry.sigma)}{_rank(entry)}) are wrong, so {kept} throughout the ball of "
        f"radius {full(entry.radius)}."
    )


def no_population(entry: Entry, run: Run) -> str | None:
    """Return why nothing is stated about a population: the evidence does not allow it, or too little is stated.

    None if the sponsor describes the population and states that the images are independent draws from it.
    """
    return entry.withheld or run.stated.no_population(run.spec.data.grouped)


def population(entry: Entry, joint: bool, run: Run) -> str:
    """Return what the counts imply for the population, or why nothing is stated about one.

    Args:
        entry: an entry of the results table.
        joint: whether to quote the bound that holds for all entries together.
        run: the run, with the sponsor's statement on how its images were drawn.
    """
    bound, withheld = entry.joint if joint else entry.population, no_population(entry, run)
    if bound is None or withheld:
        return f"No statement about a population is made: {withheld}."
    drawn, share = (
        (f"the {entry.images:,} images are independent draws", "that population")
        if entry.groups is None
        else (
            f"the {entry.groups:,} groups (one random image of each) are independent draws",
            "draws of one random image of a random group of that population",
        )
    )
    kept = "is correct" if entry.k == 1 else f"has the reference label among its {entry.k} most probable classes"
    together = ", for all entries of the run together" if joint else ""
    of_both = " of the pipeline (denoiser, then classifier)" if run.spec.denoised else ""
    return (
        f"If {drawn} from the population that the sponsor describes, then with probability at least 95 %, taken "
        f"jointly over which images were drawn and over the noise{together}, the smoothed classifier{of_both} {kept} "
        f"under every perturbation of L2 norm below r = {full(entry.radius)} (sigma {full(entry.sigma)}{_rank(entry)}) "
        f"for at least {percent_down(bound)} % of {share}."
    )


def arithmetic(run: Run) -> str:
    """Return whether computer arithmetic is covered, and where the seed came from."""
    seed = (
        "drawn from the operating system's entropy"
        if run.spec.seed_source == "operating system"
        else "chosen by the user"
    )
    return (
        f"Computer arithmetic: {run.arithmetic}. The claim is for images on the grid; the distance is measured after "
        f"any rounding. The seed of the noise was {seed}."
    )


def _rank(entry: Entry) -> str:
    return "" if entry.k == 1 else f", k = {entry.k}"


ROWS = (
    (
        "which classifier",
        "the smoothed classifier with this sigma and these weights",
        "the base model, or a device that runs without smoothing",
    ),
    (
        "kind of perturbation",
        "any perturbation of L2 norm below r, however it was found",
        "L-infinity, patch or semantic perturbations whose L2 norm is r or more",
    ),
    ("where", "the tensor after resizing and scaling to [0, 1], before normalisation", "raw detector or DICOM data"),
    (
        "size",
        "r as RMS grey levels per pixel (see the radius in image units)",
        "that r is small to a radiologist, or large enough to matter",
    ),
    (
        "rotation, shift, contrast, compression",
        "only those instances whose L2 norm is below r (share measured on the images)",
        "these families as such",
    ),
    (
        "scanner, protocol, site, time",
        "nothing beyond the sampled population",
        "another site; future patients who differ",
    ),
    ("label", "agreement with the reference standard on this sample", "that the reference standard is right"),
    (
        "constancy and correctness",
        "the class does not change inside the ball",
        "that it is right: a wrong answer can be stable",
    ),
    ("poisoning, theft, metadata tampering", "nothing", "their absence"),
    (
        "update of model or preprocessing",
        "the hashes listed in this document",
        "any retrained, quantised or recompiled build",
    ),
    ("abstention", "it is counted against the classifier", "a usable answer; an abstention can itself be provoked"),
    ("uncertified images", "nothing", "that they can be attacked"),
    ("subgroups", "rows with an interval of their own", "equal robustness"),
)
ARITHMETIC = {
    True: ("arithmetic", "the procedure on the integer grid", "hardware faults; equal votes on other hardware"),
    False: (
        "arithmetic",
        "nothing: computer arithmetic is not covered in this run",
        "soundness of floating-point noise",
    ),
}
DENOISED = {
    "which classifier": (
        "the smoothed classifier of the pipeline (denoiser, then classifier), with this sigma and these weights",
        "the classifier without the denoiser, or a device that runs without smoothing",
    ),
    "where": ("the tensor after resizing and scaling to [0, 1], before the denoiser", "raw detector or DICOM data"),
    "update of model or preprocessing": (
        "the hashes listed in this document, that of the denoiser included",
        "any retrained, quantised or recompiled build",
    ),
}
"""Rows that replace those of the same topic for a run with a denoiser."""
HEADINGS = ("topic", "guarantees, subject to alpha and the stated assumptions", "does not guarantee")


def guarantees(arithmetic_covered: bool, denoised: bool = False) -> Table:
    """Return the table of guarantees; its rows about arithmetic and the classifier follow the run.

    Args:
        arithmetic_covered: whether grid noise was used and the self-test passed.
        denoised: whether the run has a denoiser.
    """
    replaced = DENOISED if denoised else {}
    rows = (*((row[0], *replaced.get(row[0], row[1:])) for row in ROWS), ARITHMETIC[arithmetic_covered])
    names = ("topic", "guarantees", "does_not")
    return Table(HEADINGS, rows, tuple(dict(zip(names, row, strict=True)) for row in rows))
