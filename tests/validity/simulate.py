"""Simulated votes and the share of false certificates: the theorem itself as a test."""

import numpy as np

from smoothcert.stats import Bounds, Plan, Tally, bounds, radius, running, schedule, tally
from smoothcert.stats.bounds_rule import undecided
from smoothcert.stats.population import bad_runs

ALPHA = 0.05
N_MAX = 2000
RADII = (0.25, 0.5)  # the futility rule needs radii to care about


def paths(p, plan, k, repetitions, seed=0):
    """Tally (repetitions, looks) of cumulative multinomial votes; the label is class 0, fixed beforehand."""
    rng = np.random.default_rng(seed)
    steps = np.diff((0, *plan.looks))
    counts = np.stack([rng.multinomial(n, p, repetitions) for n in steps], axis=1).cumsum(axis=1)
    return tally(counts, np.zeros(counts.shape[:2], dtype=np.int64), k)


def true_radius(p, k, sigma):
    """The radius at the true probabilities: what the bounds would give if they were exact."""
    rivals = np.sort(np.asarray(p[1:], dtype=float))[::-1][:k]
    return float(radius(Bounds(np.array(1 - p[0], dtype=float), rivals), sigma))


def at(votes, path, rows, look):
    """The votes and running bounds of some images at one look, or at one look each."""
    now = Tally(votes.n[rows, look], votes.label_votes[rows, look], votes.rivals[rows, look])
    return now, Bounds(path.q[rows, look], path.u[rows, look])


def stops(votes, path, plan, k, radii=RADII):
    """Look at which each image stops under predictive futility."""
    last = len(plan.looks) - 1
    where = np.full(len(votes.n), last)
    active = np.arange(len(votes.n))
    for look in range(last):
        draw_on = undecided(*at(votes, path, active, look), radii, plan, k)
        where[active[~draw_on]] = look
        active = active[draw_on]
    return where


def false_share(p, k, bound, stopping, repetitions=20_000):
    """Share of certificates above the true radius; `worst` stops as soon as a false certificate appears.

    Running bounds only sharpen, so under the worst rule an image fails exactly if its last look does.
    """
    looks = schedule(N_MAX, "fixed" if stopping == "fixed" else "looks")
    plan = Plan(looks, ALPHA, bound, len(p), 0.5)
    votes = paths(p, plan, k, repetitions)
    path = running(votes, plan, k)
    rows = np.arange(repetitions)
    look = stops(votes, path, plan, k) if stopping == "futility" else len(looks) - 1
    certified = radius(at(votes, path, rows, look)[1], plan.sigma)
    return float(np.mean(certified > max(0.0, true_radius(p, k, plan.sigma)) + 1e-9))


def allowed(repetitions, level=ALPHA):
    """Largest share compatible with a true rate of `level`: exceeded with probability below one in a million."""
    return bad_runs(repetitions, level, 1e-6) / repetitions


def share_with_levels(p, k, n, label_level, rival_level, repetitions):
    """False certificates when label and rivals are bounded at levels of one's own choice."""
    plan = Plan((n,), ALPHA, "rankcp", len(p), 0.5)
    votes = paths(p, plan, k, repetitions)
    now = Tally(votes.n[:, 0], votes.label_votes[:, 0], votes.rivals[:, 0])
    q = bounds(now, label_level, k, "cohen", len(p)).q
    u = bounds(now, rival_level * len(p), k, "simuem", len(p)).u
    return float(np.mean(radius(Bounds(q, u), 0.5) > max(0.0, true_radius(p, k, 0.5)) + 1e-9))
