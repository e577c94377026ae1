"""Output of the writers, bit for bit, against a slow NumPy reference."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refusals import refuses
from smoothcert.errors import InputError, SpecError
from smoothcert.noise import FloatNoise, GridNoise, Rows, Stage, buffer_matches, cpu, key, make_noise
from smoothcert.noise.base import encode, flat_pixels

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def raw_words(noise, row, values):
    """The uniforms of one (sample, image, stage) from numpy.random.Philox."""
    number = sum(int(word) << (64 * place) for place, word in enumerate(row, start=1))
    first, second = key(noise.seed, noise.sigma)
    generator = np.random.Philox(counter=(number - 1) % 2**256, key=first | second << 64)
    return generator.random_raw(4 * (-(-values // 4)))[:values]


def slow_steps(noise, rows, shape):
    addresses = zip(rows.sample.tolist(), rows.image.tolist(), rows.stage.tolist(), strict=True)
    words = np.array([raw_words(noise, address, int(np.prod(shape))) for address in addresses])
    counts = np.searchsorted(noise.table.thresholds, words, side="right")
    return (counts + noise.table.first).reshape(-1, *shape)


def slow_grid(noise, images, rows, mean, std, precision):
    total = images[rows.slot].astype(np.int64) + slow_steps(noise, rows, images.shape[1:])
    mean, std = (np.array(column)[:, None, None] for column in (mean, std))
    return encode(((total / noise.levels - mean) / std).astype(np.float32), precision)


def some_images(shape, levels=255, dtype=np.int32, slots=4):
    images = np.random.default_rng(3).integers(0, levels + 1, (slots, *shape)).astype(dtype)
    images[0], images[1] = 0, levels
    return images


def some_rows(count, slots=4):
    rng = np.random.default_rng(4)
    slot = rng.integers(0, slots, count)
    return Rows.of(slot, slot + 1000, rng.integers(0, 2**40, count), Stage.ESTIMATION)


def buffer(count, shape, precision, layout):
    dtype = np.float32 if precision == "fp32" else np.uint16
    channels, height, width = shape
    if layout == "nchw":
        return np.zeros((count, *shape), dtype)
    if layout == "nhwc":
        return np.zeros((count, height, width, channels), dtype).transpose(0, 3, 1, 2)
    return np.zeros((count, channels, height + 2, width + 3), dtype)[:, :, 1:-1, 2:-1]


SHAPES = [(3, 28, 28), (1, 28, 28), (3, 5, 7), (1, 1, 1), (2, 3, 1), (3, 1, 5), (1, 2, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", ["nchw", "nhwc", "window"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_grid_writer_equals_reference(shape, layout, precision):
    noise = GridNoise(0.25, 255, seed=11)
    mean, std = MEAN[: shape[0]], STD[: shape[0]]
    images, rows = some_images(shape), some_rows(9)
    wanted = slow_grid(noise, images, rows, mean, std, precision)
    writer = noise.writer(mean, std, precision)
    for threads in (1, 2, 20):
        out = buffer(len(rows), shape, precision, layout)
        writer.fill(out, images, rows, threads)
        np.testing.assert_array_equal(out, wanted)
    assert buffer_matches(writer, out, images, rows)


@pytest.mark.parametrize("dtype", [np.int32, np.uint16])
@pytest.mark.parametrize("sigma", [0.05, 1.0])
def test_image_dtypes_and_sigmas(dtype, sigma):
    noise = GridNoise(sigma, 255, seed=2**64 - 1)
    images, rows = some_images((3, 6, 6), dtype=dtype), some_rows(20)
    out = buffer(20, (3, 6, 6), "fp32", "nchw")
    noise.writer((0.0,), (1.0,), "fp32").fill(out, images, rows)
    np.testing.assert_array_equal(out, slow_grid(noise, images, rows, (0.0,), (1.0,), "fp32"))


@pytest.mark.parametrize(("levels", "sigma"), [(4095, 0.5), (65535, 0.25)])
def test_finer_grids(levels, sigma):
    noise = GridNoise(sigma, levels, seed=5)
    images, rows = some_images((1, 9, 9), levels, np.uint16), some_rows(12)
    out = buffer(12, (1, 9, 9), "fp32", "nchw")
    noise.writer((0.0,), (1.0,), "fp32").fill(out, images, rows)
    np.testing.assert_array_equal(out, slow_grid(noise, images, rows, (0.0,), (1.0,), "fp32"))
    assert np.abs(out * levels - np.rint(out.astype(np.float64) * levels)).max() < 0.05


def test_read_only_images_are_accepted():
    noise, images, rows = GridNoise(0.25, 255, 1), some_images((1, 4, 4)), some_rows(3)
    images.flags.writeable = False
    writer, out = noise.writer((0.0,), (1.0,), "bf16"), buffer(3, (1, 4, 4), "bf16", "nchw")
    writer.fill(out, images, rows)
    assert buffer_matches(writer, out, images, rows)


def test_an_empty_batch():
    noise = GridNoise(0.25, 255, 1)
    out = buffer(0, (3, 4, 4), "bf16", "nchw")
    noise.writer(MEAN, STD, "bf16").fill(out, some_images((3, 4, 4)), Rows.of([], [], [], []), threads=2)


@settings(max_examples=25)
@given(st.permutations(range(12)), st.integers(1, 4), st.sampled_from(["grid", "float"]))
def test_order_neighbours_and_threads_change_nothing(order, threads, kind):
    noise = make_noise(kind, 0.5, 255, 9)
    images, rows = some_images((3, 5, 5)), some_rows(12)
    writer = noise.writer(MEAN, STD, "bf16")
    whole, shuffled = (buffer(12, (3, 5, 5), "bf16", "nhwc") for _ in range(2))
    writer.fill(whole, images, rows)
    order = np.array(order)
    permuted = Rows(*(column[order] for column in (rows.slot, rows.image, rows.sample, rows.stage)))
    writer.fill(shuffled, images, permuted, threads)
    np.testing.assert_array_equal(shuffled, whole[order])


@pytest.mark.parametrize("kind", ["grid", "float"])
def test_every_part_of_the_address_changes_the_noise(kind):
    base = {"image": 1, "sample": 2, "stage": 1}
    noise = make_noise(kind, 0.25, 255, 3)

    def draw(source=noise, **change):
        return source.steps(Rows.of(slot=0, **(base | change)), (3, 8, 8))

    others = [draw(image=2), draw(sample=1), draw(stage=0), draw(make_noise(kind, 0.25, 255, 4))]
    others.append(draw(make_noise(kind, float(np.nextafter(0.25, 1)), 255, 3)))
    others.append(draw(image=2, sample=1))
    np.testing.assert_array_equal(draw(), draw())
    for other in others:
        assert np.mean(other == draw()) < 0.1
    np.testing.assert_array_equal(noise.steps(Rows.of(5, **base), (3, 8, 8)), draw())


def test_steps_equal_reference():
    noise, rows = GridNoise(0.5, 255, 77), some_rows(10)
    wanted = slow_steps(noise, rows, (3, 7, 3))
    np.testing.assert_array_equal(noise.steps(rows, (3, 7, 3)), wanted)
    np.testing.assert_array_equal(noise.reference_steps(rows, (3, 7, 3)), wanted)
    assert noise.steps(rows, (3, 7, 3)).dtype == np.int32


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_one_grid_integer_is_one_float(precision):
    """Whatever image value and step it is the sum of: the property plain float noise lacks."""
    noise = GridNoise(0.25, 255, 1)
    images = np.arange(256, dtype=np.int32).reshape(256, 1, 1, 1) + np.zeros((1, 1, 10, 10), np.int32)
    rows = Rows.of(range(256), range(256), 0, Stage.TEST)
    out = buffer(256, (1, 10, 10), precision, "nchw")
    noise.writer((0.45,), (0.22,), precision).fill(out, images, rows)
    integers = images + noise.steps(rows, (1, 10, 10))
    pairs = np.unique(np.stack([integers.ravel(), out.view(f"u{out.itemsize}").astype(np.int64).ravel()]), axis=1)
    assert pairs.shape[1] == len(np.unique(integers))


def test_float_noise_maps_one_sum_to_several_floats():
    noise = FloatNoise(0.25, 255, 1)
    images = np.arange(256, dtype=np.float32) / np.float32(255)
    steps = np.arange(-200, 200, dtype=np.float32) / np.float32(255)
    sums = (images[:, None] + steps).ravel()
    integers = (np.arange(256)[:, None] + np.arange(-200, 200)).ravel()
    assert len(np.unique(sums)) > 2 * len(np.unique(integers))
    assert noise.eta(2352) == 0.0


def test_lookup_covers_images_at_both_ends_with_extreme_noise():
    noise = GridNoise(0.25, 255, 1)
    writer = noise.writer((0.0,), (1.0,), "fp32")
    assert writer.lookup.shape == (1, noise.high - noise.low + 1)
    assert (noise.low, noise.high) == (noise.table.first, 255 + noise.table.last)
    np.testing.assert_array_equal(writer.lookup[0], noise.values().astype(np.float32))
    for word, image, wanted in [(0, 0, noise.low), (2**64 - 1, 255, noise.high)]:
        assert noise.table.steps(np.array([word], np.uint64))[0] + image == wanted
    places = np.array([0, 255 + len(noise.table.thresholds)])
    assert writer.lookup[0, places].tolist() == [np.float32(noise.low / 255), np.float32(noise.high / 255)]


def test_values_outside_the_grid_are_clamped_not_read_out_of_bounds():
    noise = GridNoise(0.25, 255, 1)
    images = np.array([-(10**6), 10**6], np.int32).reshape(2, 1, 1, 1)
    writer, out = noise.writer((0.0,), (1.0,), "fp32"), np.empty((2, 1, 1, 1), np.float32)
    rows = Rows.of([0, 1], 0, 0, 0)
    writer.fill(out, images, rows)
    assert out.ravel().tolist() == [writer.lookup[0, 0], writer.lookup[0, -1]]
    assert buffer_matches(writer, out, images, rows)


def test_float_writer_is_plain_float32_arithmetic():
    noise, images, rows = FloatNoise(0.5, 255, 8), some_images((3, 5, 5)), some_rows(6)
    out = buffer(6, (3, 5, 5), "fp32", "nhwc")
    noise.writer(MEAN, STD, "fp32").fill(out, images, rows, threads=2)
    e = noise.steps(rows, (3, 5, 5))
    assert e.dtype == np.float32
    mean, std = (np.array(c, np.float32)[:, None, None] for c in (MEAN, STD))
    wanted = (images[rows.slot].astype(np.float32) / np.float32(255) + e - mean) / std
    np.testing.assert_array_equal(out, wanted)


def test_float_noise_is_box_muller_of_the_same_uniforms():
    noise, rows = FloatNoise(0.5, 255, 8), Rows.of(0, 3, 4, 1)
    unit = ((raw_words(noise, (4, 3, 1), 76) >> np.uint64(11)) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2 * np.log(unit[::2])), 2 * np.pi * unit[1::2]
    z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()[:75]
    np.testing.assert_allclose(noise.steps(rows, (3, 5, 5)).ravel(), 0.5 * z, rtol=1e-5, atol=1e-7)


def test_encode_equals_nearest_even():
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).normal(size=20000).astype(np.float32) * np.float32(8)
    ties = (np.arange(0x3F00, 0x4200, dtype=np.uint32) << 16 | 0x8000).view(np.float32)
    values = np.concatenate([values, ties, -ties, np.arange(2049, 4000, dtype=np.float32)])
    for precision, dtype in [("bf16", torch.bfloat16), ("fp16", torch.float16)]:
        wanted = torch.from_numpy(values).to(dtype).view(torch.uint16).numpy()
        np.testing.assert_array_equal(encode(values, precision), wanted)
    assert encode(values, "fp32") is values


def test_writing_into_torch_buffers_in_place():
    torch = pytest.importorskip("torch")
    noise, images, rows = GridNoise(0.25, 255, 1), some_images((3, 8, 8)), some_rows(5)
    batch = torch.zeros(5, 3, 8, 8, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    writer = noise.writer(MEAN, STD, "bf16")
    writer.fill(batch.view(torch.uint16).numpy(), images, rows, threads=2)
    plain = torch.zeros(5, 3, 8, 8)
    noise.writer(MEAN, STD, "fp32").fill(plain.numpy(), images, rows)
    assert torch.equal(batch, plain.to(torch.bfloat16))


def test_flat_pixels_shares_memory_or_declines():
    for layout, flat in [("nchw", True), ("nhwc", True), ("window", False)]:
        out = buffer(2, (3, 4, 5), "fp32", layout)
        view = flat_pixels(out)
        assert (view is not None and np.shares_memory(view, out)) == flat


def good():
    return {"out": buffer(2, (3, 4, 4), "bf16", "nchw"), "images": some_images((3, 4, 4)), "rows": some_rows(2)}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"out": np.zeros((2, 3, 4, 4), np.float32)}, "out must be a writable uint16"),
        ({"out": np.zeros((3, 3, 4, 4), np.uint16)}, r"shape \(2, 3, 4, 4\)"),
        ({"images": np.zeros((4, 3, 4, 4), np.int64)}, "images must be int32 or uint16"),
        ({"images": np.zeros((4, 3, 16), np.int32)}, "images must be int32 or uint16"),
        ({"images": np.zeros((4, 1, 4, 4), np.int32)}, "3 channels, images have 1"),
        ({"rows": Rows.of([0, 4], 0, 0, 0)}, r"slots must be in 0\.\.3"),
    ],
)
@pytest.mark.parametrize("kind", ["grid", "float"])
def test_buffers_that_do_not_fit_are_refused(kind, change, match):
    writer = make_noise(kind, 0.25, 255, 1).writer(MEAN, STD, "bf16")
    with pytest.raises(InputError, match=match):
        writer.fill(**(good() | change))


@pytest.mark.parametrize("kind", ["grid", "float"])
@pytest.mark.parametrize(
    ("sigma", "levels", "seed", "match"),
    [(0.0, 255, 1, "sigma"), (float("nan"), 255, 1, "sigma"), (0.25, 0, 1, "levels"), (0.25, 255, 2**64, "seed")],
)
def test_settings_out_of_range_are_refused(kind, sigma, levels, seed, match):
    with pytest.raises(SpecError, match=match):
        make_noise(kind, sigma, levels, seed)


@pytest.mark.parametrize("kind", ["grid", "float"])
def test_normalisations_out_of_range_are_refused(kind):
    noise = make_noise(kind, 0.25, 255, 1)
    for mean, std, precision in [((0,), (0,), "fp32"), ((0, 0), (1,), "fp32"), ((), (), "fp32"), ((0,), (1,), "fp8")]:
        with pytest.raises(SpecError):
            noise.writer(mean, std, precision)


def test_overflowing_normalisation_and_unknown_kind_are_refused():
    with refuses("E-SPEC-020", match="too large for fp16"):
        GridNoise(0.25, 255, 1).writer((0.0,), (1e-5,), "fp16")
    with refuses("E-SPEC-013"):
        make_noise("laplace", 0.25, 255, 1)


def test_import_is_cheap():
    code = "import sys, smoothcert.noise; print([m for m in ('numba', 'scipy', 'mpmath', 'torch') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_kernels_compile_where_no_cache_directory_is_writable(monkeypatch):
    def refuse(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: ("compiled", function)

    monkeypatch.setattr(cpu, "njit", refuse)
    assert cpu._compiled(len) == ("compiled", len)
