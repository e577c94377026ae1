from pathlib import Path

import pytest

from smoothcert.evidence import open_run

from .driver import Process, certify_arguments, write_inputs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with classifier and images."""
    write_inputs(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Ledger hash by precision of a run that nothing interrupted."""
    home = tmp_path_factory.mktemp("undisturbed")
    write_inputs(home)
    found = {}
    for precision in ("fp32", "bf16"):
        status, said = Process(home, certify_arguments(precision, precision)).wait()
        assert status == 0, said
        found[precision] = open_run(home / precision).ledger.sha256()
    return found
