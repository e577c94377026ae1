"""Denoisers before a classifier: built in, of the user's own, and one step of a diffusion model."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from refusals import refuses
from smoothcert.formats.card import Card, DenoiserCard
from smoothcert.models import Classifier, Denoiser, load_classifier
from smoothcert.models.checkpoints import save_weights
from smoothcert.models.denoisers.adapt import denoiser_of
from smoothcert.models.denoisers.check import check_denoiser
from smoothcert.models.denoisers.diffusion import OneStep
from smoothcert.models.denoisers.load import DenoiserOptions, load_denoiser
from smoothcert.models.denoisers.pipeline import denoised
from smoothcert.models.denoisers.unet import DENOISERS, build_denoiser
from smoothcert.models.resnet import build, fold

from .conftest import library
from .nets import noisy


def trained(arch: str = "unet-s", channels: int = 3, seed: int = 0) -> nn.Module:
    """A denoiser with weights at random, also in its head, and batch statistics that are not the initial ones."""
    torch.manual_seed(seed)
    net = build_denoiser(arch, channels)
    nn.init.normal_(net.head.weight, std=0.05)
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(8, channels, 12, 12), 0.5)
    return net.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "unet.safetensors"
    save_weights(trained(), DenoiserCard(arch="unet-s", in_channels=3, sigma_low=0.25, sigma=1.0), path)
    return path


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (1, 3, 1, 1), (2, 1, 7, 30), (1, 4, 33, 16)])
@pytest.mark.parametrize("arch", DENOISERS)
def test_images_of_any_size_keep_their_shape_and_without_noise_new_weights_change_nothing(
    arch: str, shape: tuple[int, int, int, int]
) -> None:
    x = torch.rand(shape)
    net = build_denoiser(arch, shape[1]).eval()
    assert net(x, 0.5).shape == x.shape
    assert torch.allclose(net(x, 0.0), x, atol=1e-6)


@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_new_weights_are_the_best_line_through_clean_over_noisy_values(sigma: float) -> None:
    clean = 0.5 + 0.25 * torch.randn(64, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    x = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(2))
    slope, intercept = np.polyfit(x.flatten().numpy(), clean.flatten().numpy(), 1)
    found = build_denoiser("unet-s", 1).eval()(x, sigma)
    assert torch.allclose(found, slope * x + intercept, atol=0.03)


def test_a_noise_level_is_one_number_or_one_per_image() -> None:
    x, net = noisy(4), trained()
    together = net(x, torch.tensor([0.25, 0.5, 0.5, 1.0]).view(4, 1, 1, 1))
    for i, sigma in enumerate((0.25, 0.5, 0.5, 1.0)):
        assert torch.allclose(together[i : i + 1], net(x[i : i + 1], sigma), atol=1e-6)
    assert not torch.allclose(net(x, 0.25), net(x, 0.5), atol=1e-3)


def test_an_image_is_denoised_by_itself_and_folding_keeps_the_output() -> None:
    x, net = noisy(6), trained()
    expected = net(x, 0.5)
    assert torch.allclose(net(torch.cat([x[:2], 5 * x[2:]]), 0.5)[:2], expected[:2], atol=1e-6)
    folded = fold(net)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    assert torch.allclose(folded(x, 0.5), expected, atol=1e-5)


def test_a_saved_denoiser_is_the_same(saved: Path) -> None:
    found = load_denoiser(str(saved), DenoiserOptions(in_channels=3))
    assert (found.arch, found.sigma_low, found.sigma, found.reference) == ("unet-s", 0.25, 1.0, str(saved))
    x = noisy(3)
    assert torch.equal(found.module(x, 0.5), trained()(x, 0.5))
    assert not found.module.training


class Own(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class WithSigma(nn.Module):
    """Returns its input; keeps what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, sigma: float) -> Tensor:
        self.seen = (float(x.min()), float(x.max()), sigma)
        return x * self.scale


class Named(WithSigma):
    def forward(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        return super().forward(x, sigma)


class Flag(nn.Module):
    def forward(self, x: Tensor, clamp: bool = False) -> Tensor:
        assert not clamp
        return x


class Keyword(WithSigma):
    def forward(self, x: Tensor, *, sigma: float) -> Tensor:
        return super().forward(x, sigma)


class Third(WithSigma):
    def forward(self, x: Tensor, mask: Tensor | None = None, sigma: float = 0.1) -> Tensor:
        assert mask is None
        return super().forward(x, sigma)


@pytest.mark.parametrize("network", [Own(), WithSigma(), Named(), Flag(), Keyword(), Third()])
@pytest.mark.parametrize("span", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_images_and_noise_level_are_in_the_range_of_the_denoiser(network: nn.Module, span: tuple[float, float]) -> None:
    x = torch.tensor([-0.5, 0.0, 1.0, 1.5]).view(1, 1, 2, 2)
    found = denoiser_of(network, "own", span)
    assert torch.allclose(found.module(x, 0.5), x, atol=1e-6)
    if isinstance(network, WithSigma):
        low, size = span[0], span[1] - span[0]
        assert network.seen == pytest.approx((low - 0.5 * size, low + 1.5 * size, 0.5 * size))


def test_a_denoiser_declares_its_range_itself() -> None:
    network = WithSigma()
    network.smoothcert = {"value_range": [-1, 1]}
    denoiser_of(network, "own").module(torch.zeros(1, 1, 2, 2), 0.25)
    assert network.seen == (-1.0, -1.0, 0.5)
    with refuses("E-MODEL-124"):
        denoiser_of(network, "own", (0.0, 255.0))
    network.smoothcert = {"value_range": [0, 1]}
    with refuses("E-MODEL-124", "-1,1"):
        denoiser_of(network, "own", (-1.0, 1.0))
    network.smoothcert = {"range": [-1, 1]}
    with refuses("E-MODEL-198", "'range'"):
        denoiser_of(network, "own")
    network.smoothcert = {"sigma": 0.5}
    assert denoiser_of(network, "own", (-1.0, 1.0)).sigma == 0.5
    network.smoothcert = {"takes_sigma": False}
    with pytest.raises(TypeError):
        denoiser_of(network, "own").module(torch.zeros(1, 1, 2, 2), 0.25)


def classifier(channels: int = 3) -> Classifier:
    torch.manual_seed(1)
    net = build("resnet8", 4, channels).eval()
    return Classifier(net, 4, None, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), "sha256:1", "net", True, "resnet8", None)


def test_the_pipeline_is_the_classifier_of_the_denoised_image() -> None:
    f, d, x = classifier(), Denoiser(trained(), "sha256:2", "unet", "unet-s"), noisy(5)
    found = denoised(f, d, 0.5)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (f.mean, f.std))
    expected = f.module((d.module(x, 0.5) - mean) / std)
    assert torch.allclose(found.module(x), expected, atol=1e-5)
    assert (found.mean, found.std, found.built_in) == ((), (), True)
    assert (found.denoiser, found.behind) == (d, f)
    assert found.module.state_dict().keys() == {
        *(f"classifier.{name}" for name in f.module.state_dict()),
        *(f"denoiser.{name}" for name in d.module.state_dict()),
    }
    assert torch.allclose(fold(found.module)(x), expected, atol=1e-4)
    half = fold(found.module).to(torch.bfloat16)(x.to(torch.bfloat16)).float()
    assert (half.argmax(1) == expected.argmax(1)).float().mean() > 0.5
    assert not denoised(f, Denoiser(Own(), "", "own"), 0.5).built_in


class Broken(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor, sigma: float) -> object:
        if self.how == "raises":
            raise RuntimeError("expected 1 channel")
        return {"shape": x[:, :1], "nan": x * float("nan"), "tuple": (x, x)}[self.how]


@pytest.mark.parametrize(
    ("how", "code"),
    [("raises", "E-MODEL-116"), ("shape", "E-MODEL-117"), ("tuple", "E-MODEL-117"), ("nan", "E-MODEL-118")],
)
def test_what_is_no_denoiser_of_these_images_is_refused(how: str, code: str) -> None:
    with refuses(code, "own"):
        check_denoiser(denoiser_of(Broken(how), "own"), noisy(4), 0.5)


def blurred(x: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def iterated(x: Tensor, relative: bool) -> Tensor:
    """Smooths until the change of the whole batch is small, as solvers of total variation do."""
    for _ in range(60):
        change = (blurred(x) - x).norm()
        if change < (0.02 * x.norm() if relative else 3.0):
            break
        x = 0.5 * x + 0.5 * blurred(x)
    return x


class Warm(nn.Module):
    """Starts from the result of the previous call, if that had this shape."""

    before: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        start = x if self.before is None or self.before.shape != x.shape else self.before
        self.before = 0.5 * blurred(x) + 0.5 * blurred(start)
        return self.before


class Does(nn.Module):
    """Computes a function of the images."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("network", "code"),
    [
        (Does(lambda x: x - x.mean() + 0.5), "E-MODEL-191"),
        (Does(lambda x: x / x.std() * 0.2), "E-MODEL-191"),
        (Does(lambda x: blurred(x) / x.norm()), "E-MODEL-191"),
        (Does(lambda x: x / x.abs().max()), "E-MODEL-191"),
        (Does(lambda x: iterated(x, relative=True)), "E-MODEL-191"),
        (Does(lambda x: iterated(x, relative=False)), "E-MODEL-191"),
        (Does(lambda x: x * (float("nan") if x.abs().max() > 4 else 1)), "E-MODEL-191"),
        (Warm(), "E-MODEL-190"),
        (Does(lambda x: nn.functional.dropout(x, 0.1)), "E-MODEL-190"),
        (Does(lambda x: x + 0.01 * torch.randn_like(x)), "E-MODEL-190"),
        (Does(lambda x: x.double()), "E-MODEL-192"),
        (Does(lambda x: x.sqrt()), "E-MODEL-118"),
    ],
)
def test_what_is_no_function_of_one_noisy_image_is_refused(network: nn.Module, code: str) -> None:
    images = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    with refuses(code, "own"):
        check_denoiser(denoiser_of(network, "own"), images, 0.25)


@pytest.mark.parametrize("network", [Does(blurred), Does(lambda x: x.clamp_(0, 1)), Does(torch.zeros_like)])
def test_a_function_of_one_image_is_a_denoiser(network: nn.Module) -> None:
    check_denoiser(denoiser_of(network, "own"), noisy(4), 0.5)
    check_denoiser(Denoiser(trained(), "", "unet", "unet-s"), noisy(4), 0.5)


def test_files_that_are_something_else_are_refused(saved: Path, tmp_path: Path) -> None:
    with refuses("E-MODEL-123", "1"):
        load_denoiser(str(saved), DenoiserOptions(in_channels=1))
    with refuses("E-MODEL-122"):
        load_denoiser(str(saved), DenoiserOptions(value_range=(-1.0, 1.0)))
    with refuses("E-MODEL-121"):
        load_denoiser(str(saved), DenoiserOptions(weights="w.safetensors"))
    with refuses("E-MODEL-125"):
        load_classifier(str(saved))
    net = tmp_path / "net.safetensors"
    save_weights(build("resnet8", 4, 3), Card(arch="resnet8"), net)
    with refuses("E-MODEL-120"):
        load_denoiser(str(net))
    for name in ("unet.onnx", "nothing", "unet.pt2"):
        with refuses("E-MODEL-119"):
            load_denoiser(name)
    with refuses("E-FILE-007"):
        load_denoiser("nets:unet", DenoiserOptions(named=False))


@pytest.mark.parametrize("change", [{"value_range": (-1.0, 1.0)}, {"takes_sigma": False}])
def test_a_card_cannot_change_what_a_built_in_denoiser_takes(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "unet.safetensors"
    save_weights(trained(), DenoiserCard(arch="unet-s", in_channels=3, sigma=1.0, **change), path)
    with refuses("E-MODEL-197"):
        load_denoiser(str(path))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    net, path = trained(), tmp_path / "nan.safetensors"
    with torch.no_grad():
        net.head.weight[0, 0, 0, 0] = float("nan")
    save_weights(net, DenoiserCard(arch="unet-s", in_channels=3, sigma=0.5), path)
    with refuses("E-MODEL-083", "head.weight"):
        load_denoiser(str(path))


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("open('executed', 'w').close()",))


def test_a_pickle_is_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "unet.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    with refuses("E-MODEL-026", "UnpicklingError"):  # and not torch's warning about pickle protocols
        load_denoiser(str(path))
    assert not (tmp_path / "executed").exists()


def test_a_factory_builds_a_denoiser_with_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_denoisers.py").write_text(
        "import torch\nclass D(torch.nn.Module):\n"
        "    def __init__(self, c):\n        super().__init__()\n        self.conv = torch.nn.Conv2d(c, c, 1)\n"
        "    def forward(self, x, sigma):\n        return self.conv(x)\n"
        "def make(in_channels):\n    return D(in_channels)\n"
    )
    weights = torch.nn.Conv2d(3, 3, 1).state_dict()
    torch.save({f"conv.{name}": value for name, value in weights.items()}, tmp_path / "w.pt")
    found = load_denoiser("own_denoisers:make", DenoiserOptions(weights="w.pt", in_channels=3))
    x = noisy(2)
    expected = torch.nn.functional.conv2d(x, weights["weight"], weights["bias"])
    assert torch.allclose(found.module(x, 0.5), expected, atol=1e-6)
    assert found.source_sha256
    assert found.sha256 != load_denoiser("own_denoisers:make", DenoiserOptions(in_channels=3)).sha256


SCHEDULE = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)


class Oracle(nn.Module):
    """Predicts what a perfect diffusion model would, of images it knows."""

    def __init__(self, images: Tensor, prediction: str) -> None:
        super().__init__()
        self.images, self.prediction = images, prediction

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        a = float(SCHEDULE[int(step[0])])
        noise = (x - a**0.5 * self.images) / (1 - a) ** 0.5
        return {
            "epsilon": noise,
            "sample": self.images,
            "v_prediction": a**0.5 * noise - (1 - a) ** 0.5 * self.images,
        }[self.prediction]


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("sigma", [0.1, 0.25, 0.5, 1.0])
def test_a_perfect_diffusion_model_returns_the_image(prediction: str, sigma: float) -> None:
    images = torch.rand(4, 3, 6, 6)
    x = images + sigma * torch.randn(images.shape)
    network = OneStep(Oracle(2 * images - 1, prediction), SCHEDULE, prediction)
    assert torch.allclose(denoiser_of(network, "ddpm").module(x, sigma), images, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.1, 0.25, 0.5, 1.0, 4.0])
def test_the_time_step_has_the_noise_of_the_image(sigma: float) -> None:
    """In [-1, 1] the noise is twice sigma; no other step is nearer."""
    step = OneStep(nn.Identity(), SCHEDULE).step_of(2 * sigma)
    noises = ((1 - SCHEDULE) / SCHEDULE).sqrt()
    assert abs(float(noises[step].log()) - float(torch.tensor(2 * sigma).log())) < 0.02
    assert step == int((noises.log() - torch.tensor(2 * sigma, dtype=torch.float64).log()).abs().argmin())


def test_what_is_no_diffusion_model_is_refused() -> None:
    with refuses("E-MODEL-126"):
        OneStep(nn.Identity(), SCHEDULE, "flow")
    for schedule in (torch.tensor([]), torch.tensor([0.5, 0.9]), torch.tensor([1.0, 0.5]), 1 - SCHEDULE):
        with refuses("E-MODEL-127"):
            OneStep(nn.Identity(), schedule)
    with refuses("E-MODEL-129"):
        load_denoiser("diffusers:nowhere")


@pytest.mark.slow
def test_a_pipeline_folder_of_diffusers_is_read(tmp_path: Path) -> None:
    diffusers = library("diffusers")
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=100)
    unet.save_pretrained(tmp_path / "ddpm" / "unet", safe_serialization=True)
    scheduler.save_pretrained(tmp_path / "ddpm" / "scheduler")
    found = load_denoiser(f"diffusers:{tmp_path / 'ddpm'}")
    x = torch.rand(2, 3, 8, 8) + 0.25 * torch.randn(2, 3, 8, 8)
    step = OneStep(nn.Identity(), scheduler.alphas_cumprod).step_of(0.5)
    a = float(scheduler.alphas_cumprod[step])
    with torch.no_grad():
        noisy_images = a**0.5 * (2 * x - 1)
        noise = unet.eval()(noisy_images, torch.full((2,), step)).sample
    expected = (((noisy_images - (1 - a) ** 0.5 * noise) / a**0.5).clamp(-1, 1) + 1) / 2
    assert torch.allclose(found.module(x, 0.25), expected, atol=1e-5)
    with refuses("E-MODEL-128"):
        load_denoiser(f"diffusers:{tmp_path / 'ddpm'}", DenoiserOptions(value_range=(0.0, 1.0)))
    for file, change in (
        ("unet/config.json", {"act_fn": "relu"}),
        ("scheduler/scheduler_config.json", {"beta_end": 0.002}),
    ):
        settings = tmp_path / "ddpm" / file
        settings.write_text(json.dumps({**json.loads(settings.read_text()), **change}))
        other = load_denoiser(f"diffusers:{tmp_path / 'ddpm'}")
        assert other.sha256 == found.sha256  # the same tensors
        assert other.source_sha256 != found.source_sha256
        found = other
    weights = tmp_path / "ddpm" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with refuses("E-MODEL-130"):
        load_denoiser(f"diffusers:{tmp_path / 'ddpm'}")
