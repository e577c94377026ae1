"""SmoothedClassifier: predictions, certificates and refusals, on classifiers whose true answer is known."""

import pickle
import secrets

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from refusals import refuses
from smoothcert import SmoothedClassifier
from smoothcert.errors import DataError, SmoothcertError, SpecError

from .fakes import Conv, Fixed, classifier, lived_in_resnet

SHAPE = (1, 4, 4)
SIGMA = 0.5


class Linear(nn.Module):
    """Logits W x + b of the flattened image."""

    def __init__(self, weight: np.ndarray, bias: np.ndarray) -> None:
        super().__init__()
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        self.head.weight.data, self.head.bias.data = torch.tensor(weight).float(), torch.tensor(bias).float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.flatten(1))


def smoothed(module: nn.Module, classes: int = 3, **options: object) -> SmoothedClassifier:
    return SmoothedClassifier(module, SIGMA, classes, **({"batch_size": 64, "seed": 1} | options))


def images(count: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE))


@settings(max_examples=15)
@given(
    seed=st.integers(0, 2**32),
    precision=st.sampled_from(["fp32", "bf16"]),
    noise=st.sampled_from(["grid", "gaussian"]),
    bound=st.sampled_from(["rankcp", "betting"]),
)
def test_a_linear_classifier_is_never_certified_beyond_its_exact_distance(seed, precision, noise, bound):
    """Smoothing a two-class linear classifier changes nothing: the exact radius is |w.x + b| / ||w||."""
    rng = np.random.default_rng(seed)
    w, x = rng.normal(size=16), images(4, seed)
    unit = x.reshape(4, 16) / 255
    b = -float(np.median(unit @ w))
    distance = np.abs(unit @ w + b) / np.linalg.norm(w)
    options = {"seed": seed, "precision": precision, "noise": noise, "bound": bound}
    g = smoothed(Linear(np.stack([w, -w]), np.array([b, -b])), 2, **options)
    found = g.certificates(x, n_max=600, alpha=1e-6, radii=(0.1, 0.25, 0.5))
    for certificate, exact, score in zip(found, distance, unit @ w + b, strict=True):
        slack = 0.02 if precision == "bf16" else 1e-4  # rounding moves the boundary of the classifier itself
        assert certificate.radius <= exact + slack
        assert all(r <= exact + slack for r in certificate.certified_at)
        assert certificate.label in (None, int(score < 0))


def test_the_certificate_is_not_empty():
    w = np.ones(16) / 4
    x = np.full((1, *SHAPE), 255)
    (certificate,) = smoothed(Linear(np.stack([w, -w]), np.array([-3.0, 3.0])), 2).certificates(
        x, n_max=2000, radii=(0.5,)
    )
    assert certificate.label == 0
    assert 0.5 < certificate.radius < 1.0  # exact distance 1
    assert certificate.certified_at == (0.5,)


def test_betting_selects_no_class_where_labels_are_known():
    w = np.ones(16) / 4
    x = np.full((1, *SHAPE), 255)
    g = smoothed(Linear(np.stack([w, -w]), np.array([-3.0, 3.0])), 2, bound="betting")
    settings = {"n_max": 2000, "radii": (0.5,)}
    (right,), (wrong,) = (g.certificates(x, labels=[label], **settings) for label in (0, 1))
    (unlabelled,) = g.certificates(x, **settings)
    assert (right.label, right.certified_at, wrong.label) == (0, (0.5,), None)
    assert 0.5 <= right.radius < 1.0
    assert (unlabelled.label, unlabelled.samples) == (0, right.samples + 100)


def test_prediction_is_a_class_a_set_or_an_abstention():
    x = images(2)
    assert smoothed(Fixed([0.0, 0.0, 1.0])).predict(x).label.tolist() == [2, 2]
    undecided = Linear(np.array([[1.0] + 15 * [0.0], [-1.0] + 15 * [0.0], 16 * [0.0]]), np.array([-0.5, 0.5, -9.0]))
    grey = np.full((1, *SHAPE), 128)
    grey[0, 0, 0, 0] = 127  # within half a grey level of the boundary between classes 0 and 1
    open_ = smoothed(undecided).predict(grey, n=300)
    assert (open_.label.tolist(), open_.abstained.tolist()) == ([-1], [True])
    assert smoothed(undecided).predictions(grey, n=300)[0].answer is None
    assert smoothed(undecided).predict(grey, k=2, n=300).label.tolist() == [[0, 1]]
    (one,) = smoothed(undecided).predictions(255 * (grey > 127), n=300)  # that pixel black: clearly class 1
    assert one.answer == 1
    assert type(one.answer) is int


def test_samples_that_can_never_decide_are_refused():
    always = smoothed(Fixed([0.0, 1.0, 0.0]))
    for stopping in ("looks", "fixed"):
        with refuses("E-SPEC-077", match=r"n >= 11.* got 10"):
            always.predictions(images(1), n=10, stopping=stopping)
        assert [found.answer for found in always.predictions(images(1), n=11, stopping=stopping)] == [1]
    assert always.predict(images(1), n=6, alpha=0.05).label.tolist() == [1]


def test_clear_images_take_few_copies_and_the_answer_of_all():
    x, g = np.where(np.arange(16) < 5, 255, 0).reshape(1, *SHAPE).repeat(20, axis=0), smoothed(Conv16())
    adaptive, fixed = g.predictions(x), g.predictions(x, stopping="fixed")
    assert [found.answer for found in adaptive] == [found.answer for found in fixed] == [0] * 20
    assert {found.samples for found in fixed} == {1000}
    assert max(found.samples for found in adaptive) < 100
    assert all(found.votes <= found.samples and found.k == 1 for found in adaptive)
    assert g.predict(x).label.tolist() == [0] * 20
    top = g.predictions(255 - x, k=2, n=2000)  # classes 1 and 2 alike, class 0 behind
    assert {found.answer for found in top} == {frozenset({1, 2})}
    assert all(found.samples < 2000 and found.leader in (1, 2) for found in top)


@pytest.mark.parametrize(("count", "batch"), [(1, 64), (3, 64), (500, 64), (500, 2048)])
def test_few_and_many_images_fill_whole_batches(count, batch):
    net = Counting(Conv16())
    g = smoothed(net, batch_size=batch)
    found = g.predictions(images(count), n=600)
    assert len(found) == count
    drawn = sum(each.samples for each in found)
    assert net.copies % batch == 0
    assert drawn <= net.copies <= 1.1 * drawn + 2 * batch
    inside = min(count, max(64, batch // 25))  # images in the window at once
    assert all(each.samples % (batch // inside) == 0 for each in found if each.samples < 600)
    alone = smoothed(net, batch_size=batch).predictions(images(count)[:1], n=600, stopping="fixed")
    together = smoothed(net, batch_size=batch).predictions(images(count), n=600, stopping="fixed")
    assert alone == together[:1]  # neighbours change no vote


class Counting(nn.Module):
    """A classifier that counts what it is given."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.copies = inner, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.copies += len(x)
        return self.inner(x)


def test_each_prediction_draws_its_own_secret_noise(monkeypatch):
    x, g = images(8), smoothed(Conv16(), seed=None)
    assert g.predictions(x, stopping="fixed") != g.predictions(x, stopping="fixed")
    same = [smoothed(Conv16(), seed=5) for _ in range(2)]
    first, second = ([each.predictions(x, stopping="fixed") for _ in range(2)] for each in same)
    assert first == second
    assert first[0] != first[1]  # images of two calls share no noise


def test_no_secret_seed_is_kept(monkeypatch):
    seeds = [0xC0FFEE5EED5EED01, 0xC0FFEE5EED5EED02, 0xC0FFEE5EED5EED03]
    left, bits = iter(seeds), []
    monkeypatch.setattr(secrets, "randbits", lambda wanted: bits.append(wanted) or next(left))
    x, g = images(4), smoothed(Conv16(), seed=None)
    found = g.predictions(x), g.predict(x), g.certificates(x, n_max=100)
    assert bits == [64, 64, 64]  # drawn from the operating system, anew at each call
    kept = pickle.dumps((g, found))
    assert not any(seed.to_bytes(8, "little") in kept or str(seed).encode() in kept for seed in seeds)
    told = pickle.dumps(smoothed(Conv16(), seed=seeds[0]))
    assert seeds[0].to_bytes(8, "little") in told  # the search would have found one


def test_reference_labels_decide_what_is_certified():
    g = smoothed(Fixed([0.0, 3.0, 0.0]), n0=50)
    wrong, right = g.certificates(images(2), labels=[0, 1], n_max=300)
    assert (wrong.label, wrong.radius, wrong.certified_at, wrong.samples) == (None, 0.0, (), 50)
    assert (right.label, right.k) == (1, 1)
    assert right.samples > 50
    outside, inside = g.certificates(images(2), k=2, labels=[0, 1], n_max=300)
    assert outside.label is None  # never voted for, so never among the two most probable
    assert inside.label == 1
    assert inside.samples in (133, 200, 300)  # no selection: the label was given
    (winner,) = g.certificates(images(1), k=2, n_max=300)
    assert winner.label == 1
    assert winner.samples > 50


def test_images_as_integers_or_floats_are_the_same_images():
    x = images(3)
    exact, single = torch.tensor(x / 255), torch.tensor(x / 255, dtype=torch.float32)
    wanted = smoothed(Conv16()).certificates(x, n_max=200)
    for same in (exact, single, torch.tensor(x.astype(np.uint8))):
        assert smoothed(Conv16()).certificates(same, n_max=200) == wanted


class Conv16(nn.Module):
    """Three classes by the brightness of three parts of the image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :15].reshape(-1, 3, 5).mean(dim=2)


def test_votes_follow_the_seed_and_are_fresh_without_one():
    x = images(6)

    def radii(seed: int | None) -> list[tuple[float, int]]:
        return [
            (c.radius, c.samples) for c in smoothed(Conv16(), seed=seed).certificates(x, n_max=400, radii=(0.05, 0.2))
        ]

    assert radii(5) == radii(5)
    assert radii(5) != radii(6)
    unseeded = smoothed(Conv16(), seed=None)
    assert unseeded.certificates(x, n_max=400) != unseeded.certificates(x, n_max=400)


def test_the_place_of_an_image_in_the_batch_shape_changes_no_vote():
    net, x = lived_in_resnet(), np.random.default_rng(4).integers(0, 256, (5, 3, 8, 8))
    g, again = (SmoothedClassifier(net, SIGMA, 4, batch_size=32, seed=9) for _ in range(2))
    together = g.certificates(x, n_max=300)
    assert again.certificates(x[:2], n_max=300) == together[:2]


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (np.full((1, *SHAPE), 0.5), "grid of steps 1/255"),
        (np.full((1, *SHAPE), np.nan), "finite"),
        (np.full((1, *SHAPE), 256), r"0\.\.255"),
        (np.full((1, *SHAPE), -1), r"0\.\.255"),
        (np.full((1, *SHAPE), 2.0), r"\[0, 1\]"),
        (np.zeros(SHAPE[1:], dtype=np.uint8), r"\(m, C, H, W\)"),
        (np.zeros((0, *SHAPE), dtype=np.uint8), r"m of 1 or more"),
    ],
)
def test_images_off_the_grid_are_refused(bad, named):
    g = smoothed(Fixed([0.0, 1.0, 0.0]))
    for ask in (g.predict, g.certificates):
        with pytest.raises(DataError, match=named):
            ask(bad)


def test_a_finer_grid_takes_finer_images():
    fine = np.full((1, *SHAPE), 12345 / 65535)
    g = SmoothedClassifier(Fixed([0.0, 1.0]).eval(), SIGMA, 2, levels=65535, noise="gaussian", seed=0)
    assert g.predict(fine, n=50).label.tolist() == [1]
    assert g.predict(np.full((1, *SHAPE), 65535), n=50).label.tolist() == [1]


@pytest.mark.parametrize("levels", [255, 4095, 65535])
def test_every_grey_value_in_single_precision_is_on_its_grid(levels):
    g = SmoothedClassifier(Fixed([0.0, 1.0]).eval(), SIGMA, 2, levels=levels)
    every = np.arange(levels + 1)
    single = every.astype(np.float32) / np.float32(levels)
    assert np.array_equal(g._pixels(single.reshape(1, 1, 1, -1)).ravel(), every)
    with refuses("E-DATA-160", match=rf"\(images \* {levels}\)\.round\(\) / {levels}"):
        g._pixels(single.reshape(1, 1, 1, -1) + np.float32(0.1 / levels))


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [0, 3], [-1, 0]])
def test_labels_that_do_not_fit_are_refused(labels):
    with refuses("E-DATA-163", match="2 labels from 0 to 2"):
        smoothed(Fixed([0.0, 1.0, 0.0])).certificates(images(2), labels=labels)


@pytest.mark.parametrize(
    "ask",
    [
        lambda g, x: g.predict(x, k=3),
        lambda g, x: g.predict(x, k=0),
        lambda g, x: g.predict(x, n=0),
        lambda g, x: g.predict(x, n=20, alpha=0.0),
        lambda g, x: g.certificates(x, k=3, n_max=100),
        lambda g, x: g.certificates(x, n_max=99),
        lambda g, x: g.certificates(x, alpha=0.7),
        lambda g, x: g.certificates(x, radii=()),
        lambda g, x: g.certificates(x, radii=(-1.0,)),
    ],
)
def test_settings_out_of_range_are_refused(ask):
    with pytest.raises(SpecError):
        ask(smoothed(Fixed([0.0, 1.0, 0.0])), images(1))


def test_a_classifier_that_does_not_fit_is_refused():
    with refuses("E-SPEC-034", match="2 or more"):
        smoothed(Fixed([1.0]), 1)
    with refuses("E-MODEL-103", match="declares 4"):
        smoothed(classifier(Conv(), 4), 3)
    with refuses("E-MODEL-099", match=r"got shape \(64, 3\)"):
        smoothed(Fixed([0.0, 1.0, 0.0]), 4).predict(images(1))
    with pytest.raises(SmoothcertError):
        smoothed(Fixed([0.0, float("nan"), 0.0])).predict(images(1))
    with pytest.raises(SpecError):
        SmoothedClassifier(Fixed([0.0, 1.0]), sigma=-1.0, num_classes=2)


def test_a_module_in_training_mode_is_evaluated_and_keeps_its_mode():
    seen = []

    class Watching(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((self.training, self[0].training))
            return super().forward(x)

    net = Watching(nn.Dropout(0.9), nn.Flatten(), nn.Linear(16, 3)).train()
    net[2].eval()
    g = smoothed(net)
    g.predict(images(1))
    g.train()
    assert set(seen) == {(False, False)}
    assert (net.training, net[0].training, net[2].training, g.training) == (True, True, False, False)
    assert g.sigma == SIGMA


class Denoise(nn.Module):
    """Returns images of a kind."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> object:
        return {
            "as they are": lambda: x,
            "a pair": lambda: (x, x),
            "half size": lambda: x[..., ::2, ::2],
            "batch mean": lambda: x - x.mean(),
            "dropout": lambda: nn.functional.dropout(x, 0.5),
            "other sizes": lambda: x if x.shape[-1] == 4 else x[..., :4],
        }[self.kind]()


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("a pair", "E-MODEL-117"),
        ("half size", "E-MODEL-117"),
        ("batch mean", "E-MODEL-191"),
        ("dropout", "E-MODEL-190"),
    ],
)
def test_the_first_images_show_whether_a_denoiser_can_be_used(kind, code):
    g = smoothed(Fixed([0.0, 1.0, 0.0]), denoiser=Denoise(kind))
    for verb in (g.predict, g.certify, g):
        with refuses(code, "Denoise"):
            verb(images())


def test_a_denoiser_is_tried_with_each_shape_of_images():
    g = smoothed(Fixed([0.0, 1.0, 0.0]), denoiser=Denoise("other sizes"))
    assert g.predict(images(), n=100).label.tolist() == [1, 1, 1]
    with refuses("E-MODEL-117", "Denoise"):
        g.predict(np.zeros((2, 1, 6, 6), np.uint8))
