import numpy as np
from threadpoolctl import threadpool_limits

from clipcache.dataset import Dataset
from clipcache.experiment import simulate
from clipcache.heads.base import LinearWeights
from clipcache.run_folder import RunConfig
from clipcache.whitening import unit


def test_the_number_of_threads_changes_no_bit(rng: np.random.Generator) -> None:
    n, d, classes = 2200, 512, 6
    labels = rng.integers(0, classes, n)
    x = unit(rng.standard_normal((classes, d))[labels] + 2 * rng.standard_normal((n, d)))
    rows, names = np.arange(n), tuple("abcdef")
    data = Dataset(x.astype(np.float16), labels, rows[200:], rows[:200], names, None, "made up")
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            *_, last = simulate(data, RunConfig(rounds=2))
        assert isinstance(last.head, LinearWeights)
        found.append((last.asked, last.head.weight, last.head.bias))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)
