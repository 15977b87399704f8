import numpy as np

from clipcache.strategies.least_confidence import LeastConfidence
from tests.strategies.pools import pool_of


def test_lowest_top_probability_comes_first() -> None:
    logits = np.float32(
        [
            [9, 0, 0, 0],  # 0.9996
            [3, 3, -9, -9],  # 0.5
            [0, 0, 0, 0],  # 0.25
            [1, 0, 0, 0],  # 0.475
            [2, 2, 2, -9],  # 0.333
        ]
    )
    rows = LeastConfidence().select(pool_of(logits), 5, rng=np.random.default_rng(0))
    assert rows.tolist() == [2, 4, 3, 1, 0]
