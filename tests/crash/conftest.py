from pathlib import Path

import pytest

from smoothcert.evidence import open_run

from .driver import Process, certify_arguments, whole_lines, write_inputs
from .faults import TALLY, sealed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with classifier and images."""
    write_inputs(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each precision that nothing interrupted."""
    home = tmp_path_factory.mktemp("undisturbed")
    write_inputs(home)
    for precision in ("fp32", "bf16"):
        status, said = Process(home, certify_arguments(precision, precision)).wait()
        assert status == 0, said
    return home


@pytest.fixture(scope="session")
def undisturbed(calm: Path) -> dict[str, str]:
    """Ledger hash by precision of a run that nothing interrupted."""
    return {precision: open_run(calm / precision).ledger.sha256() for precision in ("fp32", "bf16")}


@pytest.fixture(scope="session")
def calm_lines(calm: Path) -> dict[str, set[str]]:
    """Ledger lines by precision of a run that nothing interrupted, without time, worker and duration."""
    return {
        precision: {sealed(line) or "" for line in whole_lines(calm / precision).splitlines()}
        for precision in ("fp32", "bf16")
    }


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was broken, how often, and what it cost."""
    if TALLY.times:
        terminalreporter.section("faults")
        terminalreporter.write_line(TALLY.table())
