"""Populations of images whose true class probabilities are known, and pilots drawn from them."""

import numpy as np

from smoothcert.planning.forecast import Votes
from smoothcert.stats import Plan, Procedure, schedule

CLASSES = 8


def mixed(m, rng):
    """Half the images nearly certain, the others anywhere above one half on the whole."""
    p = rng.beta(6, 1, m)
    easy = rng.random(m) < 0.5
    p[easy] = 1 - rng.beta(1, 500, int(easy.sum()))
    return p


def near(m, rng):
    """Every image about 1.6 % away from certainty: at sigma 0.25 just certified at r = 0.5 with 10,000 samples."""
    return 1 - rng.beta(60, 60 / 0.016 * 0.984, m)


def wide(m, rng):
    """Images of every probability."""
    return rng.beta(2, 1, m)


def vectors(p, rng):
    """Class probabilities (m, CLASSES) and labels (m,): the label has p, a few rivals share the rest."""
    labels = rng.integers(0, CLASSES, len(p))
    rest = rng.dirichlet(np.full(CLASSES - 1, 0.5), len(p)) * (1 - p)[:, None]
    rows = [np.insert(row, label, own) for row, label, own in zip(rest, labels, p, strict=True)]
    return np.array(rows), labels


def procedure(n_max=10_000, radii=(0.25, 0.5), ks=(1,), stopping="looks"):
    plan = Plan(schedule(n_max, stopping), 0.001, "rankcp", CLASSES, 0.25)
    return Procedure(plan, {k: "prediction" if k == 1 else "label" for k in ks}, radii, 100)


def pilot(probabilities, labels, count, samples, rng):
    """Votes of the first images."""
    return Votes(rng.multinomial(samples, probabilities[:count]), labels[:count])
