import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from clipcache.strategies import cluster_margin
from clipcache.strategies.cluster_margin import ClusterMargin
from tests.strategies.pools import pool_of

LOGITS = np.float32(
    [
        [3.0, 3.0, 0, 0],  # four of one kind, the smallest margins of all
        [3.1, 3.0, 0, 0],
        [3.2, 3.0, 0, 0],
        [3.3, 3.0, 0, 0],
        [0, 0, 3.6, 3.0],  # two of another
        [0, 0, 3.7, 3.0],
        [9, 0, 0, 0],  # certain, and no candidates where six are asked for
        [0, 0, 0, 9],
    ]
)


def test_rows_are_taken_in_turn_from_the_smallest_cluster_on() -> None:
    strategy = ClusterMargin(factor=2)
    rows = strategy.select(pool_of(LOGITS), 3, rng=np.random.default_rng(0))
    assert rows.tolist() == [4, 0, 5]


def test_a_cluster_that_is_used_up_is_passed_over() -> None:
    strategy = ClusterMargin(factor=1)
    rows = strategy.select(pool_of(LOGITS[:6]), 6, rng=np.random.default_rng(0))
    assert sorted(rows.tolist()) == [0, 1, 2, 3, 4, 5]


def test_clusters_are_those_of_average_linkage() -> None:
    x = np.random.default_rng(0).standard_normal((60, 5)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    found = cluster_margin._average_linkage(x, 9)
    expected = fcluster(linkage(x.astype(np.float64), "average", "cosine"), 9, "maxclust")
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) == 9


def test_a_batch_too_large_to_be_clustered_goes_on_in_order_of_margin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster_margin, "LARGEST", 4)
    logits = np.float32([[step, 0, 0] for step in range(12)])
    rows = ClusterMargin().select(pool_of(logits), 8, rng=np.random.default_rng(0))
    assert sorted(rows[:4].tolist()) == [0, 1, 2, 3]
    assert rows[4:].tolist() == [4, 5, 6, 7]
