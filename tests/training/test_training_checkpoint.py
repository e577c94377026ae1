from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from refusals import refuses
from smoothcert.data import ImageSet
from smoothcert.training import EpochReport, train
from smoothcert.training.checkpoint import Identity, load_checkpoint
from smoothcert.training.start import Start
from training.stripes import TINY, stripes


class CutError(Exception):
    """The training was cut off."""


def cut_after(epochs: int) -> Callable[[EpochReport], None]:
    def on_progress(report: EpochReport) -> None:
        if report.epoch == epochs:
            raise CutError

    return on_progress


def dropping() -> Start:
    """A network that draws random numbers of its own while it is trained."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3)
    )
    return Start(net, (0.5,), (0.5,), None, {"model": "nets:dropping", "sha256": "sha256:1"})


@pytest.mark.parametrize("cuts", [(1,), (3,), (1, 2, 3)])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("start", [lambda: None, dropping])
def test_a_training_that_was_cut_off_ends_in_the_same_weights(
    cuts: tuple[int, ...], precision: str, start: Callable[[], Start | None], tmp_path: Path
) -> None:
    settings = replace(TINY, precision=precision)
    whole: list[EpochReport] = []
    expected = train(stripes(), settings, whole.append, start()).state_dict()
    file = tmp_path / "net.checkpoint.safetensors"
    for after in cuts:
        with pytest.raises(CutError):
            train(stripes(), settings, cut_after(after), start(), file)
    reports: list[EpochReport] = []
    found = train(stripes(), settings, reports.append, start(), file).state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert [replace(report, seconds=0) for report in reports] == [replace(report, seconds=0) for report in whole]


def test_only_what_is_left_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from smoothcert.training.trainer import Trainer

    file = tmp_path / "net.checkpoint.safetensors"
    with pytest.raises(CutError):
        train(stripes(), TINY, cut_after(3), None, file)
    trained: list[int] = []
    epoch = Trainer._epoch
    monkeypatch.setattr(Trainer, "_epoch", lambda self, number: (trained.append(number), epoch(self, number))[1])
    train(stripes(), TINY, None, None, file)
    assert trained == [4]
    train(stripes(), TINY, None, None, file)
    assert trained == [4]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"epochs": 5}, "epochs was 4, now 5"),
        ({"sigma": 0.2}, "sigma was 0.1, now 0.2"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"arch": "resnet20", "consistency": 0.0}, "arch was resnet8, now resnet20, consistency was 2.0, now 0.0"),
    ],
)
def test_another_training_is_refused(change: dict, named: str, tmp_path: Path) -> None:
    file = tmp_path / "net.checkpoint.safetensors"
    with pytest.raises(CutError):
        train(stripes(), TINY, cut_after(1), None, file)
    before = file.read_bytes()
    with refuses("E-SPEC-102", match=named):
        train(stripes(), replace(TINY, **change), None, None, file)
    assert file.read_bytes() == before


def test_other_images_and_another_start_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "net.checkpoint.safetensors"
    with pytest.raises(CutError):
        train(stripes(), TINY, cut_after(1), None, file)
    images = stripes().images.copy()
    images[0, 0, 0, 0] ^= 1
    with refuses("E-SPEC-102", match="images was sha256:"):
        train(ImageSet("stripes", images, np.arange(96) % 3), TINY, None, None, file)
    with refuses("E-SPEC-102", match="start was none, now nets:dropping"):
        train(stripes(), TINY, None, dropping(), file)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_damaged_checkpoint_is_refused(keep: int, tmp_path: Path) -> None:
    file = tmp_path / "net.checkpoint.safetensors"
    with pytest.raises(CutError):
        train(stripes(), TINY, cut_after(1), None, file)
    file.write_bytes(file.read_bytes()[:keep])
    with refuses("E-MODEL-038"):
        train(stripes(), TINY, None, None, file)


def test_code_that_changed_meanwhile_is_named(tmp_path: Path) -> None:
    file = tmp_path / "net.checkpoint.safetensors"
    with pytest.raises(CutError):
        train(stripes(), TINY, cut_after(1), dropping(), file)
    other = replace(dropping(), module=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    with refuses("E-MODEL-080"):
        train(stripes(), TINY, None, other, file)


def test_weights_are_no_checkpoint(tmp_path: Path) -> None:
    from smoothcert.training import save

    save(train(stripes(), TINY), TINY, stripes(), tmp_path / "w.safetensors")
    with refuses("E-MODEL-104"):
        load_checkpoint(tmp_path / "w.safetensors", Identity({}, "", None))
    assert load_checkpoint(tmp_path / "none.safetensors", Identity({}, "", None)) is None
