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
from dataclasses import replace
from functools import cache

import numpy as np

from smoothcert.stats import Plan, Procedure, schedule, simulate
from smoothcert.stats.betting import Bets, Wealth, certified_by_betting, look, worth

ALPHA, N_MAX, RADII, SIGMAS = 0.001, 100_000, (0.25, 0.5, 1.0), (0.25, 0.5, 1.0)
FIRST, RATIO = 100, 1.1


def looks() -> list[int]:
    """Return sample numbers down from n_max by a factor 1.1, in increasing order."""
    found, n = [], float(N_MAX)
    while n >= FIRST:
        found.append(int(n))
        n /= RATIO
    return found[::-1]


@cache
def attainable(sigma: float, k: int) -> tuple[float, ...]:
    """Return the radii that unanimous votes certify."""
    bets = Bets(k, tuple(r / sigma for r in RADII), ALPHA, N_MAX)
    unanimous = np.zeros((1, len(looks()), 1 + k), dtype=np.int64)
    unanimous[0, :, 0] = looks()
    return RADII[: certified_by_betting(unanimous, bets).sum()]


class Betting:
    """The bets of each k and where they stand, for the images that still draw."""

    def __init__(self, sigma: float, ks: Sequence[int], shape: tuple[int, int], price: float) -> None:
        self.bets = {k: Bets(k, tuple(r / sigma for r in attainable(sigma, k)), ALPHA, N_MAX) for k in ks}
        self.states = {k: Wealth.start(bets, shape[0], shape[1] - 1) for k, bets in self.bets.items()}
        self.price = price * N_MAX

    def look(self, before: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Bet on a batch, and return which images draw another."""
        self.states = {k: look(state, before, new, self.bets[k]) for k, state in self.states.items()}
        on = [worth(state, before + new, self.bets[k], self.price) for k, state in self.states.items()]
        return np.any(on, axis=0)

    def certified(self) -> Mapping[int, np.ndarray]:
        """For each k, bool (m, radii)."""
        return {k: state.certified for k, state in self.states.items()}

    def keep(self, on: np.ndarray) -> None:
        """Forget images that have stopped."""
        self.states = {
            k: replace(state, log=state.log[:, on], rejected=state.rejected[:, on]) for k, state in self.states.items()
        }


def by_betting(p: np.ndarray, sigma: float, ks: Sequence[int], price: float, rng: np.random.Generator):
    """Samples (m,) and certified {(k, r): (m,)} of images whose label is class 0."""
    rule, active, before = Betting(sigma, ks, p.shape, price), np.arange(len(p)), 0
    counts, samples = np.zeros(p.shape, dtype=np.int64), np.zeros(len(p), dtype=np.int64)
    certified = {(k, r): np.zeros(len(p), dtype=bool) for k in ks for r in attainable(sigma, k)}
    for n in looks():
        new = rng.multinomial(n - before, p[active])
        on = rule.look(counts[active], new)
        for k, each in rule.certified().items():
            for r, column in zip(attainable(sigma, k), each.T, strict=True):
                certified[k, r][active] = column
        counts[active] += new
        samples[active], before, active = n, n, active[on]
        rule.keep(on)
        if not len(active):
            break
    return samples, certified


def by_looks(p: np.ndarray, sigma: float, ks: Sequence[int], rng: np.random.Generator):
    """Do the same by rankcp, group-sequential looks and futility, with 100 selection samples."""
    plan = Plan(schedule(N_MAX), ALPHA, "rankcp", p.shape[1], sigma)
    targets = {k: "prediction" if k == 1 else "label" for k in ks}
    done = simulate(p, np.zeros(len(p), dtype=np.int64), Procedure(plan, targets, RADII), rng)
    entries = {(k, r): done.certified[:, i, j] for i, k in enumerate(ks) for j, r in enumerate(RADII)}
    return done.samples, {(k, r): each for (k, r), each in entries.items() if r in attainable(sigma, k)}


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
