"""`table --show subgroups` of a run that has columns, and of one that has none."""

import json
import re

import pytest

from factories import make_run

SEX = ["FM"[i % 2] for i in range(120)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("shown") / "run", images=120, subgroups={"sex": SEX}).directory.path


def test_the_table_stands_above_what_it_does_not_say(say, path):
    said = say("table", path, "--show", "subgroups")
    assert said.code == 0
    assert said.out.startswith("| subgroup | value | images |")
    assert re.search("At k = 1, r = 0.1. .* for its row alone", said.out)
    assert "At k = 1, r = 0.25." in say("table", path, "--show", "subgroups", "--radius", "0.25").out


def test_machines_get_records_without_words(say, path):
    records = json.loads(say("table", path, "--show", "subgroups", "--format", "json").out)
    assert [(each["sigma"], each["value"]) for each in records] == [(s, v) for s in (0.25, 0.5) for v in "FM"]
    assert {each["images"] for each in records} == {60}


def test_a_run_without_columns_says_how_to_name_them(say, real_run):
    said = say("table", real_run, "--show", "subgroups")
    assert said.code == 2
    assert "--subgroup" in said.err
