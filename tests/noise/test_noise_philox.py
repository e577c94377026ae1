"""Philox4x64-10 and the addresses against published answers and NumPy's own generator."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refusals import refuses
from smoothcert.noise import Rows, Stage, cpu, key
from smoothcert.noise.philox import philox4x64, uniforms

FULL = 2**64 - 1
WORDS = st.integers(0, FULL)

KNOWN = [  # the known-answer vectors of the Random123 distribution (Salmon et al.)
    ((0, 0, 0, 0), (0, 0), (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B)),
    (
        (FULL,) * 4,
        (FULL,) * 2,
        (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0),
    ),
    (
        (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
    ),
]


def numpy_blocks(counter, words, blocks):
    """NumPy's generator, stepped back once because it increments its counter before each block."""
    number = sum(word << (64 * place) for place, word in enumerate(counter))
    generator = np.random.Philox(counter=(number - 1) % 2**256, key=words[0] | words[1] << 64)
    return generator.random_raw(4 * blocks).reshape(blocks, 4)


def compiled(counter, words, blocks):
    """The compiled generator; its counter word 0 starts at 0."""
    out = np.empty(4 * blocks, np.uint64)
    cpu._draw(out, np.array(counter[1:], np.uint64), tuple(np.uint64(w) for w in words))
    return out.reshape(blocks, 4)


@pytest.mark.parametrize(("counter", "words", "answer"), KNOWN)
def test_published_answers(counter, words, answer):
    got = philox4x64(np.array(counter, np.uint64), np.array(words, np.uint64))
    assert tuple(got.tolist()) == answer


def test_numpy_increments_first():
    first = np.random.Philox(counter=0, key=5).random_raw(4)
    ours = philox4x64(np.array([1, 0, 0, 0], np.uint64), np.array([5, 0], np.uint64))
    assert first.tolist() == ours.tolist()


@settings(max_examples=60)
@given(st.tuples(WORDS, WORDS, WORDS), st.tuples(WORDS, WORDS), st.integers(1, 40))
def test_three_implementations_agree(address, words, blocks):
    counter = (0, *address)
    wanted = numpy_blocks(counter, words, blocks)
    reference = uniforms(np.array([address], np.uint64), words, 4 * blocks).reshape(blocks, 4)
    np.testing.assert_array_equal(reference, wanted)
    np.testing.assert_array_equal(compiled(counter, words, blocks), wanted)


def test_compiled_multiply_is_exact():
    rng = np.random.default_rng(0)
    pairs = [(FULL, FULL), (0, FULL), (1 << 63, 2), *rng.integers(0, FULL, (200, 2), np.uint64).tolist()]
    multiply = cpu.njit(lambda a, b: cpu._multiply(a, b))
    for a, b in pairs:
        high, low = multiply(np.uint64(a), np.uint64(b))
        assert int(high) << 64 | int(low) == a * b


def test_uniforms_are_cut_to_the_row():
    counters = np.array([[3, 17, 1]], np.uint64)
    assert uniforms(counters, (1, 2), 7).tolist() == uniforms(counters, (1, 2), 8)[:, :7].tolist()


def test_key_is_seed_and_bits_of_sigma():
    assert key(FULL, 0.5) == (FULL, int(np.float64(0.5).view(np.uint64)))
    assert key(1, 0.1)[1] != key(1, np.nextafter(0.1, 1))[1]


def test_stages_are_fixed_numbers():
    assert [stage.name for stage in sorted(Stage)] == [
        "SELECTION",
        "ESTIMATION",
        "PILOT",
        "PLANNING",
        "ATTACK",
        "PREDICTION",
        "TEST",
    ]
    assert [int(stage) for stage in sorted(Stage)] == list(range(7))


def test_rows_refuse_other_dtypes_and_lengths():
    good = Rows.of([0, 1], [5, 6], 2, Stage.PILOT)
    assert good.stage.tolist() == [2, 2]
    with refuses("E-INPUT-028", match=r"sample must be a contiguous uint64 .* got int64"):
        Rows(good.slot, good.image, good.sample.astype(np.int64), good.stage)
    with refuses("E-INPUT-028", match=r"image must be .* shape \(2,\)"):
        Rows(good.slot, good.image[:1], good.sample, good.stage)
    with refuses("E-INPUT-027"):
        Rows.of([0, -1], 0, 0, 0)


def test_rows_part():
    rows = Rows.of(range(5), range(10, 15), range(20, 25), Stage.TEST)
    part = rows.part(1, 3)
    assert len(part) == 2
    assert (part.slot.tolist(), part.image.tolist(), part.sample.tolist()) == ([1, 2], [11, 12], [21, 22])
