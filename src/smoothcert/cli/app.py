"""The command line: its verbs, its settings files, its exit status. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Literal

from cyclopts import App, ArgumentCollection, Group
from cyclopts.exceptions import CycloptsError, ValidationError
from pydantic import ValidationError as PydanticError

from smoothcert.cli.certify import certify, demo, merge, resume
from smoothcert.cli.deploy import bundle, predict
from smoothcert.cli.help import UNITS, HelpFormatter, epilogue
from smoothcert.cli.prepare import check, plan
from smoothcert.cli.results import radius, report, status, table
from smoothcert.cli.train import train, train_denoiser
from smoothcert.cli.verify import sign, verify
from smoothcert.config.values import explain
from smoothcert.errors import InputError, SmoothcertError, printable
from smoothcert.version import __version__
from smoothcert.yaml_files import parse_yaml, read_text

INTERRUPTED = 130
LARGEST = 100_000
"""Maximum size of a settings file in bytes."""
LONGEST = 1200
"""Maximum length of a message in characters: names and values from files can have any length."""


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print the completion script of a shell.

    For bash: `source <(smoothcert completion bash)`.

    Args:
        shell: bash, zsh or fish.
    """
    print(build().generate_completion(shell=shell))
    return 0


COMMANDS = {
    "Before a run": (demo, train, train_denoiser, check, plan),
    "Certify": (certify, resume, merge),
    "Read and check a run": (status, table, report, verify, sign),
    "Deploy": (bundle, predict),
    "Other": (radius, completion),
}
VERBS = tuple(verb.__name__.replace("_", "-") for group in COMMANDS.values() for verb in group)
USAGE = {
    "certify": "Usage: smoothcert certify --model NAME --data NAME --out PATH [OPTIONS]",
    "merge": "Usage: smoothcert merge --out PATH RUNS...",
    "table": "Usage: smoothcert table [OPTIONS] PATHS...",
    "predict": "Usage: smoothcert predict [OPTIONS] BUNDLE IMAGES...",
}
"""Usage lines where that of cyclopts says less: it calls repeated arguments ARGS, and requires no --out."""


def build(tokens: Sequence[str] = ()) -> App:
    """Return the command line.

    Args:
        tokens: the arguments that it will parse; they choose the help page.
    """
    complete = "--help-all" in tokens
    app = App(
        name="smoothcert",
        version=__version__,
        help="Certified robustness of image classifiers by randomized smoothing, re-checkable from stored votes.",
        help_flags=["--help", "-h", "--help-all"],
        help_format="plaintext",
        help_formatter=HelpFormatter("".join(tokens[:1]), complete),
        help_epilogue=UNITS,
        group_commands=Group("Options", sort_key=len(COMMANDS)),
    )
    for place, (title, verbs) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=place)
        for verb in verbs:
            name = verb.__name__.replace("_", "-")
            end = UNITS if complete else epilogue(name)
            app.command(verb, group=group, sort_key=verbs.index(verb), usage=USAGE.get(name), help_epilogue=end)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one verb and exit: 0 success, 1 a check failed, 2 the input was refused, 130 interrupted."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every encoding has every letter
    try:
        code = _call(tokens)
    except ValidationError as error:
        _refuse(_reason(error))
    except CycloptsError as error:
        known = [verb for verb in VERBS if verb in tokens[:1]]
        _refuse(f"{error}{_remedy(error, *known)} See `{' '.join(['smoothcert', *known])} --help`.")
    except SmoothcertError as error:
        _refuse(str(error), error.exit_code, error.code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(0)
    except MemoryError:
        _refuse(
            "Out of memory. Evidence written so far is kept. Stop other programs, or use fewer or smaller images "
            "(--limit, --resize); `smoothcert resume RUN` continues a run."
        )
    except RecursionError:
        _refuse("The input is nested too deeply.")
    except OSError as error:
        _refuse(
            f"Cannot read or write {error.filename or 'a file'}: {error.strerror}. Evidence written so far is kept."
        )
    sys.exit(code if isinstance(code, int) else 0)


def _call(tokens: list[str]) -> object:
    """Parse the arguments and call the verb, with the names of the typed flags if it takes `typed`."""
    app, typed = build(tokens), set[str]()

    def watch(_: App, __: tuple[str, ...], arguments: ArgumentCollection) -> None:
        typed.update(each.name for each in arguments if any(token.source == "cli" for token in each.tokens))

    app.config = (*_config(tokens), watch)
    verb, bound, unparsed = app.parse_args(tokens, exit_on_error=False, print_error=False)
    if "typed" in unparsed:
        bound.arguments["typed"] = frozenset(typed)
    return verb(*bound.args, **bound.kwargs)


NOT_READ = {
    "sign_lock": "because only you decide what your key signs; give --sign-lock on the command line",
    "config": "because settings are in one file",
}
"""Flags that a settings file cannot give, and why."""


def _config(tokens: Sequence[str]) -> tuple[object, ...]:
    """Return the configuration of `--config FILE`, which flags override."""
    for i, token in enumerate(tokens):
        name, equals, value = token.partition("=")
        if name == "--config":
            path = Path(value if equals else next(iter(tokens[i + 1 :]), ""))
            return (_settings(tokens[0], path),)
    return ()


def _settings(verb: str, path: Path) -> object:
    """Return the settings of a file for one verb; under its name, because cyclopts skips keys named like a verb."""
    from cyclopts.config import Dict

    settings = parse_yaml(read_text(path, LARGEST), f"--config {path}")
    if not isinstance(settings, dict):
        raise InputError(f"--config: expected settings such as `alpha: 0.001` in {path}, got none.", code="E-INPUT-001")
    _check_keys(settings, path)
    stated = {name: value for name, value in settings.items() if value is not None}
    for name, why in NOT_READ.items():
        if name in stated:
            raise InputError(
                f"--config: {name} is not read from a file, {why}. Remove it from {path}.", code="E-INPUT-002"
            )
    for name, value in stated.items():
        if isinstance(value, list) and None in value:
            raise InputError(
                f"--config: {name} has an empty value in {path}; give it a value, or remove it.", code="E-INPUT-003"
            )
    return Dict({verb: stated}, source=str(path))


def _check_keys(value: object, path: Path) -> None:
    """Refuse keys that are not text, such as `1:`, at any depth."""
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise InputError(f"--config: expected names as keys in {path}, got {name!r:.40}.", code="E-INPUT-053")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_keys(each, path)


def _reason(error: ValidationError) -> str:
    cause = error.__cause__
    while cause is not None and not isinstance(cause, PydanticError):
        cause = cause.__cause__
    if not isinstance(cause, PydanticError):
        return str(error)
    name, colon, complaint = explain(cause).partition(":")
    return f"--{name.replace('_', '-')}{colon}{complaint}"


def _remedy(error: CycloptsError, verb: str = "") -> str:
    """Return what to do about a flag whose value cannot be read, with a space before it, if that is known."""
    argument = getattr(error, "argument", None)
    if verb.startswith("train") and argument is not None and argument.name == "--sigma":
        return " A training takes one noise level, or a range such as --sigma-low 0.25 --sigma 0.5."
    return ""


def _refuse(reason: str, status: int = InputError.exit_code, code: str = "") -> None:
    from rich.console import Console

    console = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    console.print("[bold red]smoothcert:[/] ", end="")
    text = printable(reason)
    console.print(text if len(text) <= LONGEST else f"{text[: LONGEST - 200]} ... {text[-200:]}", markup=False, end="")
    console.print(f" [{code}]" if code else "", style="dim", markup=False)
    sys.exit(status)
