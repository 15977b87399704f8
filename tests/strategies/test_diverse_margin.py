import numpy as np

from clipcache.strategies.diverse_margin import DiverseMargin
from tests.strategies.pools import pool_of


def test_near_ties_of_one_kind_leave_room_for_those_of_others() -> None:
    logits = np.float32(
        [
            [3.0, 3.0, 0, 0],  # a tie of the first two classes
            [3.1, 3.0, 0, 0],  # nearly that, three times
            [3.2, 3.0, 0, 0],
            [3.3, 3.0, 0, 0],
            [0, 0, 3.5, 3.0],  # wider, but of the other two
            [0, 0, 3.6, 3.0],
            [9, 0, 0, 0],  # certain
            [0, 0, 0, 9],
        ]
    )
    for seed in range(5):
        rows = DiverseMargin(factor=3).select(pool_of(logits), 2, rng=np.random.default_rng(seed))
        assert rows.tolist() == [0, 4]


def test_only_the_smallest_margins_are_candidates() -> None:
    logits = np.float32([[step, 0, 0] for step in range(12)])
    rows = DiverseMargin(factor=1).select(pool_of(logits), 4, rng=np.random.default_rng(0))
    assert rows.tolist() == [0, 1, 2, 3]


def test_empty_clusters_are_made_up_for_in_order_of_margin() -> None:
    logits = np.float32([[0, 0, 9]] + [[2, 0, 0]] * 9 + [[0, 1, 0]] * 9)
    rows = DiverseMargin(factor=10).select(pool_of(logits), 5, rng=np.random.default_rng(0))
    assert rows.tolist() == [10, 11, 12, 1, 0]  # one of each, and the next two of the smallest
