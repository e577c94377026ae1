"""`smoothcert check`: what is checked, warnings with remedies, an exit status; it writes only to --out."""

import os

import numpy as np
import pytest

SETTINGS = ("--sigma", "0.25", "--n-max", "200", "--batch-size", "64", "--device", "cpu")
BRIGHT = ("--model", "cli_nets:brightness")


@pytest.fixture
def quick(monkeypatch):
    """Rates need not be true here."""
    monkeypatch.setattr("smoothcert.engine.check.SECONDS", 0.0)
    monkeypatch.setattr("smoothcert.engine.check.BATCHES", (16, 64))


def there(folder):
    return sorted(name for name in os.listdir(folder) if name != "__pycache__")


def test_no_warnings(say, project, quick):
    before = there(project)
    said = say("check", *BRIGHT, "--data", "images.npz", *SETTINGS)
    assert said.code == 0
    assert "images.npz, 12 images of 8 x 8 pixels, colour, grid of 1/255" in said.out
    assert "0 (4); 1 (4); 2 (4)" in said.out
    assert "no duplicate images" in said.out
    assert "| 0.25 | 100.0 | 100.0 | 1.000 | 100.0 |" in " ".join(said.out.split())
    assert "another class for" in said.out
    assert "No warnings." in said.out
    assert "sigma 0.25: 12 images" in said.err
    assert there(project) == before


def test_warnings_are_counted_and_change_the_exit_status(say, project, quick, tmp_path):
    with np.load(project / "images.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
    np.savez(tmp_path / "odd.npz", images=np.r_[images, images[:1]], labels=np.r_[labels, labels[1]])
    said = say("check", *BRIGHT, "--data", tmp_path / "odd.npz", "--train-data", "images.npz", *SETTINGS)
    assert said.code == 1
    warnings = [line for line in said.out.splitlines() if line.startswith("WARNING")]
    assert len(warnings) == 3
    assert "are also in the other set" in warnings[0]
    assert "with another label" in warnings[1]
    assert "3 warnings. Fix them, or run `certify` anyway." in said.out


def test_exchanged_labels(say, project, quick, tmp_path):
    with np.load(project / "images.npz") as arrays:
        many = {"images": np.repeat(arrays["images"], 6, axis=0), "labels": np.repeat((arrays["labels"] + 1) % 3, 6)}
    rng = np.random.default_rng(0)
    many["images"] = many["images"] + rng.integers(0, 3, many["images"].shape, dtype=np.uint8)
    np.savez(tmp_path / "exchanged.npz", class_names=["low", "mid", "high"], **many)
    said = say("check", *BRIGHT, "--data", tmp_path / "exchanged.npz", *SETTINGS)
    assert said.code == 1
    assert "0%, 100% if 'low' means 'mid', 'mid' means 'high', 'high' means 'low'" in said.out


def test_a_classifier_that_declares_another_range_than_it_was_trained_with(say, project, quick, tmp_path):
    with np.load(project / "images.npz") as arrays:
        many = {name: np.concatenate([arrays[name]] * 4) for name in ("images", "labels")}
    many["images"] += np.arange(48, dtype=np.uint8)[:, None, None, None] // 12
    np.savez(tmp_path / "many.npz", **many)
    said = say("check", "--model", "cli_nets:grey_levels", "--data", tmp_path / "many.npz", *SETTINGS)
    assert said.code == 1
    assert "100% with values from 0 to 1 without normalisation" in said.out


def test_the_contact_sheet(say, project, quick, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "sheet"
    assert say("check", *BRIGHT, "--data", "images.npz", *SETTINGS, "--out", out).code == 0
    assert there(out) == ["contact_sheet.png", "contact_sheet.svg"]
    again = say("check", *BRIGHT, "--data", "images.npz", *SETTINGS, "--out", out)
    assert again.code == 2
    assert there(out) == ["contact_sheet.png", "contact_sheet.svg"]


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("--model", "cli_nets:fails", "--data", "images.npz"), "out of order"),
        (("--model", "cli_nets:brightness", "--data", "none.npz"), "none.npz: no such file"),
        (("--model", "cli_nets:brightness", "--data", "images.npz", "--mean", "0.5"), "--mean and --std together"),
        (("--model", "cli_nets:brightness", "--data", "images.npz", "--input-range", "255,0"), "the lower first"),
    ],
)
def test_refusals(say, project, quick, arguments, refusal):
    said = say("check", *arguments, *SETTINGS)
    assert said.code == 2
    assert refusal in said.err
