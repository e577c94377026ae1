import csv
import shlex

import pytest
import torch

from networks import write_denoiser, write_resnet
from smoothcert.evidence import open_run
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


DENOISE = "train-denoiser --data images.npz --sigma 0.25 --epochs 1 --batch-size 8 --precision fp32"
NETS = ("--for", "cli_nets:brightness")


def test_a_training_without_noise_names_the_command_that_comes_next(say, project, tmp_path):
    clean = tmp_path / "clean.safetensors"
    said = say(*COMMON.replace("0.25", "0").split(), "--epochs", "1", "--out", clean)
    command = next(line for line in said.out.splitlines() if "smoothcert" in line)
    assert f"train-denoiser --for {clean} --data images.npz --sigma 0.25" in command
    assert "certify" not in said.out


def test_a_classifier_is_trained_behind_a_built_in_denoiser_alone(say, project, tmp_path):
    (project / "ran.py").write_text("open('executed', 'w').close()")
    common = [*COMMON.split(), "--epochs", "1", "--out", tmp_path / "w.safetensors"]
    said = say(*common, "--denoiser", "ran:net")
    assert (said.code, "E-MODEL-196" in said.err) == (2, True)
    assert not (project / "executed").exists()
    write_denoiser(tmp_path / "d.safetensors")
    assert say(*common, "--denoiser", tmp_path / "d.safetensors").code == 0
    settings = read_weights(tmp_path / "w.safetensors").card.recipe["settings"]
    assert settings["learning_rate"] == 0.2  # its weights are new
    for given in (tmp_path / "w.safetensors", "ran:net"):
        said = say(*DENOISE.split(), *NETS, "--from", given, "--out", tmp_path / "u.safetensors")
        assert (said.code, "E-MODEL-196" in said.err, "--from" in said.err) == (2, True, True)
    said = say(*DENOISE.split(), "--for", tmp_path / "d.safetensors", "--out", tmp_path / "u.safetensors")
    assert (said.code, "E-MODEL-125" in said.err, "--from" in said.err) == (2, True, True)
    said = say(*DENOISE.split(), *NETS, "--from", tmp_path / "d.safetensors", "--out", tmp_path / "u.safetensors")
    assert (said.code, read_weights(tmp_path / "u.safetensors").denoiser.arch) == (0, "unet-s")


def test_weights_belong_to_the_classifiers_that_are_code(say, project, tmp_path):
    out, weights = tmp_path / "u.safetensors", tmp_path / "w.pt"
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    torch.save(network.state_dict(), weights)
    common = [*DENOISE.split(), "--arch", "unet-s", "--weights", weights, "--out", out]
    write_resnet(tmp_path / "clean.safetensors")
    said = say(*common, "--for", tmp_path / "clean.safetensors")
    assert (said.code, "E-MODEL-194" in said.err) == (2, True)
    said = say(*common, "--for", tmp_path / "clean.safetensors", *NETS)
    assert said.code == 0, said.err
    assert f"--model {tmp_path / 'clean.safetensors'} --denoiser" in said.out


@pytest.mark.parametrize("verb", ["train", "train-denoiser"])
def test_a_list_of_noise_levels_is_no_noise_level(say, tmp_path, verb):
    said = say(verb, "--data", "images.npz", "--sigma", "0.25,0.5", "--out", tmp_path / "w.safetensors")
    assert (said.code, "--sigma-low" in said.err) == (2, True)
    said = say(verb, "--data", "images.npz", "--sigma", "1", "--epochs", "x", "--out", tmp_path / "w.safetensors")
    assert (said.code, "--sigma-low" in said.err) == (2, False)


def test_the_next_command_keeps_what_was_declared_about_the_classifier(say, project, tmp_path):
    out = tmp_path / "my denoiser.safetensors"
    declared = ("--mean=0.1,0.2,0.3", "--std=0.5,0.6,0.7", "--input-range=-1,1", "--channels", "BGR")
    said = say(*DENOISE.split(), *NETS, "--arch", "unet-s", *declared, "--out", out)
    command = shlex.split(said.out.partition("smoothcert ")[2])
    given = [{"DATA": "images.npz", "RUN": tmp_path / "run"}.get(word, word) for word in command]
    assert say(*given, "--n-max", "100", "--limit", "2", "--batch-size", "64").code == 0
    request = open_run(tmp_path / "run").spec.request
    assert (request.mean, request.std, request.input_range, request.channels, request.denoiser) == (
        (0.1, 0.2, 0.3),
        (0.5, 0.6, 0.7),
        (-1.0, 1.0),
        "BGR",
        str(out),
    )
