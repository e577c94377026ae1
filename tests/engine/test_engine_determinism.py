"""A classifier whose answer depends on more than the image is refused, whatever it depends on."""

import numpy as np
import pytest

from networks import loaded, small_request, write_resnet
from refusals import refuses
from smoothcert.engine.measure import clean_forward
from smoothcert.engine.preflight import check_determinism
from smoothcert.errors import ModelError

NETS = """
import torch
from torch import nn
from torch.nn import functional as F

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.body(x).mean(dim=(2, 3)))

class Stuck(Base):
    # Stays in training mode whatever is asked of it: batch statistics.
    def train(self, mode=True):
        return super().train(True)

class Dropping(Base):
    # Functional dropout, which evaluation mode does not switch off.
    def forward(self, x):
        return self.head(self.body(F.dropout(x, 0.5)).mean(dim=(2, 3)))

class Centred(Base):
    # Subtracts the batch's mean: no module to be seen, the same mistake.
    def forward(self, x):
        z = self.body(x).mean(dim=(2, 3))
        return self.head(z - z.mean(dim=0))

class Scaled(Base):
    # An even statistic of the batch, which the opposite of an image does not change.
    def forward(self, x):
        return super().forward(x / x.square().mean().sqrt())

class Warm(Base):
    # Starts from the result of the previous call.
    def forward(self, x):
        before = getattr(self, "before", None)
        z = self.body(x).mean(dim=(2, 3))
        self.before = z if before is None or before.shape != z.shape else 0.5 * (z + before)
        return self.head(self.before)

class Mood(Base):
    # NaN, but only beside large values.
    def forward(self, x):
        return super().forward(x) + (float("nan") if x.abs().max() > 2.4 else 0.0)

class Root(Base):
    # NaN, but only with noise.
    def forward(self, x):
        return super().forward((x - x.min() + 1e-3 if x.min() >= 0 else x).sqrt())

def sound(): return Base()
def stuck(): return Stuck()
def dropping(): return Dropping()
def centred(): return Centred()
def scaled(): return Scaled()
def warm(): return Warm()
def mood(): return Mood()
def root(): return Root()
"""


@pytest.fixture
def nets(grey, tmp_path):
    (tmp_path / "moody.py").write_text(NETS, encoding="utf-8")
    return grey


def look(model, data, count=12, **settings):
    work = loaded(small_request(model, data, **settings))
    check_determinism(work, 0.25, np.arange(count), clean_forward(work, 0.25))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("count", [1, 12])
def test_sound_classifiers_pass(nets, tmp_path, precision, count):
    look("moody:sound", nets, count, precision=precision)
    if count == 1:
        look(write_resnet(tmp_path / "net.safetensors"), nets, count, precision=precision)


@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize(
    ("net", "message"),
    [
        ("stuck", "other images of the batch"),
        ("dropping", "dropout"),
        ("centred", "other images of the batch"),
        ("scaled", "other images of the batch"),
        ("mood", "other images of the batch"),
        ("warm", "earlier batches"),
    ],
)
def test_others_are_refused(nets, net, message, count):
    with pytest.raises(ModelError, match=f"moody:{net} .*{message}.*evaluation mode"):
        look(f"moody:{net}", nets, count)


def test_scores_that_are_not_finite_with_noise_are_refused(nets):
    with refuses("E-MODEL-193", "moody:root"):
        look("moody:root", nets)
