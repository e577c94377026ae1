"""`smoothcert completion`: what makes the shell complete verbs and flags."""

from __future__ import annotations

from typing import Literal


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the completion script of a shell; for bash: `source <(smoothcert completion bash)`.

    Args:
        shell: bash, zsh or fish.
    """
    from smoothcert.cli import build

    print(build().generate_completion(shell=shell))
    return 0
