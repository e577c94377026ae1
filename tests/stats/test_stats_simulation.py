"""Simulated runs are runs: the same votes give what the sampler's own protocol and the ledger's rules give."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sampling.fakes import FakeSampler, vote
from smoothcert.errors import SpecError
from smoothcert.noise import Stage
from smoothcert.sampling.protocol import Protocol
from smoothcert.sampling.scheduler import Scheduler
from smoothcert.stats import Bounds, Plan, Procedure, certified_at, power, running, schedule, simulate, tally
from smoothcert.stats.bounds_rule import step, undecided
from smoothcert.stats.radius import probabilities_at
from smoothcert.stats.simulate import expected_samples

CLASSES, N0, LOOKS = 4, 20, schedule(500)
TARGETS = ({1: "prediction"}, {1: "prediction", 3: "label"}, {1: "label"}, {2: "label", 3: "label"})


def mixed(image):
    """Probabilities of one image: unlike any other's, from nearly unanimous to a tie."""
    peak = (0.999, 0.99, 0.9, 0.8, 0.6, 0.4)[image % 6] - 1e-6 * image
    return np.roll([peak, *((1 - peak) * share for share in (0.8, 0.15, 0.05))], image % CLASSES).tolist()


class Replay:
    """A generator whose multinomials are the votes that the fake sampler counts for the same noise samples."""

    def __init__(self, images, selects, n0):
        self.image = {mixed(i)[i % CLASSES]: i for i in images}
        self.n0, self.drawn = n0, dict.fromkeys(images, -n0 if selects else 0)

    def multinomial(self, n, rows):
        return np.array([self.one(int(n), row) for row in rows])

    def one(self, n, row):
        image = next(i for peak, i in self.image.items() if np.isclose(row, peak, rtol=0, atol=1e-8).any())
        start, self.drawn[image] = self.drawn[image], self.drawn[image] + n
        stage = Stage.SELECTION if start < 0 else Stage.ESTIMATION
        votes = [vote(mixed(image), image, stage, s + self.n0 * (start < 0)) for s in range(start, start + n)]
        return np.bincount(votes, minlength=CLASSES)


@settings(max_examples=15)
@given(
    targets=st.sampled_from(TARGETS),
    images=st.lists(st.integers(0, 40), min_size=1, max_size=9, unique=True),
    mislabelled=st.sets(st.integers(0, 40)),
    bound=st.sampled_from(["rankcp", "simuem", "cohen"]),
    looks=st.sampled_from([LOOKS, (300,)]),
    n0=st.sampled_from([1, N0]),
)
@example(TARGETS[1], [*range(20)], set(), "rankcp", LOOKS, 1)  # one copy often selects another class
def test_on_the_same_votes_a_simulated_run_is_the_samplers_run(targets, images, mislabelled, bound, looks, n0):
    plan, radii = Plan(looks, 0.001, bound, CLASSES, sigma=0.5), (0.1, 0.25, 0.5)
    labels = [(i + (i in mislabelled)) % CLASSES for i in images]
    procedure = Procedure(plan, targets, radii, n0)
    found = simulate([mixed(i) for i in images], labels, procedure, Replay(images, procedure.selects, n0))

    rule = Protocol(plan, targets, radii, n0)
    sampler = FakeSampler(mixed, 64, 4, CLASSES)
    states = [rule.init_state(i, label) for i, label in zip(images, labels, strict=True)]
    done = {image.index: image for decided in Scheduler(sampler, rule).run(states) for image in decided}
    for place, i in enumerate(images):
        image = done[i]
        wrong = image.winner is not None and image.winner != image.label
        assert found.samples[place] == image.samples
        assert found.wrong[place] == wrong
        for column, (k, target) in enumerate(targets.items()):
            held = in_the_ledger(image, plan, k, radii) & ~(wrong and target == "prediction")
            assert found.certified[place, column].tolist() == held.tolist()


def in_the_ledger(image, plan, k, radii):
    """Certified at each radius by all looks the image took, as `evidence.outcomes` derives it."""
    if not image.looks:
        return np.zeros(len(radii), dtype=bool)
    counts = np.array([[votes for _, votes in image.looks]])
    path = running(tally(counts, np.full(counts.shape[:2], image.label), k), plan, k)
    last = Bounds(path.q[0, -1], path.u[0, -1])
    return np.array([bool(certified_at(last, r, plan.sigma)) for r in radii])


def test_a_step_is_one_look_of_the_running_bounds():
    rng, plan, k, radii = np.random.default_rng(5), Plan(LOOKS, 0.01, "rankcp", CLASSES, 0.5), 2, (0.1, 0.4)
    p = rng.dirichlet(np.full(CLASSES, 0.5), 60)
    counts = np.stack([rng.multinomial(n, p) for n in np.diff((0, *LOOKS))], axis=1).cumsum(axis=1)
    labels = np.zeros(60, dtype=int)
    path = running(tally(counts, np.zeros(counts.shape[:2], dtype=int), k), plan, k)
    now = Bounds(np.ones(60), np.ones((60, k)))
    for look in range(len(LOOKS)):
        votes = tally(counts[:, look], labels, k)
        now, still = step(votes, now, radii, plan, k)
        assert np.array_equal(now.q, path.q[:, look])
        assert np.array_equal(now.u, path.u[:, look])
        assert np.array_equal(still, undecided(votes, now, radii, plan, k))
    assert not still.any()
    with pytest.raises(SpecError):
        step(tally([[5, 0, 0, 0]], [0], k), Bounds(np.ones(1), np.ones((1, k))), radii, plan, k)


def test_images_at_different_looks_take_their_own_levels():
    plan = Plan(LOOKS, 0.01, "cohen", CLASSES, 0.5)
    votes = tally([[LOOKS[0], 0, 0, 0], [LOOKS[2], 0, 0, 0]], [0, 0], 1)
    start = Bounds(np.ones(2), np.ones((2, 1)))
    both, _ = step(votes, start, [0.1], plan, 1)
    for i in (0, 1):
        alone = tally([[LOOKS[2 * i], 0, 0, 0]], [0], 1)
        assert both.q[i] == step(alone, Bounds(np.ones(1), np.ones((1, 1))), [0.1], plan, 1)[0].q[0]


def test_one_look_of_a_simulated_run_has_the_exact_power():
    plan = Plan((400,), 0.001, "rankcp", 8, 0.5)
    p = probabilities_at([0.7, 0.9, 1.2], 8)
    found = expected_samples(p, Procedure(plan, {1: "label"}, (0.25,)), np.random.default_rng(0), images=4000)
    exact = np.array([float(power(400, row, 0.25, plan)) for row in p])
    assert np.all(np.abs(found.power[:, 0, 0] - exact) < 4.5 * np.sqrt(exact * (1 - exact) / 4000) + 1e-9)
    assert np.all(found.mean == 400)


def test_quantiles_and_means_are_those_of_the_samples_and_include_selection():
    plan = Plan(LOOKS, 0.001, "rankcp", CLASSES, 0.5)
    procedure = Procedure(plan, {1: "prediction"}, (0.25,), N0)
    found = expected_samples([[0.8, 0.2, 0, 0]], procedure, np.random.default_rng(4), 300)
    done = simulate(np.tile([0.8, 0.2, 0, 0], (300, 1)), np.zeros(300, int), procedure, np.random.default_rng(4))
    assert found.mean[0] == done.samples.mean()
    assert found.median[0] == np.median(done.samples)
    assert done.samples.min() >= N0 + LOOKS[0]
    assert np.mean(done.samples <= found.low[0]) >= 0.1
    assert np.mean(done.samples >= found.high[0]) >= 0.1
    assert np.array_equal(found.power[0], done.certified.mean(axis=0))


def test_the_same_state_of_the_generator_gives_the_same_run():
    p, procedure = [mixed(i) for i in range(9)], Procedure(Plan(LOOKS, 0.001, "rankcp", 4, 0.5), {1: "label"}, (0.25,))
    one, two = (simulate(p, [0] * 9, procedure, np.random.default_rng(8)) for _ in range(2))
    assert np.array_equal(one.samples, two.samples)
    assert np.array_equal(one.certified, two.certified)


def test_samples_on_published_counts_are_those_of_an_independent_loop(shared_data):
    from golden.test_sequential import PLAN, RADII, draw, stop

    table = np.loadtxt(shared_data / "topk" / "cifar10_sigma0.25_counts.txt", dtype=np.int64)
    counts, labels = table[:, :10], table[:, 10]
    p = counts / counts.sum(axis=1, keepdims=True)
    rng, procedure = np.random.default_rng(0), Procedure(PLAN, {1: "label"}, RADII)
    mine = [simulate(p, labels, procedure, rng) for _ in range(10)]
    theirs = []
    for seed in range(10):
        votes = draw(counts, labels, seed)
        theirs.append(stop(votes, running(votes, PLAN, 1))[0].mean())
    means = [each.samples.mean() for each in mine]
    spread = np.sqrt((np.var(means, ddof=1) + np.var(theirs, ddof=1)) / 10)
    assert abs(np.mean(means) - np.mean(theirs)) < 4.5 * spread


def test_refusals():
    procedure = Procedure(Plan(LOOKS, 0.001, "rankcp", 4, 0.5), {1: "label"}, (0.25,))
    rng = np.random.default_rng(0)
    for p, labels in (([[0.5, 0.5]], [0]), ([[0.9, 0.2, 0, 0]], [0]), ([[1, 0, 0, 0]], [4]), ([[1, 0, 0, 0]], [0, 0])):
        with pytest.raises(SpecError):
            simulate(p, labels, procedure, rng)
    with pytest.raises(SpecError):
        expected_samples([[1, 0, 0, 0]], procedure, rng, images=0)
