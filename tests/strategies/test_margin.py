import numpy as np

from clipcache.strategies.margin import Margin
from tests.strategies.pools import pool_of


def test_smallest_gap_between_the_first_two_comes_first() -> None:
    logits = np.float32(
        [
            [9, 0, 0],  # certain: 0.9995
            [5, 4, -9],  # 0.46
            [3, 3, -9],  # a tie of two: 0
            [1, 0, 0],  # 0.36: the third class takes its share of both
            [5, 2, -9],  # 0.91
        ]
    )
    rows = Margin().select(pool_of(logits), 5, rng=np.random.default_rng(0))
    assert rows.tolist() == [2, 3, 1, 4, 0]
