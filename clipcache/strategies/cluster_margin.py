"""Ask where margins are small, in turn from clusters, small ones first (Citovsky et al. 2021)."""

from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from clipcache.arrays import RowIds, Vectors
from clipcache.kernels.margin import margin
from clipcache.pool import Pool
from clipcache.strategies.base import check_budget, turns

__all__ = ["ClusterMargin"]

LARGEST = 4096
"""Candidates that are clustered: time and memory grow with their square (67 MB of distances)."""


@dataclass(frozen=True)
class ClusterMargin:
    """Of many rows with small margins, clusters of like ones, from which rows are taken in turn.

    Reference: Citovsky et al. 2021, "Batch active learning at scale", algorithm 1. What differs:

    - There the whole pool is clustered, once, and the clusters are kept for all rounds. Here only
      the candidates of a round are: a strategy keeps nothing between rounds, and the distances of
      all pairs of a large pool would fit no memory.
    - There clusters end at a distance, which must be found for each data set. Here there are half
      as many as the batch has rows. With more of them than rows the batch would be single rows far
      from all others, since average linkage leaves many of those, and they come first.
    - There a cluster gives a random row, here its smallest margin.
    """

    factor: int = 10
    """Candidates for each row of the batch."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return `budget` rows: one from each cluster, then another from each that has one left.

        A batch of more than `LARGEST` rows goes on with those of smallest margin.
        """
        check_budget(pool, budget)
        candidates, _ = pool.top(margin, max(budget, min(self.factor * budget, LARGEST)))
        cluster = _average_linkage(pool.whitened(candidates[:LARGEST]), -(-budget // 2))
        size = np.bincount(cluster)[cluster]
        order = np.lexsort((size, turns(cluster)))  # of equal ones the smaller margin
        return np.concatenate([candidates[order], candidates[LARGEST:]])[:budget]


def _average_linkage(x: Vectors, clusters: int) -> RowIds:
    """Return the (m,) cluster of each unit row, in at most so many; of pairs the cosine counts."""
    if len(x) == 1:
        return np.zeros(1, dtype=np.int64)
    distance = np.maximum(1 - x @ x.T, 0)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    cluster: RowIds = fcluster(tree, clusters, "maxclust").astype(np.int64)
    return cluster
