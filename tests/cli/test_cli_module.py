"""`python -m smoothcert`, and what the command line loads before it is asked for anything."""

import subprocess
import sys

from smoothcert.version import __version__

LOADED = """
import runpy, sys
sys.argv = ["smoothcert", "--help"]
try:
    runpy.run_module("smoothcert", run_name="__main__")
except SystemExit as done:
    assert not done.code
print(sorted({"torch", "numpy", "scipy", "numba", "PIL", "matplotlib"} & set(sys.modules)))
"""


def python(*words: str) -> str:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True).stdout


def test_the_package_is_run_as_a_module():
    assert python("-m", "smoothcert", "--version").strip() == __version__


def test_help_loads_nothing_heavy():
    assert python("-c", LOADED).splitlines()[-1] == "[]"
