"""The README tells the truth: its commands run as printed, and what it names exists."""

import re
import tomllib
from collections.abc import Callable

import pytest

from smoothcert.cli import main

from .conftest import ROOT, Desk
from .markdown import Block, Command, anchors, blocks, commands, is_tree, links, spans, tree_paths

EXECUTED = ("sh", "python")
NOT_EXECUTED = ("", "text", "csv", "json", "yaml", "bibtex")


@pytest.fixture
def verbs(capsys) -> list[str]:
    """The commands `smoothcert --help` lists."""
    with pytest.raises(SystemExit):
        main(["--help"])
    found = re.findall(r"^│ ([a-z][\w-]*) ", capsys.readouterr().out, re.M)
    assert {"certify", "verify"} <= set(found)
    return found


def names_targets(arguments: list[str]) -> str | None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    return next((f"no target {word} in the Makefile" for word in arguments if word not in targets), None)


def names_files(arguments: list[str]) -> str | None:
    files = [word.partition("::")[0] for word in arguments if not word.startswith("-") and "=" not in word]
    missing = [file for file in files if not (ROOT / file).exists()]
    return f"no such file: {missing[0]}" if missing else None


def names_extras(arguments: list[str]) -> str | None:
    """`pip install .` or `pip install '.[extra]'`; nothing is on a package index yet."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    if arguments[:1] != ["install"]:
        return "only `pip install .` is known"
    for word in arguments[1:]:
        match = re.fullmatch(r"-[qUe]|--\w[\w-]*|\.(?:\[([\w, -]+)\])?", word)
        unknown = [e for e in re.split(r"[, ]+", match[1]) if e not in extras] if match and match[1] else []
        if not match or unknown:
            return f"pip install: {unknown[0] if unknown else word} is not in pyproject.toml"
    return None


NAMED: dict[str, Callable[[list[str]], str | None]] = {
    "make": names_targets,
    "pytest": names_files,
    "python": lambda words: names_files(words[:1]),
    "pip": names_extras,
}
"""Programs that are not executed here, as CI runs them itself; what is wrong with their arguments, or None."""


def complaint(command: Command) -> str | None:
    """What is wrong with a command that is not executed here, or None."""
    for program, *arguments in command.calls():
        if program != "smoothcert":
            if program not in NAMED:
                return f"README names a command the test does not know: {program}"
            if found := NAMED[program](arguments):
                return found
    return None


def executed(command: Command) -> bool:
    return any(program == "smoothcert" for program, *_ in command.calls())


def all_commands(text: str) -> list[Command]:
    return [command for block in blocks(text) if block.info == "sh" for command in commands(block)]


def test_nothing_is_hidden_from_execution(readme):
    for block in blocks(readme):
        assert block.info in EXECUTED + NOT_EXECUTED, f"line {block.line}: write ```sh or ```python, not {block.info}"
        hidden = re.search(r"^\s*\$?\s*(smoothcert|make|pip|pytest) ", block.text, re.M)
        assert block.info != "" or not hidden, f"line {block.line}: a block with commands begins with ```sh"


def test_every_command_is_known_and_names_what_exists(readme):
    for command in all_commands(readme):
        assert (wrong := complaint(command)) is None, f"line {command.line}: {wrong}"


def test_commands_in_the_text_name_what_exists(readme, verbs):
    for span in spans(readme):
        program, _, rest = span.partition(" ")
        if program in NAMED and rest:
            assert (wrong := complaint(Command(0, span))) is None, f"`{span}`: {wrong}"
        elif program == "smoothcert" and rest:
            assert rest.split()[0] in verbs, f"`{span}`: no such command"


@pytest.mark.slow
def test_every_command_runs_in_order(readme, desk, free_names):
    ran = [run_block(block, desk, free_names) for block in blocks(readme)]
    assert sum(ran) > 0, "the README has no command"


def run_block(block: Block, desk: Desk, names: dict[str, object]) -> int:
    """Execute a block; return how many commands of it were executed."""
    if block.info == "python":
        padding = "\n" * block.line  # a traceback then names the line of the README
        exec(compile(padding + block.text, str(ROOT / "README.md"), "exec"), names)
        return 1
    pasted = [command for command in commands(block) if block.info == "sh" and executed(command)]
    for command in pasted:
        done = desk.paste(command.text)
        doubted = done.returncode == 1 and "smoothcert check" in command.text  # as stand-ins deserve
        assert done.returncode == 0 or doubted, (
            f"README line {command.line}: {command.text}\nexit status {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return len(pasted)


def test_the_tree_names_what_exists(readme):
    trees = [block for block in blocks(readme) if is_tree(block)]
    assert trees, "no block of the README is a tree"
    for paths in (paths for tree in trees for paths in tree_paths(tree)):
        there = [path for path in paths if (ROOT / path).exists()]
        assert there, f"the tree names {paths[0]}"
        assert (ROOT / there[0]).is_dir() == there[0].endswith("/"), f"the tree: {paths[0]}: only folders end in /"


def test_links_and_pictures_exist(readme):
    for target in links(readme):
        path, _, anchor = target.partition("#")
        if re.match(r"https?:|mailto:", target):
            continue
        assert not path or (ROOT / path).exists(), f"the README links to {path}"
        where = readme if not path else (ROOT / path).read_text() if anchor else ""
        assert not anchor or anchor in anchors(where), f"the README links to {target}"


def test_paths_in_the_text_exist(readme):
    for span in spans(readme):
        if re.fullmatch(r"[\w.-]+/[\w./-]*\.(py|md)|(tests|docs|benchmarks)/[\w./-]*", span):
            assert any((base / span).exists() for base in (ROOT, ROOT / "src" / "smoothcert")), f"no file `{span}`"


def test_every_verb_is_mentioned(readme, verbs):
    missing = [verb for verb in verbs if not re.search(rf"smoothcert +{verb}\b", readme)]
    assert not missing, f"the README never shows: {', '.join(f'smoothcert {verb}' for verb in missing)}"
