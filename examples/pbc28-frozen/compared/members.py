"""Two pipelines as one network: the frozen classifier behind two denoisers for sigma 0.5, the mean of their logits."""

from torch import nn

from smoothcert.models import load_classifier
from smoothcert.models.denoisers.load import load_denoiser
from smoothcert.models.ensemble import Ensemble


def two() -> nn.Module:
    """Return the mean of both pipelines."""
    classifier = load_classifier("weights/resnet20_clean.safetensors")
    names = ("weights/denoiser_0.5.safetensors", "weights/denoiser_0.5_second.safetensors")
    return Ensemble([classifier] * 2, [load_denoiser(each) for each in names], sigma=0.5)
