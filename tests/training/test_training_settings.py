import math

import pytest

from refusals import refuses
from smoothcert.errors import SpecError
from smoothcert.training import TrainingSettings


@pytest.mark.parametrize("low", [0.0, 0.5, 0.7, -1.0])
def test_the_lower_level_lies_below_sigma(low: float) -> None:
    with refuses("E-SPEC-104", match="sigma_low must be above 0 and below sigma"):
        TrainingSettings(sigma=0.5, sigma_low=low)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigma": -0.1}, "sigma must be in"),
        ({"sigma": math.nan}, "sigma must be in"),
        ({"sigma": "0.5"}, "sigma must be in .* got '0.5'"),
        ({"epochs": 0}, "epochs must be in"),
        ({"epochs": 1.5}, "epochs must be an integer"),
        ({"batch_size": 1}, "batch_size must be in"),
        ({"holdout": 0.9}, "holdout must be in"),
        ({"precision": "fp8"}, "precision must be bf16 or fp32"),
        ({"entropy": -1}, "entropy must be in"),
        ({"augment": "flips"}, "augment must be turns or none"),
        ({"device": "tpu"}, "device must be cpu or cuda"),
        ({"learning_rate": True}, "learning_rate must be in"),
    ],
)
def test_refused_settings(settings: dict, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        TrainingSettings(**({"sigma": 0.5} | settings))


def test_every_default_is_in_place_before_training() -> None:
    fresh, on = (TrainingSettings(sigma=0.5).with_defaults(fine_tuning=tuned) for tuned in (False, True))
    assert (fresh.arch, fresh.learning_rate) == ("resnet20", 0.2)
    assert (on.arch, on.learning_rate) == (None, 0.02)
    given = TrainingSettings(sigma=0.5, arch="resnet8", learning_rate=0.1)
    assert given.with_defaults(fine_tuning=True) == given.with_defaults(fine_tuning=False) == given
