"""The test of delivered noise passes on correct noise and fails on every wrong one."""

import numpy as np
import pytest
from scipy import stats

from refusals import refuses
from smoothcert.noise import FloatNoise, GridNoise, NoiseTest, Rows, Stage, buffer_matches, delivered_test, make_noise

SHAPE = (3, 28, 28)
NOISE = GridNoise(0.25, 255, seed=21)


def rows(count=128):
    return Rows.of(0, np.arange(count) // 8, np.arange(count) % 8, Stage.TEST)


@pytest.fixture(scope="module")
def steps():
    return NOISE.steps(rows(), SHAPE)


@pytest.mark.parametrize("kind", ["grid", "float"])
@pytest.mark.parametrize("sigma", [0.05, 0.25, 1.0])
def test_good_noise_passes(kind, sigma):
    noise = make_noise(kind, sigma, 255, 5)
    outcome = delivered_test(noise, noise.steps(rows(), SHAPE))
    assert outcome.passed
    assert outcome.values == 128 * 2352
    assert outcome.chi_square_p > 1e-4
    assert max(map(abs, (outcome.mean_z, outcome.variance_z, outcome.neighbour_z))) < 4.5


@pytest.mark.parametrize("levels", [1, 4095, 65535])
def test_good_noise_passes_on_other_grids(levels):
    noise = GridNoise(0.25, levels, 6)
    assert delivered_test(noise, noise.steps(rows(32), SHAPE)).passed


def test_one_pixel_and_one_row_are_enough():
    assert delivered_test(NOISE, NOISE.steps(rows(2000), (1, 1, 1))).passed
    assert delivered_test(NOISE, NOISE.steps(rows(1), SHAPE)).passed


def test_p_values_are_uniform():
    """Many seeds: the chi-square and z-scores behave as they should, not only within wide limits."""
    outcomes = []
    for seed in range(250):
        noise = GridNoise(0.25, 255, seed)
        outcomes.append(delivered_test(noise, noise.steps(rows(4), SHAPE)))
    assert stats.kstest([o.chi_square_p for o in outcomes], "uniform").pvalue > 1e-3
    for name in ("mean_z", "variance_z"):
        assert stats.kstest([getattr(o, name) for o in outcomes], "norm").pvalue > 1e-3


def test_distribution_against_phi_differences(steps):
    """Independently of the table: chi-square of the counts against differences of the normal cdf."""
    edges = np.arange(-150, 151, 5)
    cdf = stats.norm.cdf((edges + 0.5) / 255 / 0.25)
    wanted = np.diff(cdf, prepend=0, append=1) * steps.size
    counts = np.bincount(np.searchsorted(edges, steps.ravel(), side="left"), minlength=len(wanted))
    assert stats.chisquare(counts, wanted).pvalue > 1e-6


def bad(name, steps):
    s = steps.copy()
    if name == "wrong sigma":
        return GridNoise(0.255, 255, 21).steps(rows(), SHAPE)
    if name == "shifted":
        return s + 2
    if name == "correlated":
        return np.rint((s + 0.2 * np.roll(s, 1, axis=-1)) / np.sqrt(1.04)).astype(np.int32)
    if name == "repeated columns":
        s[..., 1::2] = s[..., ::2]
    elif name == "repeated lanes":
        s[..., 4:8] = s[..., :4]
    elif name == "repeated lines":
        s[:, :, 1::2] = s[:, :, ::2]
    elif name == "repeated channels":
        s[:, 1] = s[:, 0]
    elif name == "repeated samples":
        s[1::2] = s[::2]
    elif name == "one noise for all rows":
        s[:] = s[:1]
    elif name == "clipped":
        s = np.clip(s, -150, 150)
    elif name == "even steps only":
        s = s // 2 * 2
    elif name == "one impossible value":
        s[3, 1, 4, 1] = -600
    elif name == "zeros":
        s[:] = 0
    return s


@pytest.mark.parametrize(
    "name",
    [
        "wrong sigma",
        "shifted",
        "correlated",
        "repeated columns",
        "repeated lanes",
        "repeated lines",
        "repeated channels",
        "repeated samples",
        "one noise for all rows",
        "clipped",
        "even steps only",
        "one impossible value",
        "zeros",
    ],
)
def test_bad_noise_fails(name, steps):
    assert delivered_test(NOISE, steps).passed
    assert not delivered_test(NOISE, bad(name, steps)).passed


def test_bad_float_noise_fails():
    noise = FloatNoise(0.25, 255, 3)
    steps = noise.steps(rows(), SHAPE)
    assert not delivered_test(noise, steps * np.float32(1.02)).passed
    assert not delivered_test(noise, steps + np.float32(0.01)).passed
    assert not delivered_test(noise, np.sign(steps) * np.float32(0.25)).passed


def test_each_limit_alone_decides():
    outcome = delivered_test(NOISE, NOISE.steps(rows(), SHAPE) + 3)
    assert isinstance(outcome, NoiseTest)
    assert abs(outcome.mean_z) > 6 > abs(outcome.variance_z)


def test_refused_input(steps):
    for wrong in (steps[0], steps[:1, :1, :5], np.full((2, 1, 30, 30), np.nan)):
        with refuses("E-INPUT-033"):
            delivered_test(NOISE, wrong)


@pytest.mark.parametrize("kind", ["grid", "float"])
def test_one_flipped_bit_is_seen(kind):
    noise = make_noise(kind, 0.25, 255, 1)
    images = np.full((1, 3, 5, 5), 100, np.int32)
    writer, out = noise.writer((0.5,), (0.25,), "bf16"), np.empty((4, 3, 5, 5), np.uint16)
    writer.fill(out, images, rows(4))
    assert buffer_matches(writer, out, images, rows(4))
    out[2, 1, 3, 3] ^= 1
    assert not buffer_matches(writer, out, images, rows(4))


@pytest.mark.slow
def test_good_noise_passes_at_length():
    """Twenty million values a sigma."""
    for sigma in (0.25, 0.5, 1.0):
        noise = GridNoise(sigma, 255, 31)
        outcome = delivered_test(noise, noise.steps(rows(8192), SHAPE))
        assert outcome.passed
        assert outcome.chi_square_p > 1e-4
