"""Write all documents of a run directory in one call, without torch or a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from smoothcert.errors import EvidenceError, InputError, MissingExtraError, is_text
from smoothcert.evidence import Run, RunDirectory, open_run
from smoothcert.evidence.directory import file_sha256, write_derived, write_json
from smoothcert.evidence.events import REPORTED, append_event
from smoothcert.evidence.results import results_record
from smoothcert.report.certificates import write_certificates
from smoothcert.report.results import write_results
from smoothcert.verify import damage

if TYPE_CHECKING:
    from smoothcert.report.memo import Memo

CHECKSUMS = "SHA256SUMS"
LIBRARIES = (
    "matplotlib",
    "jinja2",
    "typst",
    "pypdf",
    "jupytext",
    "nbclient",
    "ipykernel",
    "pyarrow",
    "docx",
    "huggingface_hub",
)
DOCUMENTS = {
    "results.csv": "results table (also .md, .tex, .json)",
    "tables": "further tables: accuracy, classes, cost, image units",
    "cost.json": "cost of this run, of the next, of production",
    "certificates.parquet": "one row per image, sigma and k",
    "figures": "figures as SVG and PNG",
    "notebook.ipynb": "certification notebook, executed",
    "report.html": "interactive report, one file",
    "memo.pdf": "four-page memo, unsigned (also US Letter)",
    "memo.docx": "the same memo for Word: locked numbers, editable boxes",
    "risk_rows.csv": "rows for a risk file; requirements_trace.csv, for a trace",
    "model-card.md": "model card with Hugging Face metadata",
}
"""The documents, and what each is, for a list."""


@dataclass(frozen=True)
class ReportOptions:
    """Options of a report.

    Attributes:
        sponsor: YAML file or filled form (.docx) with the sponsor's fields of the memo; None leaves them open.
        live: whether the notebook certifies five images again if classifier and images are available.
        final: whether the memo is printed without "draft", which needs all of the sponsor's fields.
        mlflow: tracking URI to which run and documents are logged, or None.
    """

    sponsor: Path | None = None
    live: bool = True
    mlflow: str | None = None
    final: bool = False


Step = tuple[str, Callable[[], list[Path]]]


def write_report(
    path: Path, options: ReportOptions | None = None, on_step: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Write results table, certificates, figures, notebook, report.html and memo into `results/`.

    Args:
        path: a run directory, finished or partial; a partial run's documents say so and make no population claim.
        options: sponsor's fields and the live section of the notebook.
        on_step: called with the name of each step before it begins.

    Returns:
        The files in the order of writing; the last is SHA256SUMS.

    Raises:
        EvidenceError: there is no run, its evidence was changed, no image is decided, its path is not Unicode text, or
            another process is writing to it.
        InputError: the sponsor's file is invalid, or the memo cannot be final; nothing was written.
        MissingExtraError: a library of the extra `report`, or MLflow if it is asked for, is not installed.
    """
    from smoothcert.report.filing.tracking import expect_mlflow

    for library in LIBRARIES:
        if find_spec(library) is None:
            raise MissingExtraError(f"The report (library {library})", "report")
    if options is not None and options.mlflow is not None:
        expect_mlflow()
    if not is_text(str(path.resolve())):
        raise EvidenceError(
            f"{path}: libraries that write documents need a path in Unicode text. Rename its folders.", code="E-RUN-076"
        )
    directory = RunDirectory(path)
    directory.read_spec()  # leaves no lock file if there is no run
    with directory.locked():  # before the evidence is read, so that the documents describe exactly what is there
        return _write(open_run(path), options or ReportOptions(), on_step)


def _write(run: Run, options: ReportOptions, on_step: Callable[[str], None]) -> list[Path]:
    path = run.directory.path
    if not run.ledger.lines:
        raise EvidenceError(
            f"{path} has no finished image, so there is nothing to report. See `smoothcert status`.", code="E-RUN-077"
        )
    fault = next(damage(run), None)
    if fault is not None:
        raise EvidenceError(
            f"{fault}. No document is written from damaged evidence; `smoothcert verify {path}` lists every fault.",
            code="E-RUN-078",
        )
    files: list[Path] = []
    memo = _memo(run, options)
    for name, step in _steps(run, options, memo):
        on_step(name)
        files += step()
    files = log_documents(run.directory, files)
    if options.mlflow is not None:
        from smoothcert.report.filing.tracking import log_run

        on_step("MLflow")
        log_run(run, memo, options.mlflow, files)
    return files


def _memo(run: Run, options: ReportOptions) -> Memo:
    from smoothcert.report.memo import make_memo
    from smoothcert.report.word import read_fields

    memo = make_memo(run, read_fields(options.sponsor), final=options.final)
    if options.final and memo.gaps:
        raise InputError(
            f"--final: nothing was written, as the memo is still a draft: {'; '.join(memo.gaps)}. Complete them, or "
            "leave out --final.",
            code="E-INPUT-227",
        )
    return memo


def log_documents(directory: RunDirectory, files: list[Path]) -> list[Path]:
    """Write SHA256SUMS, and append an event with the name and hash of each document in `results/`.

    Args:
        directory: the run.
        files: the documents, all under its `results`.

    Returns:
        The documents and SHA256SUMS.
    """
    sums = directory.results / CHECKSUMS
    hashes = {file.relative_to(directory.results).as_posix(): file_sha256(file) for file in sorted(files)}
    write_derived(sums, "".join(f"{sha}  {name}\n" for name, sha in hashes.items()))
    append_event(directory.events, REPORTED, files=len(files) + 1, sha256sums=file_sha256(sums), documents=hashes)
    return [*files, sums]


def _steps(run: Run, options: ReportOptions, memo: Memo) -> Iterator[Step]:
    from smoothcert.report.figures import write_figures
    from smoothcert.report.filing import write_filing
    from smoothcert.report.html_report import write_page
    from smoothcert.report.memo import write_memo
    from smoothcert.report.notebook import write_notebook
    from smoothcert.report.word import write_docx

    folder = run.directory.results
    sponsor = memo.sponsor
    run = sponsor.of(run)
    stated = None if sponsor.production is None or options.sponsor is None else file_sha256(options.sponsor)
    yield "results table", lambda: [*write_results(run, folder, sponsor.production, stated), _record(run)]
    yield "certificates", lambda: [write_certificates(run, folder)]
    yield "figures", lambda: write_figures(run, folder / "figures")
    yield "memo", lambda: write_memo(run, folder, memo)  # before the notebook, which reads what the sponsor states
    yield "memo.docx", lambda: [write_docx(run, folder, memo)]
    yield "notebook", lambda: [write_notebook(run, folder, live=options.live)]
    yield "report.html", lambda: [write_page(run, folder, sponsor.production)]
    yield "rows and model card", lambda: write_filing(run, folder, memo)


def _record(run: Run) -> Path:
    path = run.directory.results / "results.json"
    write_json(path, results_record(run.spec, run.ledger, run.certificates))
    return path
