"""Sequential looks against one look at 100,000, on multinomials drawn from real vote counts."""

import numpy as np

from smoothcert.stats import Bounds, Plan, Tally, certified_at, running, schedule, tally
from smoothcert.stats.bounds_rule import undecided

SIGMA, ALPHA, N_MAX, RADII = 0.25, 0.001, 100_000, (0.25, 0.5)
PLAN = Plan(schedule(N_MAX), ALPHA, "rankcp", 10, SIGMA)
ONE_LOOK = Plan((N_MAX,), ALPHA, "rankcp", 10, SIGMA)


def draw(counts, labels, seed):
    rng = np.random.default_rng(seed)
    p = counts / counts.sum(axis=1, keepdims=True)
    votes = np.stack([rng.multinomial(n, p) for n in np.diff((0, *PLAN.looks))], axis=1).cumsum(axis=1)
    return tally(votes, np.repeat(labels[:, None], votes.shape[1], axis=1), 1)


def stop(votes, path):
    """Samples and final bounds of each image."""
    where = np.full(len(votes.n), len(PLAN.looks) - 1)
    active = np.arange(len(votes.n))
    for i in range(len(PLAN.looks) - 1):
        now = Tally(votes.n[active, i], votes.label_votes[active, i], votes.rivals[active, i])
        draw_on = undecided(now, Bounds(path.q[active, i], path.u[active, i]), RADII, PLAN, 1)
        where[active[~draw_on]] = i
        active = active[draw_on]
    rows = np.arange(len(votes.n))
    return np.array(PLAN.looks)[where], Bounds(path.q[rows, where], path.u[rows, where])


def accuracy(bounds):
    return np.array([100 * certified_at(bounds, r, SIGMA).mean() for r in RADII])


def test_sixty_times_fewer_samples_and_the_same_accuracy(shared_data):
    table = np.loadtxt(shared_data / "topk" / "cifar10_sigma0.25_counts.txt", dtype=np.int64)
    samples, lost = [], []
    for seed in range(10):
        votes = draw(table[:, :10], table[:, 10], seed)
        used, sequential = stop(votes, running(votes, PLAN, 1))
        last = Tally(votes.n[:, -1:], votes.label_votes[:, -1:], votes.rivals[:, -1:])
        fixed = running(last, ONE_LOOK, 1)
        samples.append(used.mean())
        lost.append(accuracy(Bounds(fixed.q[:, 0], fixed.u[:, 0])) - accuracy(sequential))
    factor = N_MAX / np.mean(samples)
    points = np.mean(lost, axis=0)
    print(f"{np.mean(samples):,.0f} copies an image, {factor:.0f} times fewer; points lost {points.round(3)}")
    assert factor >= 60
    assert np.all(points <= 0.2)
