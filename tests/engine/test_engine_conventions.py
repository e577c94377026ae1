"""A wrong input convention is found by trying the usual ones; the right one raises no warning."""

import numpy as np
import pytest

from networks import loaded, small_request, write_grey_images
from smoothcert.engine.measure import clean_forward, clean_logits
from smoothcert.engine.preflight import preflight, spread
from smoothcert.engine.warnings import better_convention

NETS = """
import torch
from torch import nn

GREYS = torch.tensor([40.0, 100.0, 160.0, 220.0])
IMAGENET = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

class Nearest(nn.Module):
    # The nearest grey level, of images that this module brings back to 0..255 from what it expects.
    def __init__(self, back):
        super().__init__()
        self.back = back

    def forward(self, x):
        return -(self.back(x).mean(dim=(1, 2, 3))[:, None] - GREYS) ** 2

def grey_levels():
    return Nearest(lambda x: x)

def both_signs():
    return Nearest(lambda x: (x + 1) / 2 * 255)

def imagenet():
    mean, std = (each[:, None, None] for each in IMAGENET)
    return Nearest(lambda x: (x * std + mean) * 255)

def plain():
    return Nearest(lambda x: 255 * x)

def declares_what_it_does_itself():
    net = plain()
    net.smoothcert = {"mean": [0.5], "std": [0.25]}
    return net

class Blue(nn.Module):
    # Expects blue first: class 1 where there is more blue than red.
    def forward(self, x):
        more = (x[:, 0] - x[:, 2]).mean(dim=(1, 2))
        return torch.stack([-more, more], dim=1)

def blue():
    return Blue()
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    (tmp_path / "fed.py").write_text(NETS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return write_grey_images(tmp_path / "grey.npz", each=10)


def warning_of(model, data):
    work = loaded(small_request(model, data))
    places = spread(len(work.images), 64)
    right = clean_logits(work, 0.25, places, clean_forward(work, 0.25)).argmax(axis=1) == work.images.labels[places]
    found = better_convention(work, 0.25, places, right)
    return None if found is None else found.words


@pytest.mark.parametrize(
    ("net", "remedy"),
    [
        ("grey_levels", "values from 0 to 255: if the classifier was trained that way, add --input-range 0,255."),
        ("both_signs", "add --input-range=-1,1."),
        ("imagenet", "add --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225."),
    ],
)
def test_the_way_it_was_trained_is_found(nets, net, remedy):
    warning = warning_of(f"fed:{net}", nets)
    assert "100% with" in warning
    assert warning.endswith(remedy)
    assert preflight(loaded(small_request(f"fed:{net}", nets)), 0.25, seed=1).warnings == (warning,)


def test_normalisation_done_twice(nets):
    grey = write_grey_images(nets.with_name("one.npz"), each=10)
    with np.load(grey) as arrays:
        np.savez(grey, images=arrays["images"][..., :1], labels=arrays["labels"])
    assert "0 to 1 without normalisation" in warning_of("fed:declares_what_it_does_itself", grey)


def test_blue_before_red(nets):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 100, (40, 8, 8, 3)).astype(np.uint8), np.arange(40) % 2
    images[labels == 0, ..., 0] += 100
    images[labels == 1, ..., 2] += 100
    np.savez(nets.with_name("colours.npz"), images=images, labels=labels)
    assert "blue before red" in warning_of("fed:blue", nets.with_name("colours.npz"))


def test_the_right_way_raises_no_warning(nets):
    assert warning_of("fed:plain", nets) is None
