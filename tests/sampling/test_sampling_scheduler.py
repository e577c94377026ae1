"""Scheduler and protocol with votes that follow from the address alone: no torch, no noise, any order."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothcert.noise import Stage
from smoothcert.sampling.protocol import ImageVotes, Protocol
from smoothcert.stats import Bounds, Plan, r_max, running, schedule, tally
from smoothcert.stats.betting import Bets, Wealth, look, worth
from smoothcert.stats.betting.grid import radius_grid
from smoothcert.stats.bounds_rule import undecided

from .fakes import FakeSampler, run_scheduler, vote

CLASSES, N0 = 4, 20
LOOKS = schedule(500)
PEAKS = (0.999, 0.99, 0.9, 0.8, 0.6, 0.4)


def protocol(targets: dict[int, str], radii: tuple[float, ...] = (0.1, 0.25, 0.5), bound: str = "rankcp") -> Protocol:
    if bound == "worth":
        return Protocol(Plan(LOOKS, 0.001, "rankcp", CLASSES, 0.5, stop="worth", price=1500.0), targets, radii, N0)
    if bound != "betting":
        return Protocol(Plan(LOOKS, 0.001, bound, CLASSES, sigma=0.5), targets, radii, N0)
    looks = schedule(500, bound=bound)
    grid = radius_grid(radii, tuple(targets), 0.5, 0.001, looks)
    return Protocol(Plan(looks, 0.001, bound, CLASSES, 0.5, 0.0, grid, "worth", 1500.0), targets, radii, N0)


def probabilities(image: int) -> list[float]:
    """From nearly unanimous to mixed; the leader is class (image mod classes)."""
    peak = PEAKS[image % len(PEAKS)]
    rest = [(1 - peak) * share for share in (0.8, 0.15, 0.05)]
    return list(np.roll([peak, *rest], image % CLASSES))


def slow(rule: Protocol, image: int, label: int | None) -> tuple[list[int] | None, list[tuple[int, list[int]]]]:
    """One image, one copy at a time; every look judged anew from all votes so far."""

    def count(stage: Stage, samples: range) -> np.ndarray:
        votes = [vote(probabilities(image), image, stage, sample) for sample in samples]
        return np.bincount(votes, minlength=CLASSES)

    open_ks, selection = set(rule.targets), None
    if "prediction" in rule.targets.values():
        selection = count(Stage.SELECTION, range(N0))
        if label is not None and selection.argmax() != label:
            open_ks -= {k for k, target in rule.targets.items() if target == "prediction"}
    subject = int(selection.argmax()) if label is None and selection is not None else label
    looks: list[np.ndarray] = []
    while open_ks and len(looks) < len(rule.plan.looks):
        looks.append(count(Stage.ESTIMATION, range(rule.plan.looks[len(looks)])))
        going = bets_go_on if rule.plan.bound == "betting" else bounds_go_on
        open_ks -= {k for k in open_ks if not going(rule, looks, subject, k)}
    chosen = None if selection is None else selection.tolist()
    return chosen, [(n, votes.tolist()) for n, votes in zip(rule.plan.looks, looks, strict=False)]


def bounds_go_on(rule: Protocol, looks: list[np.ndarray], subject: int | None, k: int) -> bool:
    tallied = tally(np.array([looks]), np.full((1, len(looks)), subject), k)
    path = running(tallied, rule.plan, k)
    last = tally(looks[-1][None], np.array([subject]), k)
    return bool(undecided(last, Bounds(path.q[:, -1], path.u[:, -1]), rule.radii, rule.plan, k)[0])


def bets_go_on(rule: Protocol, looks: list[np.ndarray], subject: int, k: int) -> bool:
    """All columns from the start, all looks again."""
    plan = rule.plan
    bets = Bets(k, tuple(r / plan.sigma for r in rule.radii if r <= r_max(plan, k)), plan.alpha, plan.looks[-1])
    arranged = [np.concatenate([[votes[subject]], np.delete(votes, subject)])[None] for votes in looks]
    state, before = Wealth.start(bets, 1, CLASSES - 1), np.zeros((1, CLASSES), dtype=np.int64)
    for votes in arranged:
        state, before = look(state, before, votes - before, bets), votes
    return bool(worth(state, before, bets, plan.price)[0])


def outcome(image: ImageVotes) -> tuple[list[int] | None, list[tuple[int, list[int]]]]:
    selection = None if image.selection is None else image.selection.tolist()
    return selection, [(n, votes.tolist()) for n, votes in image.looks]


def sample(rule: Protocol, labels: dict[int, int | None], batch: int = 64, window: int = 4):
    sampler = FakeSampler(probabilities, batch, window, CLASSES)
    states = [rule.init_state(index, label) for index, label in labels.items()]
    return sampler, run_scheduler(sampler, rule, states)


TARGETS = st.sampled_from([{1: "prediction"}, {1: "prediction", 3: "label"}, {1: "label"}, {2: "label", 3: "label"}])


@pytest.mark.slow
@settings(max_examples=40)
@given(
    targets=TARGETS,
    order=st.lists(st.integers(0, 40), min_size=1, max_size=9, unique=True),
    mislabelled=st.sets(st.integers(0, 40)),
    batch=st.integers(1, 700),
    window=st.integers(1, 12),
    bound=st.sampled_from(["rankcp", "simuem", "cohen", "worth", "betting"]),
)
def test_any_order_window_and_batch_give_the_votes_of_the_slow_loop(targets, order, mislabelled, batch, window, bound):
    rule = protocol(targets, bound=bound)
    labels = {image: (image + (image in mislabelled)) % CLASSES for image in order}
    sampler, done = sample(rule, labels, batch, window)
    wanted = []
    for index, label in labels.items():
        selection, looks = outcome(done[index])
        assert (selection, looks) == slow(rule, index, label)
        wanted += [(index, Stage.SELECTION, s) for s in range(N0 if selection else 0)]
        wanted += [(index, Stage.ESTIMATION, s) for s in range(looks[-1][0] if looks else 0)]
    assert sorted(sampler.addresses) == sorted(wanted)  # each needed copy once, and no other


@settings(max_examples=20)
@given(order=st.permutations(range(8)), batch=st.integers(1, 300), window=st.integers(1, 9))
def test_unlabelled_images_are_certified_for_their_selection_winner(order, batch, window):
    rule = protocol({1: "prediction"})
    _, done = sample(rule, dict.fromkeys(order), batch, window)
    for index, image in done.items():
        assert outcome(image) == slow(rule, index, None)
        assert image.subject == image.winner == image.selection.argmax()


def test_looks_are_a_prefix_of_the_plan_and_differ_between_images():
    _, done = sample(protocol({1: "label"}), {i: i % CLASSES for i in range(12)})
    taken = [tuple(n for n, _ in image.looks) for image in done.values()]
    assert all(looks == LOOKS[: len(looks)] for looks in taken)
    assert all(votes.sum() == n for image in done.values() for n, votes in image.looks)
    assert len(set(taken)) > 1


def test_a_wrong_selection_winner_stops_the_prediction_but_not_the_label():
    wrong = {0: 1}  # image 0 is nearly always class 0
    _, alone = sample(protocol({1: "prediction"}), wrong)
    _, both = sample(protocol({1: "prediction", 3: "label"}), wrong)
    assert alone[0].samples == N0
    assert alone[0].looks == []
    assert both[0].winner == 0
    assert 1 not in both[0].open_ks
    assert both[0].looks
    assert both[0].samples == N0 + both[0].looks[-1][0]


def test_an_image_stops_once_every_radius_is_certified_or_out_of_reach():
    certain = {0: 0}
    _, soon = sample(protocol({1: "label"}, radii=(0.1,)), certain)
    _, never = sample(protocol({1: "label"}, radii=(0.1, 50.0)), certain)
    _, later = sample(protocol({1: "label"}, radii=(0.1, 0.97)), certain)
    assert [n for n, _ in soon[0].looks] == [n for n, _ in never[0].looks] == [LOOKS[0]]
    assert len(later[0].looks) > 1


def test_all_copies_are_drawn_where_one_look_is_the_whole_plan():
    rule = dataclasses.replace(protocol({1: "label"}), plan=Plan((700,), 0.001, "rankcp", CLASSES, sigma=0.5))
    _, done = sample(rule, {0: 0, 5: 1})
    assert [image.samples for image in done.values()] == [700, 700]


def test_an_unlabelled_image_without_selection_has_no_class_to_certify():
    with pytest.raises(ValueError, match="unlabelled"):
        _ = protocol({1: "label"}).init_state(0, None).subject


def test_no_image_is_no_work():
    sampler, done = sample(protocol({1: "prediction"}), {})
    assert (sampler.draws, done) == ([], {})


def test_time_is_shared_out_among_the_images():
    _, done = sample(protocol({1: "label"}), {i: i % CLASSES for i in range(6)})
    assert all(image.seconds > 0 for image in done.values())
