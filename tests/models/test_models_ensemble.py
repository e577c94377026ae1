"""Ensembles: the mean of the logits, each member with its own normalisation and denoiser."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from refusals import refuses
from smoothcert import SmoothedClassifier
from smoothcert.models import Classifier, Denoiser
from smoothcert.models.classifier import Runtime
from smoothcert.models.denoisers.unet import build_denoiser
from smoothcert.models.ensemble import Ensemble, noise_levels_inside
from smoothcert.models.resnet import build

from .nets import noisy


def member(seed: int, mean: float) -> Classifier:
    torch.manual_seed(seed)
    return Classifier(
        build("resnet8", 4, 3).eval(), 4, None, (mean,) * 3, (0.5,) * 3, "", f"net{seed}", True, None, None
    )


class Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        return self.factor * sigma * x


def test_the_logits_are_averaged() -> None:
    members, x = [member(1, 0.5), member(2, 0.2), member(3, 0.0)], noisy(5)
    expected = sum(each.module((x - each.mean[0]) / 0.5) for each in members) / 3
    assert torch.allclose(Ensemble(members)(x), expected, atol=1e-5)


def test_each_member_has_its_own_denoiser() -> None:
    members, x = [member(1, 0.5), member(2, 0.2)], noisy(5)
    denoisers = [Denoiser(Scaled(1.0), "", "one"), Denoiser(Scaled(3.0), "", "three")]
    expected = (
        sum(
            each.module((factor * 0.25 * x - each.mean[0]) / 0.5)
            for each, factor in zip(members, (1.0, 3.0), strict=True)
        )
        / 2
    )
    assert torch.allclose(Ensemble(members, denoisers, sigma=0.25)(x), expected, atol=1e-5)


def test_the_state_holds_every_member_and_denoiser() -> None:
    denoisers = [Denoiser(build_denoiser("unet-s", 3), "", f"unet{i}") for i in range(2)]
    members = [member(1, 0.5), member(2, 0.5)]
    state = Ensemble(members, denoisers, sigma=0.25).state_dict()
    assert len(state) == sum(len(each.module.state_dict()) for each in (*members, *denoisers))


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: Ensemble([member(1, 0.5)]), "E-MODEL-136"),
        (lambda: Ensemble([member(1, 0.5), replace(member(2, 0.5), num_classes=5)]), "E-MODEL-137"),
        (lambda: Ensemble([member(1, 0.5), replace(member(2, 0.5), runtime=Runtime("other 1"))]), "E-MODEL-137"),
        (lambda: Ensemble([member(1, 0.5)] * 2, [Denoiser(Scaled(1.0), "", "half")], 0.5), "E-MODEL-138"),
        (lambda: Ensemble([member(1, 0.5)] * 2, [Denoiser(Scaled(1.0), "", "half")] * 2), "E-MODEL-138"),
    ],
)
def test_what_is_no_ensemble_is_refused(make: object, code: str) -> None:
    with refuses(code):
        make()


def test_a_noise_level_other_than_that_of_its_denoisers_is_a_warning() -> None:
    members = [member(1, 0.5), member(2, 0.2)]
    both = Ensemble(members, [Denoiser(Scaled(1.0), "", "one")] * 2, sigma=0.5)
    assert noise_levels_inside(both) == [0.5]
    assert noise_levels_inside(Ensemble(members, sigma=0.5)) == []  # without denoisers
    assert SmoothedClassifier(both, 0.5, 4).sigma == 0.5
    with pytest.warns(UserWarning, match=r"sigma 0\.5, not 0\.25"):
        SmoothedClassifier(both, 0.25, 4)
