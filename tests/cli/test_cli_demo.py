"""The demo: the main job with nothing but the package, and honest about what it shows."""

import pytest

from smoothcert.cli import main
from smoothcert.evidence import open_run
from smoothcert.verify import verify


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(argument) for argument in arguments])
    return int(done.value.code or 0)


@pytest.mark.slow
def test_the_demo_certifies_and_verifies(tmp_path, capsys):
    assert run("demo", "--images", 16, "--n-max", 150, "--out", tmp_path / "demo") == 0
    said = capsys.readouterr()
    assert said.out.count("| 0.25 |") >= 1
    assert "synthetic images" in said.out
    opened = open_run(tmp_path / "demo")
    assert (opened.spec.data.reference, opened.spec.models[0].reference) == ("synthetic:16", "demo")
    assert all(name.startswith("synthetic") for name in opened.spec.data.class_names)
    assert verify(tmp_path / "demo").passed


def test_a_second_demo_overwrites_nothing(tmp_path, capsys):
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine").write_text("kept")
    assert run("demo", "--images", 16, "--out", tmp_path / "demo") == 2
    assert (tmp_path / "demo" / "mine").read_text() == "kept"
    assert "not an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--images", "--n-max"])
def test_senseless_numbers_are_refused(tmp_path, flag):
    assert run("demo", flag, 0, "--out", tmp_path / "demo") == 2
    assert not (tmp_path / "demo").exists()
