"""A classifier whose answer depends on more than the image is refused, whatever it depends on."""

import numpy as np
import pytest

from networks import loaded, small_request, write_resnet
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

def sound(): return Base()
def stuck(): return Stuck()
def dropping(): return Dropping()
def centred(): return Centred()
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
    ],
)
def test_others_are_refused(nets, net, message, count):
    with pytest.raises(ModelError, match=f"moody:{net} .*{message}.*evaluation mode"):
        look(f"moody:{net}", nets, count)
