"""README and pages tell the truth: their code runs as printed, and what they name exists.

A block of code that is not run here follows a comment, `<!-- not run: REASON -->`.
"""

import re
import tomllib
from collections.abc import Callable

import pytest

import smoothcert
from smoothcert.cli import main

from .conftest import PAGES, ROOT, Desk
from .markdown import Block, Command, anchors, blocks, commands, links, spans

EXECUTED = ("sh", "python")
NOT_EXECUTED = ("", "text", "csv", "json", "yaml", "bibtex")
DIRECTIVE = re.compile(r"\{[\w-]+\}.*")
QUICK = ["README.md"]
"""Pages whose Python is run by `make test`."""


@pytest.fixture(params=PAGES)
def page(request) -> str:
    return request.param


@pytest.fixture
def text(page) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.fixture
def verbs(capsys) -> list[str]:
    """The commands `smoothcert --help` lists."""
    with pytest.raises(SystemExit):
        main(["--help"])
    found = re.findall(r"^(?:│| ) +([a-z][\w-]*) +[A-Z]", capsys.readouterr().out, re.M)
    assert {"certify", "verify"} <= set(found)
    return found


def names_targets(arguments: list[str]) -> str | None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    words = [word for word in arguments if "=" not in word]
    return next((f"no target {word} in the Makefile" for word in words if word not in targets), None)


def names_files(arguments: list[str]) -> str | None:
    files = [word.partition("::")[0] for word in arguments if re.search(r"[/.]", word) and "=" not in word]
    missing = [file for file in files if not (ROOT / file).exists()]
    return f"no such file: {missing[0]}" if missing else None


def names_extras(arguments: list[str]) -> str | None:
    """`pip install .` or `pip install '.[extra]'`; nothing of this project is on a package index yet."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    if arguments[:1] != ["install"] or "smoothcert" in arguments:
        return "only `pip install .` is known"
    asked = [match[1] for word in arguments if (match := re.fullmatch(r"\.\[([\w, -]+)\]", word))]
    unknown = [extra for each in asked for extra in re.split(r"[, ]+", each) if extra not in extras]
    return f"pip install: {unknown[0]} is not in pyproject.toml" if unknown else None


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
        if program not in ("smoothcert", "export"):
            if program not in NAMED:
                return f"a command the test does not know: {program}"
            if found := NAMED[program](arguments):
                return found
    return None


def runnable(text: str) -> list[Block]:
    return [block for block in blocks(text) if block.info in EXECUTED and not block.not_run]


def run(blocks_of_page: list[Block], page: str, desk: Desk) -> None:
    """Execute blocks in order: Python in one namespace, and commands that run smoothcert, in one folder."""
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks_of_page:
        if block.info == "python":
            padding = "\n" * block.line  # a traceback then names the line of the page
            exec(compile(padding + block.text, str(ROOT / page), "exec"), names)
            continue
        for command in commands(block):
            if any(program == "smoothcert" for program, *_ in command.calls()):
                done = desk.paste(command.text)
                warned = done.returncode == 1 and "smoothcert check" in command.text  # as stand-ins deserve
                assert done.returncode == 0 or warned, (
                    f"{page}, line {command.line}: {command.text}\n"
                    f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
                )


def test_no_code_is_hidden_from_execution(page, text):
    for block in blocks(text):
        known = block.info in EXECUTED + NOT_EXECUTED or DIRECTIVE.fullmatch(block.info)
        assert known, f"line {block.line}: write ```sh or ```python, not {block.info}"
        hidden = re.search(r"^\s*\$?\s*(smoothcert|make|pip|pytest) ", block.text, re.M)
        assert block.info != "" or not hidden, f"line {block.line}: a block with commands begins with ```sh"


def test_commands_are_known_and_name_what_exists(page, text):
    for block in runnable(text):
        for command in commands(block) if block.info == "sh" else ():
            assert (wrong := complaint(command)) is None, f"line {command.line}: {wrong}"


def test_commands_in_prose_name_what_exists(page, text, verbs):
    for span in spans(text):
        program, _, rest = span.partition(" ")
        if program in NAMED and rest and "..." not in rest:
            assert program == "python" or (wrong := complaint(Command(0, span))) is None, f"`{span}`: {wrong}"
        elif program == "smoothcert" and rest:
            assert rest.split()[0] in [*verbs, "--help", "--version"], f"`{span}`: no such command"


def test_links_and_pictures_exist(page, text):
    folder = (ROOT / page).parent
    for target in links(text):
        if re.match(r"https?:|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        assert not path or (folder / path).exists(), f"{page} links to {path}"
        where = text if not path else (folder / path).read_text(encoding="utf-8") if anchor else ""
        assert not anchor or anchor in anchors(where), f"{page} links to {target}"


def test_paths_in_prose_exist(page, text):
    for span in spans(text):
        if re.fullmatch(r"(src|tests|docs|benchmarks)/[\w./-]*", span):
            assert (ROOT / span).exists(), f"{page}: no file `{span}`"


def test_names_of_the_package_in_prose_exist(page, text):
    for span in spans(text):
        if re.fullmatch(r"smoothcert(\.\w+)+", span):
            value = smoothcert
            for name in span.split(".")[1:]:
                assert hasattr(value, name), f"{page}: no `{span}`"
                value = getattr(value, name)


def test_every_verb_is_shown_on_some_page(verbs):
    shown = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    missing = [verb for verb in verbs if not re.search(rf"smoothcert +{verb}\b", shown)]
    assert not missing, f"no page shows: {', '.join(f'smoothcert {verb}' for verb in missing)}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 160


def test_every_page_is_in_the_site():
    pages = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")} - {"index.md"}
    contents = [
        block.text for page in PAGES for block in blocks((ROOT / page).read_text("utf-8")) if "toctree" in block.info
    ]
    listed = {f"{line.rpartition('<')[2].strip('>')}.md" for text in contents for line in text.split("\n") if line}
    missing = {page for page in pages if page not in listed and page.removeprefix("api/") not in listed}
    assert not missing


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", QUICK)
def test_python_runs(page, desk):
    run([block for block in runnable((ROOT / page).read_text("utf-8")) if block.info == "python"], page, desk)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("page", [page for page in PAGES if runnable((ROOT / page).read_text("utf-8"))])
def test_code_runs_in_order(page, request):
    found = runnable((ROOT / page).read_text("utf-8"))
    needs_a_run = any("RUN" in block.text for block in found) and not any("--out RUN" in block.text for block in found)
    run(found, page, request.getfixturevalue("with_run" if needs_a_run else "desk"))
