"""SmoothedClassifier as a torch module: tensors in and out, from a single image to a DataLoader."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import smoothcert as sc
from refusals import refuses
from smoothcert.errors import DataError, ModelError, SpecError

SHAPE = (3, 4, 4)


class Channels(nn.Module):
    """Three classes: the brightest channel."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(5.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x.mean(dim=(2, 3))


def channels(m: int = 4, bright: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of one bright channel each, with its number as label."""
    y = torch.arange(m) % 3
    x = torch.zeros(m, *SHAPE)
    x[torch.arange(m), y] = bright
    return x, y


def smoothed(model: object = None, **options: object) -> sc.SmoothedClassifier:
    return sc.SmoothedClassifier(model or Channels(), 0.25, 3, **({"batch_size": 32, "seed": 3} | options))


def test_it_is_a_module_that_holds_the_base_classifier():
    net = Channels()
    g = smoothed(net)
    assert isinstance(g, nn.Module)
    assert g.model is net
    assert [*g.parameters()] == [net.scale]
    assert g.to("cpu") is g
    assert g.device == torch.device("cpu")
    assert repr(g) == "SmoothedClassifier(Channels, sigma=0.25, num_classes=3, noise='grid', device='cpu')"
    assert copy.deepcopy(g).model.scale == net.scale
    assert pickle.loads(pickle.dumps(g)).sigma == 0.25


def test_answers_are_tensors():
    x, y = channels(5)
    p = smoothed().predict(x, n=200)
    assert (p.label.dtype, p.label.tolist()) == (torch.int64, y.tolist())
    assert (p.abstained.dtype, p.votes.shape, p.samples.shape, len(p)) == (torch.bool, (5, 3), (5,), 5)
    assert torch.equal(p.votes.sum(dim=1), p.samples)
    c = smoothed().certify(x, y, radii=(0.1, 0.25), n_max=300)
    assert (c.label.tolist(), c.certified.shape, c.certified.dtype) == (y.tolist(), (5, 2), torch.bool)
    assert (c.radius > 0.25).all()
    assert c.radius.dtype == torch.float64
    shares = smoothed()(x)
    assert (shares.shape, shares.dtype) == ((5, 3), torch.float32)
    assert torch.allclose(shares.sum(dim=1), torch.ones(5))
    assert shares.argmax(dim=1).tolist() == y.tolist()


@pytest.mark.parametrize(
    "form", ["tensor", "array", "integers", "loader", "dataset", "pairs", "dictionaries", "single"]
)
def test_every_form_of_images_gives_the_same_votes(form):
    x, y = channels(6)
    forms = {
        "tensor": x,
        "array": x.numpy(),
        "integers": (x * 255).to(torch.uint8),
        "loader": DataLoader(TensorDataset(x), batch_size=4),
        "dataset": TensorDataset(x, y),
        "pairs": [(x[:1], y[:1, None]), (x[1:], y[1:, None])],
        "dictionaries": [{"image": x, "label": y}],
        "single": x[0],
    }
    wanted, found = smoothed().predict(x, n=100), smoothed().predict(forms[form], n=100)
    m = len(found)
    assert m == (1 if form == "single" else 6)
    assert torch.equal(found.label, wanted.label[:m])
    if form in ("tensor", "array", "integers"):
        assert torch.equal(found.votes, wanted.votes)
    c = smoothed().certify(forms[form], radii=(0.1,), n_max=100)
    assert c.label.tolist() == y.tolist()[:m]
    assert (c.y is None) == (form in ("tensor", "array", "integers", "loader", "single"))
    if c.y is not None:
        assert c.accuracy(r=0.1) == (1.0, pytest.approx(0.54, abs=0.01), 1.0, 6, 6)


def test_labels_decide_and_are_counted():
    x, y = channels(4)
    wrong = (y + 1) % 3
    c = smoothed().certify(x, wrong, radii=(0.1,), n_max=200)
    assert c.label.tolist() == [-1] * 4
    assert c.abstained.all()
    assert c.accuracy().certified == 0
    free = smoothed().certify(x, radii=(0.1, 0.2), n_max=200)
    assert free.accuracy(y, 0.2)[3:] == (4, 4)
    assert free.accuracy(wrong, 0.2).value == 0.0
    with pytest.raises(DataError):
        free.accuracy()
    with refuses("E-DATA-161", "r=..."):
        c.accuracy(0.1)
    with pytest.raises(SpecError):
        free.accuracy(y, 0.15)
    with pytest.raises(DataError):
        smoothed().certify(DataLoader(TensorDataset(x, y)), y)


def test_sets_of_classes_and_certificates_of_labels():
    x, y = channels(3)
    p = smoothed(n0=20).predict(x + 0.0, k=2, n=500)
    assert p.label.shape == (3, 2)
    assert all(-1 in row or row == sorted(row) for row in p.label.tolist())
    c = smoothed().certify(x, y, k=2, radii=(0.1,), n_max=200)
    assert c.label.tolist() == y.tolist()
    assert "k=2" in repr(c)


def test_tables():
    x, y = channels(3)
    table = smoothed().certify(x, y, radii=(0.1, 0.25), n_max=200).to_pandas()
    assert [*table.columns] == ["label", "radius", "certified_at_0.1", "certified_at_0.25", "samples", "y"]
    assert len(table) == 3
    one = smoothed().predict(x, n=100).to_pandas()
    assert [*one.columns] == ["label", "abstained", "samples", "leader", "vote_share"]
    two = smoothed().predict(x, k=2, n=100).to_pandas()
    assert [*two.columns][:2] == ["label_1", "label_2"]


def test_images_off_the_grid_are_refused_rounded_or_kept():
    x, y = channels(3, bright=0.7013)
    with refuses("E-DATA-160"):
        smoothed().predict(x)
    rounded = (x * 255).round() / 255
    same = smoothed(quantize=True).predict(x, n=100)
    assert torch.equal(same.votes, smoothed().predict(rounded, n=100).votes)
    any_values = smoothed(noise="gaussian").certify(10 * x - 5, radii=(0.1,), n_max=200)
    assert any_values.label.tolist() == y.tolist()


def test_gaussian_noise_on_floats_is_that_on_integers():
    x, _ = channels(3)
    floats, integers = (smoothed(noise="gaussian").predict(each, n=200) for each in (x, (x * 255).to(torch.uint8)))
    assert torch.equal(floats.votes, integers.votes)


def test_any_callable_is_smoothed():
    g = smoothed(lambda batch: batch.mean(dim=(2, 3)))
    x, y = channels(3)
    assert g.predict(x, n=200).label.tolist() == y.tolist()
    assert g.device.type == "cpu"
    with pytest.raises(ModelError):
        sc.SmoothedClassifier("resnet18", 0.25, 3)


def test_half_precision_weights_are_refused():
    x, _ = channels(1)
    with refuses("E-MODEL-092"):
        smoothed(Channels().half()).predict(x)


@pytest.mark.parametrize(
    "bad", ["images", 3.0, [], [("a", "b")], [{"picture": 1}], torch.zeros(3), torch.zeros(2, 3, 0, 4)]
)
def test_what_holds_no_images_is_refused(bad):
    with pytest.raises(DataError):
        smoothed().predict(bad)


@pytest.mark.parametrize("labels", [[0.5, 1.0, 2.0], [[0, 1], [1, 0], [1, 1]], ["a", "b", "c"]])
def test_labels_that_are_none_are_refused(labels):
    x, _ = channels(3)
    with pytest.raises(DataError):
        smoothed().certify(x, labels)


@pytest.mark.parametrize("labelled_first", [True, False])
def test_batches_with_and_without_labels_are_refused(labelled_first):
    x, y = channels(2)
    batches = [(x[:1], y[:1]), x[1:]] if labelled_first else [x[:1], (x[1:], y[1:])]
    with refuses("E-DATA-162"):
        smoothed().certify(batches, radii=(0.1,), n_max=100)


def test_calls_with_a_seed_share_no_noise():
    x, _ = channels(3, bright=51 / 255)
    g, again = smoothed(), smoothed()
    first, second = (g.predict(x, n=50).votes for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(again.predict(x, n=50).votes, first)
    assert torch.equal(again.predict(x, n=50).votes, second)


@pytest.mark.slow
def test_certificates_of_a_known_classifier_are_rarely_wrong():
    """The brightest of two values wins: g(x) = f(x), so a radius above the distance to the boundary is wrong."""
    rng, w = np.random.default_rng(7), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    x = torch.from_numpy(rng.integers(118, 138, (2000, 1, 1, 2)) / 255)
    g = sc.SmoothedClassifier(lambda batch: batch.flatten(1) @ w.to(batch.dtype), 0.05, 2, seed=1)
    c = g.certify(x, radii=(0.01, 0.03), n_max=300, alpha=0.01)
    exact = (x[:, 0, 0, 0] - x[:, 0, 0, 1]).abs() / np.sqrt(2)
    wrong = int((c.radius > exact + 1e-6).sum())
    assert wrong <= 2000 * 0.01 + 3 * np.sqrt(2000 * 0.01)
