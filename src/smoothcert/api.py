"""A whole run from Python objects: certify a model on a data set, resume, open, report, verify."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from smoothcert import evidence
from smoothcert.formats.results import Entry

if TYPE_CHECKING:
    import pandas

    from smoothcert.engine.session import Hooks
    from smoothcert.engine.workload import Workload
    from smoothcert.in_memory import Denoisers, Models
    from smoothcert.report.documents.check import Documents
    from smoothcert.verify import Report


class Results(Sequence[Entry]):
    """The results table of a run: one entry per (sigma, k, radius), in that order."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Hold the entries of a run."""
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, place: SupportsIndex) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Entry, ...]: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Entry | tuple[Entry, ...]:
        return self._entries[place]

    def at(self, sigma: float, radius: float, k: int = 1) -> Entry:
        """Return the entry of one noise level, radius and k.

        Raises:
            KeyError: there is no such entry.
        """
        for entry in self._entries:
            if (entry.sigma, entry.radius, entry.k) == (sigma, radius, k):
                return entry
        raise KeyError(f"no entry at sigma {sigma:g}, radius {radius:g}, k {k}")

    def to_pandas(self) -> pandas.DataFrame:
        """Return the table with one row per entry; None where something is not attainable, or withheld."""
        import pandas

        return pandas.DataFrame([entry.record() for entry in self._entries])

    def __repr__(self) -> str:
        from smoothcert.report import results_table

        return results_table(self._entries).render("md")


class Run(evidence.Run):
    """A finished, running or interrupted run; everything is derived from its stored votes on demand."""

    def results(self, radii: Sequence[float] = ()) -> Results:
        """Return the results table.

        Args:
            radii: L2 radii, in units of the [0, 1] range; () for those of the spec. At radii that the spec does not
                name, counts are "at least", because sampling stops once the radii of the spec are decided.
        """
        return Results(super().results(radii))

    def report(self, sponsor: str | PathLike[str] | None = None, *, live: bool = True) -> list[Path]:
        """Write tables, figures, notebook, report.html and the memo into `results/`, and return the files.

        Args:
            sponsor: YAML file with the sponsor's fields of the memo.
            live: let the notebook certify five images again where the classifier is built in and at hand.

        Raises:
            EvidenceError: the evidence was changed, or another process is writing the run.
            MissingExtraError: a library of the extra `report` is not installed.
        """
        from smoothcert.report.write import ReportOptions, write_report

        return write_report(self.directory.path, ReportOptions(None if sponsor is None else Path(sponsor), live))

    def verify(self) -> Report:
        """Recompute bounds, radii, decisions and claims from the stored votes; `report.faults` names what fails."""
        from smoothcert.verify import verify

        return verify(self.directory.path)

    def check_documents(self) -> Documents:
        """Derive the written documents again from the votes, and return what differs."""
        from smoothcert.report.documents import check_documents

        return check_documents(self)

    def __repr__(self) -> str:
        state = "sealed" if self.sealed else f"{self.missing:,} of {self.expected:,} results missing"
        sigmas = ", ".join(f"{float(sigma):g}" for sigma in self.spec.request.sigma)
        return f"Run({str(self.directory.path)!r}, {self.spec.data.images:,} images, sigma {sigmas}, {state})"


def open_run(path: str | PathLike[str]) -> Run:
    """Open a run directory for reading; torch is not needed.

    Raises:
        EvidenceError: there is no run there, or its ledger is damaged.
        SpecError: its spec is damaged.
    """
    opened = evidence.open_run(Path(path))
    return Run(opened.directory, opened.spec, opened.ledger)


def certify(
    model: Models,
    dataset: Any,
    *,
    out: str | PathLike[str],
    sigma: float | Sequence[float] = (0.25, 0.5, 1.0),
    radii: Sequence[float] = (0.25, 0.5, 1.0),
    k: int | Sequence[int] = 1,
    class_names: Sequence[str] = (),
    denoiser: Denoisers | None = None,
    **settings: Any,
) -> Run:
    """Certify a data set with a model, both in memory, as a run directory: what `smoothcert certify` does with files.

    Args:
        model: maps float (n, C, H, W) in [0, 1] to logits (n, classes), a `torch.nn.Module` or any callable; or one
            such model per noise level, as {sigma: model}. Evaluated in evaluation mode; its training flags are
            restored.
        dataset: items (image, label) or (image, label, group), as of torchvision or MedMNIST; a pair of arrays or
            tensors (images (m, C, H, W), labels (m,)); or a DataLoader, whose data set is read in its own order. Float
            images must be on a grid; `quantise=8` puts them on one.
        out: run directory to create. A run is never overwritten.
        sigma: noise levels, in units of the [0, 1] range.
        radii: L2 radii at which certified accuracy is reported, in the same units.
        k: top-k certificates to derive from the same votes.
        class_names: one per class; () for those of the data set, or numbers.
        denoiser: for a model that was trained without noise: a module that maps noisy images, or noisy images and
            sigma, to images; or one per noise level, as {sigma: module}. What is certified is the pipeline of both.
        settings: every other setting of `smoothcert certify`, such as alpha, n_max, limit, seed, precision.

    Returns:
        The finished run. Interrupted, it is continued by `smoothcert.resume(out, model, dataset)`.

    Raises:
        SpecError: a setting is unknown or out of range.
        DataError: images or labels cannot be used.
        ModelError: a model cannot be used, or has neither tensors nor source code that identify it.
        EvidenceError: `out` is occupied.

    Example:
        >>> import tempfile, torch
        >>> from torch import nn
        >>> def red_or_blue(x):
        ...     return 8 * x.mean(dim=(2, 3))[:, [0, 2]] - 4  # logits of two classes
        >>> images = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
        >>> images[:2, 0] = images[2:, 2] = torch.tensor([90, 180]).view(2, 1, 1)
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> out = tempfile.mkdtemp()
        >>> run = certify(red_or_blue, (images, labels), out=out, sigma=0.5, radii=(0.25,), n_max=1000, seed=1)
        >>> entry = run.results().at(sigma=0.5, radius=0.25)
        >>> entry.certified, entry.images
        (4, 4)
    """
    from smoothcert.config import make_request
    from smoothcert.config.request import IN_MEMORY
    from smoothcert.engine.resources import Placement
    from smoothcert.engine.run import certify_workload, check_placement
    from smoothcert.in_memory import workload_in_memory

    levels = tuple(sigma) if isinstance(sigma, Sequence) else (sigma,)
    ks = tuple(k) if isinstance(k, Sequence) else (k,)
    before = {} if denoiser is None else {"denoiser": IN_MEMORY}
    settings = {"sigma": levels, "radius": tuple(radii), "k": ks, **before, **settings}
    request = make_request(model=IN_MEMORY, data=IN_MEMORY, **settings)
    check_placement(request, Path(out), Placement())
    work = workload_in_memory(request, model, dataset, class_names, denoiser)
    with _evaluating(work) as hooks:
        certify_workload(work, Path(out), hooks)
    return open_run(out)


def resume(
    run: str | PathLike[str] | evidence.Run,
    model: Models,
    dataset: Any,
    *,
    denoiser: Denoisers | None = None,
    accept_recipe: bool = False,
) -> Run:
    """Continue an interrupted run that `certify` began from Python objects.

    Args:
        run: its directory.
        model, dataset, denoiser: the same as before. Their hashes are compared with the run's.
        accept_recipe: continue although this machine computes differently; each new line then names its recipe.

    Raises:
        EvidenceError: model or data set are not those of the run, or the run was changed.
        RecipeError: this machine's numeric recipe differs and was not accepted.
    """
    from smoothcert.config.request import IN_MEMORY
    from smoothcert.engine.resources import Workers
    from smoothcert.engine.run import as_locked, resumable, resume_workload
    from smoothcert.errors import EvidenceError
    from smoothcert.in_memory import workload_in_memory

    directory = run.directory if isinstance(run, evidence.Run) else evidence.RunDirectory(Path(run))
    spec = resumable(directory)
    if spec is None:
        return open_run(directory.path)
    if (spec.request.model, spec.request.data) != (IN_MEMORY, IN_MEMORY):
        raise EvidenceError(
            f"{directory.path} was made from files, {spec.request.model} and {spec.request.data}. Continue it with "
            f"`smoothcert resume {directory.path}`.",
            code="E-RUN-001",
        )
    request, names = as_locked(spec, accept_recipe), spec.data.class_names
    work = workload_in_memory(request, model, dataset, names, denoiser, spec.minor)
    with _evaluating(work) as hooks:
        resume_workload(directory, spec, work, hooks, Workers(), accept_recipe)
    return open_run(directory.path)


@contextmanager
def _evaluating(work: Workload) -> Iterator[Hooks]:
    """Keep the base classifiers in evaluation mode while the block runs, and show progress and warnings.

    Progress is a bar in a terminal and a line in a notebook; warnings are Python warnings. The training flags of the
    classifiers' owner are restored.
    """
    from smoothcert.engine.session import Hooks
    from smoothcert.progress import interactive
    from smoothcert.sampling.base_model import evaluating

    modules = [each.module for each in work.classifiers.values()]
    total = len(work.images) * len(work.classifiers)
    with evaluating(*modules), interactive("certifying", total) as show:
        yield Hooks(
            on_images=lambda found: _warn(*found.warnings),
            on_preflight=lambda found: _warn(*found.warnings),
            on_progress=lambda progress: show(progress.decided),
            on_warning=_warn,
        )


def _warn(*texts: str) -> None:
    for text in texts:
        warnings.warn(text, UserWarning, stacklevel=3)
