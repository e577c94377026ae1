"""Hostile settings files: they are read, or refused with one short printable sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smoothcert.cli import main
from smoothcert.yaml_files import write_yaml

from .hostile import many, spoiled, strange, written

REQUEST = {
    "model": "demo",
    "data": "synthetic:10",
    "sigma": [0.25, 0.5],
    "radius": 0.25,
    "k": [1],
    "n_max": 1000,
    "window": [1, 2],
    "mean": [0.5],
    "subgroup": ["sex"],
    "criteria": [{"sigma": 0.25, "k": 1, "radius": 0.25, "at_least": 0.5}],
    "primary": {"sigma": 0.25, "k": 1, "radius": 0.25},
}


@many
@given(data=st.data())
def test_settings(tmp_path, capsys, data):
    (tmp_path / "c.yaml").write_bytes(data.draw(strange(REQUEST).map(written) | spoiled(write_yaml(REQUEST).encode())))
    with pytest.raises(SystemExit) as left:
        main(["certify", "--config", f"{tmp_path}/c.yaml", "--print-config"])
    said = capsys.readouterr().err
    assert left.value.code in (0, 2)
    assert said.strip().isprintable(), said[:300]
    assert len(said) < 1500


@pytest.mark.parametrize(
    "text",
    [
        "sigma:\n",
        "sigma: " + "[" * 60_000,
        "a: &a [1]\nb: &b [*a,*a]\nsigma: *b\n",
        "\tx",
        "alpha: !!bool x",
        "alpha: {<<: {b: 1}}",
        "1",
        "sigma: [null]",
        "k: [1, ]\nsigma: [0.25, ~]",
    ],
)
def test_odd_settings(tmp_path, capsys, text):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(SystemExit) as left:
        main(["certify", "--config", f"{tmp_path}/c.yaml", "--print-config"])
    assert left.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
