"""Samples and certified accuracy of betting against the group-sequential rule, on a population of vote probabilities.

python benchmarks/betting.py POPULATION.npz [--images 4000] [--price 3] [--seed 1]

POPULATION.npz holds the reference labels, `label` (m,), and for each sigma the probabilities that a noise sample of an
image is classified as each class, `p0.25`, `p0.5`, `p1.0` (m, c). Votes are drawn from them. The group-sequential rule
is that of `certify`: bound rankcp, selection for k = 1; with futility, and stopping when more samples are not worth it.
Betting has the reference label as its target and stops when another batch is not worth it. The price is in n_max
samples per certificate.

The oracle (k = 1) knows all probabilities. It draws nothing for images that take more than n_max votes, loses one image
in a thousand at each radius, the most expensive ones, and for the others takes ln(1 / alpha) / D votes, D the
Kullback-Leibler divergence to the nearest distribution at which the radius does not hold: no test of error probability
alpha that certifies such an image for certain takes fewer on average (Wald, Annals of Mathematical Statistics 16,
1945).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from smoothcert.stats import Plan, Procedure, r_max, schedule, simulate
from smoothcert.stats.betting.grid import radius_grid

ALPHA, N_MAX, RADII, SIGMAS = 0.001, 100_000, (0.25, 0.5, 1.0), (0.25, 0.5, 1.0)


def by_betting(p: np.ndarray, sigma: float, ks: Sequence[int], price: float, rng: np.random.Generator):
    """Samples (m,) and certified {(k, r): (m,)} of images whose label is class 0; radii that are attainable."""
    looks = schedule(N_MAX, bound="betting")
    grid = radius_grid(RADII, ks, sigma, ALPHA, looks)
    plan = Plan(looks, ALPHA, "betting", p.shape[1], sigma, 0.0, grid, "worth", price * N_MAX)
    samples, certified = simulated(p, plan, dict.fromkeys(ks, "label"), rng)
    return samples, {(k, r): each for (k, r), each in certified.items() if r <= r_max(plan, k)}


def simulated(p: np.ndarray, plan: Plan, targets: Mapping[int, str], rng: np.random.Generator):
    """Samples (m,) and certified {(k, r): (m,)} of one simulated run."""
    done = simulate(p, np.zeros(len(p), dtype=np.int64), Procedure(plan, targets, RADII), rng)
    return done.samples, {(k, r): done.certified[:, i, j] for i, k in enumerate(targets) for j, r in enumerate(RADII)}


def by_looks(p: np.ndarray, sigma: float, ks: Sequence[int], rng: np.random.Generator, price: float | None = None):
    """Do the same by rankcp, group-sequential looks, and futility or a price, with 100 selection samples."""
    stop = {} if price is None else {"stop": "worth", "price": price * N_MAX}
    plan = Plan(schedule(N_MAX), ALPHA, "rankcp", p.shape[1], sigma, **stop)
    targets = {k: "prediction" if k == 1 else "label" for k in ks}
    return simulated(p, plan, targets, rng)


def by_oracle(p: np.ndarray, sigma: float) -> np.ndarray:
    """Mean votes (m,) of the oracle at k = 1, in the worst of the radii."""
    found = []
    for r in RADII:
        divergence = np.array([nearest_null(row, r / sigma) for row in p])
        with np.errstate(divide="ignore"):
            votes = -np.log(ALPHA) / divergence
        votes[votes > N_MAX] = 0
        votes[np.argsort(votes)[len(votes) - len(votes) // 1000 :]] = 0
        found.append(votes)
    return np.max(found, axis=0)


def nearest_null(p: np.ndarray, rho: float) -> float:
    """Least divergence from p, the label first, to a distribution at which r = rho sigma does not hold; 0 if p is one.

    At the null of a rival j, p_j >= g(p_l); the nearest is at equality, and the other classes keep their proportions.
    """
    z = np.linspace(-6, 6, 12_001)
    label, rival = ndtr(z), ndtr(z - 2 * rho)
    inside = label + rival < 1
    label, rival = label[inside], rival[inside]
    if p[1:].max() >= ndtr(ndtri(p[0]) - 2 * rho):
        return 0.0
    found = []
    for strength in np.sort(p[1:])[-3:]:
        rest = max(1 - p[0] - strength, 0.0)
        terms = [(p[0], label), (strength, rival), (rest, 1 - label - rival)]
        found.append(sum(x * np.log(x / y) for x, y in terms if x > 0).min())
    return float(min(found))


def label_first(p: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Exchange each image's label with class 0."""
    rows, swapped = np.arange(len(p)), p.copy()
    swapped[rows, labels], swapped[:, 0] = p[:, 0], p[rows, labels]
    return swapped / swapped.sum(axis=1, keepdims=True)


def with_error(values: np.ndarray, form: str, scale: float = 1.0) -> str:
    """Mean and its standard error over images."""
    return f"{scale * values.mean():{form}} ± {scale * values.std() / np.sqrt(len(values)):{form.removeprefix('+')}}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("population")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--price", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    population = np.load(options.population)
    print("Means over images, ± standard error. Certified accuracy in %; differences from looks in points.\n")
    for ks in ((1,), (1, 3)):
        print(f"| k = {', '.join(map(str, ks))} | looks | looks, worth | betting | medians | oracle |")
        print("| --- | --: | --: | --: | --: | --: |")
        lines, totals = [], []
        for sigma in SIGMAS:
            p = label_first(population[f"p{sigma}"], population["label"])[: options.images]
            old, old_certified = by_looks(p, sigma, ks, np.random.default_rng(options.seed))
            rng = np.random.default_rng(options.seed + 2)
            worth, worth_certified = by_looks(p, sigma, ks, rng, options.price)
            new, new_certified = by_betting(p, sigma, ks, options.price, np.random.default_rng(options.seed + 1))
            least = by_oracle(p, sigma) if ks == (1,) else np.full(len(p), np.nan)
            totals.append((old, worth, new, least))
            medians = " / ".join(f"{np.median(each):,.0f}" for each in (old, worth, new))
            means = " | ".join(with_error(each, ",.0f") for each in (old, worth, new))
            print(f"| sigma {sigma} | {means} | {medians} | {least.mean():,.0f} |", flush=True)
            for k, r in new_certified:
                before = old_certified[k, r].astype(float)
                gaps = (with_error(each[k, r] - before, "+.2f", 100) for each in (worth_certified, new_certified))
                lines.append(f"| {sigma}, {k}, {r} | {100 * before.mean():.2f} | {' | '.join(gaps)} |")
        *three, least = (np.mean(each, axis=0) for each in zip(*totals, strict=True))
        print(f"| mean | {' | '.join(with_error(each, ',.0f') for each in three)} | | {least.mean():,.0f} |\n")
        print("| sigma, k, r | looks | worth, difference | betting, difference |\n| --- | --: | --: | --: |")
        print("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
