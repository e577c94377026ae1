"""The head of the page: status (sealed, partial, synthetic), facts of the run, and what may be claimed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from smoothcert.config import Spec
from smoothcert.evidence import Run
from smoothcert.evidence.events import FINISHED, LOCKED
from smoothcert.evidence.seal import fingerprint_words, seal_remark
from smoothcert.formats.results import Entry
from smoothcert.report import claims
from smoothcert.report.results_table import Table
from smoothcert.report.returned import by_class, stable_wrong
from smoothcert.stats.rounding import format_down, full, percent_of, percents
from smoothcert.verify import damage


@dataclass(frozen=True)
class Mark:
    """One statement that is shown on every screen and printed page.

    Attributes:
        kind: bad, warn or closed; sets the colour, which is never the only sign.
        text: a few words.
        detail: one sentence for the head of the page.
    """

    kind: str
    text: str
    detail: str


def marks(run: Run) -> list[Mark]:
    """Return the marks of a run, the status of its evidence first."""
    found = [_evidence(run)]
    if run.missing:
        words = (
            f"{run.missing:,} of {run.expected:,} results are missing. Images without a result count as not certified. "
            "No statement about a population is made, as images that are decided quickly finish first."
        )
        found.append(Mark("bad", "PARTIAL", words))
    if run.spec.data.synthetic:
        words = "The images are synthetic, not of patients."
        found.append(Mark("warn", "SYNTHETIC IMAGES", words))
    if run.stated.demonstration:
        found.append(Mark("warn", "DEMONSTRATION DATA", "Public or demonstration data, as the sponsor states."))
    if any(model.reference == "demo" for model in run.spec.models):
        found.append(Mark("warn", "DEMONSTRATION CLASSIFIER", "The classifier is bundled to show the method only."))
    if remark := seal_remark(run.directory):
        found.append(Mark("warn", "A SECOND SEAL", f"{remark}."))
    if not run.arithmetic_covered:
        found.append(Mark("warn", "ARITHMETIC NOT COVERED", f"Computer arithmetic: {run.arithmetic}."))
    return found


def _evidence(run: Run) -> Mark:
    fault = next(damage(run), None)
    if fault is not None:
        return Mark("bad", "DAMAGED", f"The evidence was changed after it was recorded. {fault}.")
    if not run.sealed:
        return Mark("bad", "NOT SEALED", "The run has no finish event, so its ledger is not sealed.")
    words = (
        "The finish event holds the hash of the ledger; nobody has approved it. "
        f"Evidence fingerprint: {fingerprint_words(run.directory)}."
    )
    return Mark("closed", "Votes closed and hashed; unsigned", words)


Fact = tuple[str, str]

SMOOTHED = (
    "Every certificate and every bound on this page is about the smoothed classifier: the class that the base "
    "classifier returns most often when Gaussian noise of standard deviation sigma is added to an image. The base "
    "classifier run without noise is not covered by any of them."
)
SMOOTHED_PIPELINE = (
    "Every certificate and every bound on this page is about the smoothed classifier of the pipeline: the class that "
    "the classifier returns most often behind the denoiser, when Gaussian noise of standard deviation sigma is added "
    "to an image. Neither the classifier without the denoiser nor the pipeline without noise is covered by any of them."
)


def head(run: Run) -> list[Fact]:
    """Return the main facts of a run."""
    spec, request = run.spec, run.spec.request
    ks = ", ".join(map(str, request.k))
    return [
        ("Run", spec.sha256()[:16]),
        *([("Certified", claims.PIPELINE)] if spec.denoised else []),
        ("Images", f"{spec.data.images:,} of {spec.data.reference}"),
        ("Noise levels sigma", ", ".join(full(sigma) for sigma in request.sigma)),
        ("Certificates", f"top-k, k = {ks}; alpha = {full(request.alpha)} per image; bound {request.bound}"),
        ("Sampling", f"up to {request.n_max:,} noise samples per image; {_STOPPING[_stopping(spec)]}"),
        ("Dates (UTC)", f"spec locked {_time(run, LOCKED)}; finished {_time(run, FINISHED)}"),
    ]


_STOPPING = {
    "looks": "sampling of an image stops as soon as it is decided, with the same guarantee",
    "worth": "sampling of an image stops as soon as it is decided or not worth more samples, with the same guarantee",
    "fixed": "no early stopping",
}


def _stopping(spec: Spec) -> str:
    if not spec.stops_early:
        return "fixed"
    return "worth" if spec.request.stops_by == "worth" else "looks"


def _time(run: Run, name: str) -> str:
    times = [event.at for event in run.events if event.event == name]
    return times[0].replace("T", " ").removesuffix("Z") if times else "not yet"


def primary_entry(run: Run, entries: Sequence[Entry]) -> Entry | None:
    """Return the entry that was fixed as primary before the first image, or None."""
    place = run.spec.request.primary
    wanted = None if place is None else (float(place.sigma), place.k, place.radius)
    return next((entry for entry in entries if (entry.sigma, entry.k, entry.radius) == wanted), None)


def primary_claims(run: Run, entry: Entry) -> Iterator[Fact]:
    """Yield the claims about the primary entry."""
    request = run.spec.request
    yield "Observed", claims.observed(entry, run)
    if entry.attainable:
        if classes := claims.of_classes(by_class(run, entry)):
            yield "Classes", classes
        if entry.k == 1 and request.target_of(1) == "prediction":
            wrong = claims.of_wrong(stable_wrong(run, entry.sigma, entry.radius))
            yield from [("Wrong answers", wrong)] if wrong else []
        yield "These images", claims.this_sample(entry, request.alpha)
        yield "Population", claims.population(entry, False, run)
        if claims.no_population(entry, run) is None and run.spec.cells > 1:
            yield "Population, all entries together", claims.population(entry, True, run)


def reading(run: Run) -> list[Fact]:
    """Return how to read the certificates of the run."""
    return [
        ("Smoothed classifier", SMOOTHED_PIPELINE if run.spec.denoised else SMOOTHED),
        ("One image", claims.one_image(run.spec.request.alpha)),
        ("Deployment", claims.deployment(run.spec)),
        ("Arithmetic", claims.arithmetic(run)),
    ]


def headline(run: Run, entries: Sequence[Entry], k: int) -> Table:
    """Return certified accuracy at one k: one row per sigma, one column per radius."""
    radii = run.spec.request.radius
    shown = {(entry.sigma, entry.radius): _share(entry, run) for entry in entries if entry.k == k}
    rows = tuple((full(s), *(shown[float(s), r] for r in radii)) for s in run.spec.request.sigma)
    return Table(("sigma", *(f"r = {full(r)}" for r in radii)), rows, ())


def _share(entry: Entry, run: Run) -> str:
    if not entry.attainable:
        return f"not attainable (R_max {format_down(entry.r_max, 4)})"
    share = f"{percent_of(entry.certified, entry.images)} %"
    if entry.lines < entry.images:
        return f"{share} so far ({entry.certified:,}/{entry.images:,}, partial run)"
    return share if run.no_interval else f"{share} ({percents(entry.low, entry.high)})"
