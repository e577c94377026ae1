"""Help pages: one line per flag, in groups. `--help` shows the usual flags, `--help-all` all of them in full."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from smoothcert.config import Reading, Request
from smoothcert.config.certify import CertifyConfig, RuntimeConfig
from smoothcert.config.inputs import DataConfig, Declared, ModelConfig
from smoothcert.config.plan import PlanSettings
from smoothcert.engine.resources import Placement
from smoothcert.training.settings import DenoiserSettings, TrainingSettings

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

GROUPS = {
    "Classifier": frozenset(ModelConfig.model_fields),
    "Images": frozenset(DataConfig.model_fields),
    "Certificates": frozenset(CertifyConfig.model_fields),
    "Computation": frozenset(RuntimeConfig.model_fields),
    "Plan": frozenset(PlanSettings.model_fields) - frozenset(Request.model_fields),
    "Workers": frozenset(Placement.model_fields),
}
"""The groups of a page in their order, each with its settings. Other flags follow as "Options"."""
TRAINING_GROUPS = {
    "Classifier": frozenset({"from", "weights", "arch", "denoiser"}),
    "Images": frozenset(Reading.model_fields) | {"data", "augment", "holdout"},
    "Training": frozenset(field.name for field in fields(TrainingSettings)),
}
DENOISER_GROUPS = {
    "Classifier": frozenset({"for", "for_arch", "weights"}) | frozenset(Declared.model_fields),
    "Images": frozenset(Reading.model_fields) | {"data", "augment", "holdout"},
    "Training": frozenset(field.name for field in fields(DenoiserSettings)) | {"from"},
}
BY_VERB = dict.fromkeys(("certify", "check", "plan", "resume"), GROUPS)
BY_VERB |= {"train": TRAINING_GROUPS, "train-denoiser": DENOISER_GROUPS}
"""The verbs whose flags come in groups; the flags of others are few."""
RARE = (
    *("weights", "arch", "input-range", "mean", "std", "layout", "channels", "output", "crop", "quantise", "window"),
    *("target", "stopping", "stop", "price", "n0", "noise", "primary", "criteria", "compile"),
    *("address", "worker-timeout", "sign-lock", "print-config"),
    *("weight-decay", "label-smoothing", "consistency", "entropy"),
    *("for-arch", "denoiser-weights", "denoiser-range", "pretrain", "mse-weight", "average", "estimate-every"),
)
"""Flags that few need: `--help` only names them."""

FIRST = frozenset({"model", "data", "out"})
"""Flags that come first in their group."""

UNITS = "sigma and radii are in units of the [0, 1] range: 0.25 is 64 grey levels of 255."
EXAMPLES = {
    "check": ["smoothcert check --model demo --data synthetic:300"],
    "plan": [
        "smoothcert plan --classes 8 --n-max 10000",
        "smoothcert plan --model demo --data synthetic:300 --out PLAN",
    ],
    "certify": [
        "smoothcert certify --model demo --data synthetic:300 --n-max 5000 --out RUN",
        'smoothcert certify --model "r20_{sigma}.safetensors" --data d.npz --out RUN',
        "smoothcert certify --config run.yaml --out RUN",
    ],
    "resume": ["smoothcert resume RUN", "smoothcert resume RUN --data moved/images.npz"],
    "train": [
        "smoothcert train --data d.npz#train --sigma 0.25 --out r20_0.25.safetensors",
        "smoothcert train --from timm:resnet18 --data d --sigma 1 --out w.safetensors",
    ],
    "train-denoiser": ["smoothcert train-denoiser --for n:net --data d --sigma 1 --out u.safetensors"],
}
FLAGS_WIDTH, VERB_WIDTH = 28, 15
"""Columns for a flag and its values, and for a verb; what is longer has a line of its own."""
INDENT = "  "


class HelpFormatter:
    """Prints help as plain text, for cyclopts: every paragraph and every flag is wrapped to the terminal's width."""

    def __init__(self, verb: str, complete: bool) -> None:
        """Choose the page.

        Args:
            verb: whose help it is; "" for all verbs.
            complete: print every flag with its whole description, not only the usual ones with its first sentence.
        """
        self._groups = BY_VERB.get(verb, {})
        self._complete = complete

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the usage line."""
        _print(console, [f"Usage: {str(usage).strip().removeprefix('Usage: ')}"])

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """Print what the verb does."""
        for paragraph in _text(description).strip().split("\n\n"):
            _print(console, ["", *wrap(paragraph, console.width)])

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one panel: the verbs of a kind, the arguments, or the flags in their groups."""
        other = "Options" if panel.title == "Parameters" else str(panel.title)
        sections: dict[str, list[HelpEntry]] = {title: [] for title in (*self._groups, other)}
        for entry in panel.entries:
            sections[self._group(entry) or other].append(entry)
        for title, entries in sections.items():
            if entries:
                _print(console, ["", title, *self._lines(entries, console.width)])

    def _group(self, entry: HelpEntry) -> str | None:
        setting = _flag(entry).replace("-", "_")
        return next((title for title, settings in self._groups.items() if setting in settings), None)

    def _lines(self, entries: Sequence[HelpEntry], width: int) -> list[str]:
        lines: list[str] = []
        rare: list[str] = []
        for entry in sorted(entries, key=lambda each: not (self._groups and _flag(each) in FIRST)):
            if self._groups and not self._complete and _flag(entry) in RARE:
                rare.append(f"--{_flag(entry)}")
            else:
                lines += _entry_lines(entry, self._complete, width)
        if rare:
            more = f"also {', '.join(dict.fromkeys(rare))}"
            lines += wrap(more, width, initial_indent=INDENT, subsequent_indent=INDENT * 2, break_on_hyphens=False)
        return lines


def epilogue(verb: str) -> str:
    """Return the end of the page of a verb: units, examples, and where the other sentences are."""
    examples = EXAMPLES.get(verb, [])
    lines = ["Examples", *(f"{INDENT}{example}" for example in examples), ""] if examples else []
    return "\n".join([*lines, UNITS, f"All flags in full: smoothcert {verb} --help-all"])


def _entry_lines(entry: HelpEntry, complete: bool, width: int) -> list[str]:
    text = _text(entry.description)
    parts = [text if complete else re.split(r"\.(?:\s|$)", text)[0]]
    if entry.default not in (None, "False", "()", '""'):
        parts.append(f"(default: {re.sub(r'[(), ]+', ',', str(entry.default)).strip(',')})")
    if complete and entry.required and not entry.positional_label:
        parts.append("(required)")
    names = f"{INDENT}{_names(entry)}"
    is_verb = not entry.positional_label and not entry.positive_names[0].startswith("-")
    left = len(INDENT) + (VERB_WIDTH if is_verb else FLAGS_WIDTH)
    lines = wrap(" ".join(parts), width - left, break_on_hyphens=False, break_long_words=False) or [""]
    if len(names) < left:
        return [f"{names:<{left}}{lines[0]}", *(" " * left + line for line in lines[1:])]
    return [names, *(" " * left + line for line in lines)]


def _names(entry: HelpEntry) -> str:
    """Return the flag with its value: the choices if they are few, else its kind."""
    if entry.positional_label:
        return entry.positional_label
    names = ", ".join((*entry.positive_shorts, *entry.positive_names, *entry.negative_names))
    choices = "|".join(entry.choices or ())
    value = choices if choices and len(names) + len(choices) < FLAGS_WIDTH else entry.metavar or ""
    return f"{names} {value}".strip()


def _flag(entry: HelpEntry) -> str:
    """Return the name of the flag, of `--primary.sigma` the word primary."""
    return (entry.positive_names or ("",))[0].removeprefix("--").partition(".")[0]


def _text(description: Any) -> str:
    """Return the plain text of a description as cyclopts hands it over."""
    found = getattr(description, "primary_renderable", description)
    return str(getattr(found, "plain", found))


def _print(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
