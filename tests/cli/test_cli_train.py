import csv

from smoothcert.models.checkpoints import read_weights
from smoothcert.training.trainer import Trainer

COMMON = "train --data images.npz --sigma 0.25 --arch resnet8 --batch-size 8 --precision fp32"


def stopping_at(epoch, error):
    """Return epochs as they are, up to the one at which something happens."""
    whole = Trainer._epoch

    def cut(self, number):
        if number == epoch:
            raise error
        return whole(self, number)

    return cut


def test_an_interrupted_training_is_continued_by_the_same_command(say, monkeypatch, project, tmp_path):
    assert say(*COMMON.split(), "--epochs", "4", "--out", tmp_path / "whole.safetensors").code == 0
    command = [*COMMON.split(), "--epochs", "4", "--out", tmp_path / "cut.safetensors"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", stopping_at(3, KeyboardInterrupt()))
        said = say(*command)
    assert said.code == 130
    assert "Interrupted after 2 of 4 epochs; the same command continues." in said.err
    names = sorted(path.name for path in tmp_path.glob("cut.*"))
    assert names == ["cut.checkpoint.safetensors", "cut.csv"]
    said = say(*command)
    assert said.code == 0
    assert "epoch 2/4" in said.err
    assert sorted(path.name for path in tmp_path.glob("cut.*")) == ["cut.csv", "cut.safetensors"]
    assert read_weights(tmp_path / "cut.safetensors").sha256 == read_weights(tmp_path / "whole.safetensors").sha256
    rows = list(csv.DictReader((tmp_path / "cut.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]


def test_another_command_does_not_continue_it(say, monkeypatch, project, tmp_path):
    out = tmp_path / "cut.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_epoch", stopping_at(2, OSError(28, "No space left on device", "x")))
        said = say(*COMMON.split(), "--epochs", "3", "--out", out)
        assert said.code == 2
    said = say(*COMMON.split(), "--epochs", "5", "--out", out)
    assert said.code == 2
    assert "epochs was 3, now 5" in said.err
    assert not out.exists()


def test_weights_are_trained_on_and_certified(say, project, tmp_path):
    first, second = tmp_path / "clean.safetensors", tmp_path / "noise.safetensors"
    assert say(*COMMON.replace("0.25", "0").split(), "--epochs", "1", "--out", first).code == 0
    common = "train --data images.npz --sigma 0.25 --epochs 1 --batch-size 8 --from"
    said = say(*common.split(), first, "--out", second)
    assert said.code == 0
    assert f"certify --model {second} --data" in said.out
    card = read_weights(second).card
    assert (card.arch, card.sigma) == ("resnet8", 0.25)
    assert card.recipe["start"]["sha256"] == read_weights(first).sha256


def test_code_is_trained_on_and_certified(say, project, tmp_path):
    out = tmp_path / "noise.safetensors"
    common = "train --data images.npz --sigma 0.25 --epochs 1 --batch-size 8 --from cli_nets:brightness --out"
    said = say(*common.split(), out)
    assert said.code == 0
    assert f"certify --model cli_nets:brightness --weights {out} --data" in said.out
    flags = f"--data images.npz --sigma 0.25 --n-max 100 --limit 2 --batch-size 64 --out {tmp_path / 'run'}"
    assert say("certify", "--model", "cli_nets:brightness", "--weights", out, *flags.split()).code == 0
