"""Published numbers of Jia et al. (ICLR 2020): 500 CIFAR-10 images, sigma = 0.25, 100,000 votes each."""

import numpy as np
import pytest

from smoothcert.stats import radii_from_counts

SIGMA, ALPHA, GRID = 0.25, 0.001, (0.25, 0.5, 0.75, 1.0)

# certified top-k accuracy in percent at the radii of GRID
SIMUEM = {
    1: (61.8, 43.4, 26.2, 0.0),
    2: (74.8, 53.2, 34.6, 17.8),
    3: (81.0, 59.6, 39.0, 20.8),
    4: (84.8, 65.4, 42.6, 23.0),
    5: (88.0, 69.0, 44.2, 24.8),
}
RANKCP = {
    1: (61.8, 43.4, 26.2, 0.0),
    2: (74.8, 53.2, 35.2, 18.0),
    3: (81.0, 59.6, 39.0, 21.0),
    4: (84.8, 65.4, 42.6, 23.0),
    5: (88.0, 68.8, 44.2, 25.2),
}


@pytest.fixture
def votes(shared_data):
    table = np.loadtxt(shared_data / "topk" / "cifar10_sigma0.25_counts.txt", dtype=np.int64)
    assert table.shape == (500, 11)
    return table[:, :10], table[:, 10]


def test_published_radii_to_the_last_printed_digit(votes, shared_data):
    published = np.loadtxt(shared_data / "topk" / "cifar10_sigma0.25_k3_radii.txt", skiprows=1)[:, 1]
    ours = np.array([float(f"{r:.3}") for r in radii_from_counts(*votes, 3, SIGMA, ALPHA, "simuem")])
    unit = 10.0 ** (np.floor(np.log10(np.maximum(published, 1e-3))) - 2)  # they print three significant digits
    off = np.abs(ours - published) / unit
    assert off.max() < 1.5
    assert np.sum(off > 0.5) <= 5


@pytest.mark.parametrize(("bound", "table"), [("simuem", SIMUEM), ("rankcp", RANKCP)])
def test_certified_top_k_accuracy(votes, bound, table):
    for k, row in table.items():
        radii = radii_from_counts(*votes, k, SIGMA, ALPHA, bound)
        assert tuple(float(100 * np.mean(radii >= r)) for r in GRID) == pytest.approx(row), k


def test_rankcp_is_within_one_image_of_simuem_and_ahead_on_average(votes):
    for k in SIMUEM:
        assert all(r >= s - 0.2 - 1e-9 for r, s in zip(RANKCP[k], SIMUEM[k], strict=True))
        rank, simuem = (radii_from_counts(*votes, k, SIGMA, ALPHA, bound).mean() for bound in ("rankcp", "simuem"))
        assert rank > simuem
