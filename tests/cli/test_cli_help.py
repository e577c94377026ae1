"""Help pages at 80 columns: their length, their width, their groups, and examples that parse."""

import re
import shlex

import pytest

from smoothcert.cli import main
from smoothcert.cli.app import VERBS, build
from smoothcert.cli.help import BY_VERB, EXAMPLES, RARE

NAMES = list(VERBS)


@pytest.fixture
def page(capsys, monkeypatch):
    """The help page of a verb in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def printed(*tokens):
        with pytest.raises(SystemExit) as done:
            main(tokens)
        assert not done.value.code
        return capsys.readouterr().out

    return printed


@pytest.mark.parametrize("verb", ["", *NAMES])
def test_every_page_is_short_and_every_flag_has_one_line(page, verb):
    lines = page(*verb.split(), "--help").splitlines()
    assert len(lines) < 60
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line.startswith(" " * 8)], "a description was wrapped"


@pytest.mark.parametrize("verb", NAMES)
def test_the_whole_page_fits_80_columns_and_has_every_flag(page, verb):
    short, whole = page(verb, "--help"), page(verb, "--help-all")
    assert max(map(len, whole.splitlines())) <= 80
    named = re.findall(r"(?:^ +|also |, )(--[a-z0-9-]+)", short, re.MULTILINE)
    assert {flag for flag in named if flag not in whole} == set()
    assert [flag for flag in re.findall(r"^  (--[a-z0-9-]+)", whole, re.MULTILINE) if flag not in named] == []


def test_the_groups_of_certify_are_those_of_its_settings(page):
    titles = [line for line in page("certify", "--help").splitlines() if re.fullmatch("[A-Z][a-z]+", line)]
    assert titles == ["Classifier", "Images", "Certificates", "Computation", "Workers", "Options", "Examples"]


def test_defaults_are_shown_as_they_are_typed(page):
    assert re.search(r"--sigma SIGMA... .*\(default: 0.25,0.5,1.0\)", page("certify", "--help"))


def test_a_rare_flag_is_a_flag_of_some_verb(page):
    whole = "".join(page(verb, "--help-all") for verb in BY_VERB)
    assert [flag for flag in RARE if not re.search(rf"^  --{flag}\b", whole, re.MULTILINE)] == []


@pytest.mark.parametrize("example", [example for examples in EXAMPLES.values() for example in examples])
def test_examples_are_on_one_line_and_parse(page, example):
    tokens = shlex.split(example)[1:]
    assert f"  {example}" in page(tokens[0], "--help").splitlines()
    if "--config" in tokens:
        pytest.skip("needs the settings file it names")
    build(tokens).parse_args(tokens, exit_on_error=False, print_error=False)
