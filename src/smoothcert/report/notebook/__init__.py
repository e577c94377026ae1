"""The certification notebook: a percent script, executed on a run and stored with its outputs. No torch."""

from smoothcert.report.notebook.build import write_notebook
from smoothcert.report.notebook.facts import picture, require, say, table

__all__ = ["picture", "require", "say", "table", "write_notebook"]
