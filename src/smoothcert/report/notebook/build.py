"""Turn the percent script into an executed notebook; the same run gives the same bytes."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from smoothcert.errors import InputError, MissingExtraError, SmoothcertError
from smoothcert.evidence import Run
from smoothcert.evidence.directory import write_derived

NAME = "notebook.ipynb"
CELL_SECONDS, LINES_PER_SECOND = 600, 1000
"""Time limit of a cell, extended for ledgers of many lines, of which thousands are read per second."""
LONGEST_SOCKET = 80  # characters of the folder of a socket; every system allows 104 including its name

_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def write_notebook(run: Run, folder: Path, live: bool = True) -> Path:
    """Execute the certification notebook on a run, and write it with its outputs atomically.

    The notebook finds the run by a relative path, so it still runs after the run directory is copied.

    Args:
        run: the run, complete or partial.
        folder: an existing folder, usually `results` of the run.
        live: whether five images are certified again if torch, classifier and images are available. The classifier,
            and the denoiser if there is one, must be a built-in architecture in a safetensors file with the hash of
            the run; no code is loaded.

    Returns:
        The notebook.

    Raises:
        MissingExtraError: jupytext, nbclient, ipykernel or matplotlib is not installed.
        SmoothcertError: a cell failed; the message names the cell.
        InputError: the folder is not writable.
    """
    notebook = _execute(read_script(run, folder, live), folder, len(run.ledger.lines))
    try:
        write_derived(folder / NAME, _stored(notebook))
    except OSError as error:
        raise InputError(f"Cannot write {folder / NAME}: {error.strerror}.", code="E-INPUT-040") from None
    return folder / NAME


def read_script(run: Run, folder: Path, live: bool) -> Any:
    """Return the notebook without outputs, with the cells that apply to the run and its parameters set."""
    try:
        import ipykernel  # noqa: F401
        import jupytext  # type: ignore[import-untyped]
        import matplotlib  # noqa: F401
        import nbclient  # noqa: F401
    except ImportError:
        raise MissingExtraError(NAME, "report") from None
    script = (files("smoothcert.report.notebook") / "certification.py").read_text(encoding="utf-8")
    _, first, entries = script.partition("# %%")  # the lines above the first cell are for linters
    notebook = jupytext.reads(first + entries, fmt="py:percent")
    place = Path(os.path.relpath(run.directory.path.resolve(), folder.resolve())).as_posix()
    applies = {"subgroups": bool(run.spec.data.subgroups), "denoiser": run.spec.denoised}
    betting = run.spec.request.bound == "betting"
    applies |= {"bounds": not betting, "betting": betting}
    absent = {tag for tag, there in applies.items() if not there}
    notebook.cells = [entry for entry in notebook.cells if not absent & set(entry.metadata.get("tags", ()))]
    for entry in notebook.cells:
        if "parameters" in entry.metadata.get("tags", ()):
            entry.source = entry.source.replace(
                'Path("..")', f"Path({json.dumps(place)})"
            )  # quoted, so a name is never code
            entry.source = entry.source if live else entry.source.replace('LIVE = "auto"', "LIVE = False")
    return notebook


def _execute(notebook: Any, folder: Path, lines: int = 0) -> Any:
    """Run every cell in a new kernel; ledgers of many lines get more time.

    Raises:
        SmoothcertError: a cell failed or timed out, or the kernel died.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, CellExecutionError, CellTimeoutError, DeadKernelError

    failures = (CellExecutionError, CellTimeoutError, DeadKernelError, CellControlSignal, RuntimeError)
    with tempfile.TemporaryDirectory(prefix="smoothcert-notebook-") as own:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS + lines // LINES_PER_SECOND,
            kernel_name="",
            kernel_manager_class=_kernel_manager(Path(own)),
            record_timing=False,
            coalesce_streams=True,
            store_widget_state=False,
            resources={"metadata": {"path": str(folder)}},
        )
        try:
            return client.execute(env=_environment(own))
        except BaseException as error:
            if _interrupted(client):
                raise KeyboardInterrupt from None
            if not isinstance(error, failures):
                raise
            raise SmoothcertError(_failure(notebook, error), code="E-RUN-070") from None


def _interrupted(client: Any) -> bool:
    """Whether Ctrl-C or SIGTERM ended the execution; nbclient handles them itself and then fails in its cleanup."""
    return hasattr(client, "_async_cleanup_kernel_future")


def _kernel_manager(own: Path) -> Any:
    """Return a manager whose kernel is this Python, whatever kernels are installed, with its files in `own`."""
    import zmq
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            # a file beside the notebook must not shadow a library: neither in the shell of the kernel (ignore_cwd) nor
            # in its launcher (PYTHONSAFEPATH, below)
            launch = [sys.executable, "-m", "ipykernel_launcher", "--InteractiveShellApp.ignore_cwd=True"]
            launch += ["--HistoryManager.enabled=False", "--Application.log_level=ERROR", "-f", "{connection_file}"]
            return KernelSpec(argv=launch, display_name=_KERNEL["display_name"], language=_KERNEL["language"])

        def __init__(self, **settings: Any) -> None:
            # sockets in a folder of this user in place of ports, unless unsupported or the path is too long
            transport = "ipc" if zmq.has("ipc") and len(str(own)) < LONGEST_SOCKET else "tcp"
            super().__init__(connection_file=str(own / "kernel.json"), transport=transport, **settings)

    return ThisPython


def _environment(own: str) -> dict[str, str]:
    """Return the environment of the kernel: no IPython settings of the user, and the folder of named files."""
    return {
        **os.environ,
        "IPYTHONDIR": own,
        "MPLBACKEND": "agg",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONSAFEPATH": "1",
        "SMOOTHCERT_FILES": os.getcwd(),
    }


def _failure(notebook: Any, error: Exception) -> str:
    """Return a message with the number and section of the failed cell, and the reason."""
    section, number = "", 0
    for entry in notebook.cells:
        if entry.cell_type == "markdown":
            section = next((line.lstrip("# ") for line in entry.source.splitlines() if line.startswith("#")), section)
            continue
        number += 1
        failed = [output for output in entry.outputs if output.output_type == "error"]
        if failed or entry.execution_count is None:
            reason = f"{failed[0].ename}: {failed[0].evalue}" if failed else f"{type(error).__name__}"
            return f"The notebook was not written: code cell {number}, section {section!r}, failed ({reason})."
    return f"The notebook was not written: its kernel failed ({type(error).__name__}: {error})."


def _stored(notebook: Any) -> str:
    """Return the text of the notebook without times, versions and local messages."""
    import nbformat

    notebook.metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    for number, entry in enumerate(notebook.cells):
        entry["id"] = f"cell-{number:02d}"
        entry.metadata.pop("execution", None)
        if entry.cell_type == "code":
            # stderr has notices of libraries, such as a font cache being built, with local paths
            entry.outputs = [each for each in entry.outputs if each.get("name") != "stderr"]
    nbformat.validate(notebook)
    text: str = nbformat.writes(notebook, version=4)  # type: ignore[no-untyped-call]
    return text.rstrip("\n") + "\n"
