"""Shell completion: what bash offers after a part of a verb or a flag."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
source <({command} completion bash)
COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE="{words}"; COMP_POINT=${{#COMP_LINE}}
_smoothcert; printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("smoothcert ce", "certify"),
        ("smoothcert certify --stopp", "--stopping"),
        ("smoothcert table --form", "--format"),
    ],
)
def test_bash_completes(words, offered):
    command = Path(sys.executable).with_name("smoothcert")
    script = SCRIPT.format(command=command, words=words)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [offered]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_their_script(say, shell):
    said = say("completion", shell)
    assert said.code == 0
    assert "certify" in said.out


def test_an_unknown_shell_is_refused(say):
    assert say("completion", "tcsh").code == 2
