import numpy as np

from clipcache.strategies.energy import Energy
from tests.strategies.pools import pool_of


def test_the_row_with_the_lowest_logits_comes_first() -> None:
    logits = np.float32(
        [
            [9, 0, 0],  # knows it
            [-4, -4, -4],  # knows nothing
            [0, 0, 0],
            [9, 9, 9],  # undecided, but all of it is familiar
            [3, -9, -9],
        ]
    )
    rows = Energy().select(pool_of(logits), 5, rng=np.random.default_rng(0))
    assert rows.tolist() == [1, 2, 4, 0, 3]
