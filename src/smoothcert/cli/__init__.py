"""The command line. A module parses and prints the verbs of one group; its `_work` module does what needs torch."""

from smoothcert.cli.app import main

__all__ = ["main"]
