import numpy as np
import pytest

from smoothcert.planning.forecast import mean_samples, traces
from smoothcert.planning.population import estimate_population


@pytest.mark.parametrize("seed", range(5))
def test_the_mean_samples_of_a_few_images_stay_in_their_range(seed: int) -> None:
    """Three images and a rare, very long path: the normal interval alone would begin below nought."""
    rng = np.random.default_rng(seed)
    population = estimate_population(np.array([[99, 1, 0], [50, 50, 0], [10, 88, 2]]), np.array([0, 0, 1]), rng)
    samples = np.where(rng.random(len(population.weights(population.best))) < 0.1, 10_100.0, 214.0)
    trace = traces(population.votes, population.best, population.at_points(samples[:, None] / samples.max()))[0]
    found = mean_samples(population, samples, trace, 3, rng)
    assert samples.min() <= found.low <= found.value <= found.high <= samples.max()
