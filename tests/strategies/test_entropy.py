import numpy as np

from clipcache.strategies.entropy import Entropy
from tests.strategies.pools import pool_of


def test_flattest_distribution_comes_first() -> None:
    logits = np.float32(
        [
            [9, 0, 0, 0],  # certain
            [3, 3, -9, -9],  # a tie of two: 1 bit, though no margin could be smaller
            [0, 0, 0, 0],  # 2 bits
            [1, 0, 0, 0],  # nearly 2 bits
            [2, 2, 2, -9],  # log2(3) bits
        ]
    )
    rows = Entropy().select(pool_of(logits), 5, rng=np.random.default_rng(0))
    assert rows.tolist() == [2, 3, 4, 1, 0]
