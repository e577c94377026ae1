"""Samples and certified accuracy of betting against the group-sequential rule, on a population of vote probabilities.

python benchmarks/betting.py POPULATION.npz [--images 4000] [--price 3] [--seed 1]

POPULATION.npz holds the reference labels, `label` (m,), and for each sigma the probabilities that a noise sample of an
image is classified as each class, `p0.25`, `p0.5`, `p1.0` (m, c). Votes are drawn from them. The group-sequential rule
is that of `certify`: bound rankcp, selection for k = 1, futility. Betting has the reference label as its target and
stops when another batch is not worth it. The price is in n_max samples per certificate.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

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


def by_looks(p: np.ndarray, sigma: float, ks: Sequence[int], rng: np.random.Generator):
    """Do the same by rankcp, group-sequential looks and futility, with 100 selection samples."""
    plan = Plan(schedule(N_MAX), ALPHA, "rankcp", p.shape[1], sigma)
    targets = {k: "prediction" if k == 1 else "label" for k in ks}
    return simulated(p, plan, targets, rng)


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
    print("Means over images, ± standard error. Certified accuracy in %; difference: betting less looks, in points.\n")
    for ks in ((1,), (1, 3)):
        print(
            f"| k = {', '.join(map(str, ks))} | looks | betting | median looks / betting |\n| --- | --: | --: | --: |"
        )
        lines, totals = [], []
        for sigma in SIGMAS:
            p = label_first(population[f"p{sigma}"], population["label"])[: options.images]
            old, old_certified = by_looks(p, sigma, ks, np.random.default_rng(options.seed))
            new, new_certified = by_betting(p, sigma, ks, options.price, np.random.default_rng(options.seed + 1))
            totals.append((old, new))
            medians = f"{np.median(old):,.0f} / {np.median(new):,.0f}"
            print(f"| sigma {sigma} | {with_error(old, ',.0f')} | {with_error(new, ',.0f')} | {medians} |", flush=True)
            for (k, r), found in new_certified.items():
                gap = found.astype(float) - old_certified[k, r]
                lines.append(
                    f"| {sigma}, {k}, {r} | {100 * old_certified[k, r].mean():.2f} | {100 * found.mean():.2f} "
                    f"| {with_error(gap, '+.2f', 100)} |"
                )
        old, new = (np.mean(each, axis=0) for each in zip(*totals, strict=True))
        print(f"| mean | {with_error(old, ',.0f')} | {with_error(new, ',.0f')} | |\n")
        print("| sigma, k, r | looks | betting | difference |\n| --- | --: | --: | --: |")
        print("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
