"""Prediction through the waves, with votes that the address alone decides: no torch, no noise, any order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothcert.noise import Stage
from smoothcert.sampling.protocol import PredictionRule
from smoothcert.stats import prediction_looks
from smoothcert.stats.prediction import predict_sets

from .fakes import FakeSampler, run_scheduler, vote

CLASSES, ALPHA, N = 4, 0.01, 300
LOOKS = prediction_looks(N, ALPHA)
PEAKS = (0.999, 0.9, 0.7, 0.55, 0.45, 0.3)


def probabilities(image: int) -> list[float]:
    """From nearly unanimous to mixed; the leader is class (image mod classes)."""
    peak = PEAKS[image % len(PEAKS)]
    rest = [(1 - peak) * share for share in (0.8, 0.15, 0.05)]
    return list(np.roll([peak, *rest], image % CLASSES))


def slow(rule: PredictionRule, image: int) -> tuple[frozenset[int] | None, list[int]]:
    """One image, one copy at a time; every look judged anew from all votes so far."""
    votes: list[int] = []
    for n, level in zip(rule.looks, rule.spent_alpha, strict=True):
        while len(votes) < n:
            votes.append(vote(probabilities(image), image, Stage.PREDICTION, len(votes)))
        counts = np.bincount(votes, minlength=CLASSES)
        (found,) = predict_sets([counts], rule.k, level)
        if found is not None:
            break
    return found, counts.tolist()


def sample(rule: PredictionRule, order, batch: int = 64, window: int = 4):
    sampler = FakeSampler(probabilities, batch, window, CLASSES)
    return sampler, run_scheduler(sampler, rule, [rule.init_state(index) for index in order])


@settings(max_examples=40)
@given(
    order=st.lists(st.integers(0, 40), min_size=1, max_size=12, unique=True),
    batch=st.integers(1, 700),
    window=st.integers(1, 12),
    k=st.integers(1, 3),
    first=st.sampled_from([1, 8, 64]),
)
def test_any_order_window_and_batch_give_the_answers_of_the_slow_loop(order, batch, window, k, first):
    rule = PredictionRule(prediction_looks(N, ALPHA, first), ALPHA, k)
    sampler, done = sample(rule, order, batch, window)
    wanted = []
    for index in order:
        image, (answer, votes) = done[index], slow(rule, index)
        found = image.found
        assert found.answer == (next(iter(answer)) if answer is not None and k == 1 else answer)
        assert image.counts.tolist() == votes
        assert (found.samples, found.votes, found.votes) == (sum(votes), max(votes), votes[found.leader])
        assert found.samples == rule.looks[image.taken - 1]
        wanted += [(index, Stage.PREDICTION, s) for s in range(found.samples)]
    assert sorted(sampler.addresses) == sorted(wanted)  # each needed copy once, of the prediction stage, and no other


def test_clear_images_stop_early_and_mixed_ones_go_on():
    _, done = sample(PredictionRule(LOOKS, ALPHA), range(12))
    drawn = [done[i].found.samples for i in range(12)]
    assert drawn[0] == drawn[6] == LOOKS[0] < drawn[1] < drawn[2] < drawn[3] == LOOKS[-1]
    assert {i for i in range(12) if done[i].found.answer is None} == {3, 4, 9, 10}
    assert all(drawn[i] == LOOKS[-1] for i in (3, 4, 9, 10))


def test_a_fixed_number_of_copies_is_one_look():
    _, done = sample(PredictionRule((N,), ALPHA), range(12))
    assert {image.found.samples for image in done.values()} == {N}
    assert {image.taken for image in done.values()} == {1}


@pytest.mark.parametrize("images", [1, 2, 5, 12])
def test_the_first_look_of_all_images_fills_a_batch(images):
    batch = 256
    rule = PredictionRule(prediction_looks(1000, ALPHA, batch // images), ALPHA)
    sampler, _ = sample(rule, range(0, 6 * images, 6), batch, window=12)
    assert sampler.draws[0] >= 0.95 * batch


def test_the_levels_of_the_looks_sum_to_alpha():
    rule = PredictionRule(LOOKS, ALPHA)
    assert len(rule.spent_alpha) == len(LOOKS)
    assert 0.999 * ALPHA <= sum(rule.spent_alpha) <= ALPHA
    assert rule.after(len(LOOKS)) is None


def test_no_image_is_no_work():
    sampler, done = sample(PredictionRule(LOOKS, ALPHA), [])
    assert (sampler.draws, done) == ([], {})
