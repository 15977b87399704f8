"""Ask where margins are small, but about different things (Zhdanov 2019).

The smallest margins of a large pool tend to be copies of one hard case: a batch of them teaches
little more than one of them.
"""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import RowIds
from clipcache.kernels.margin import margin
from clipcache.neighbors import kmeans
from clipcache.pool import Pool
from clipcache.strategies.base import check_budget, turns

__all__ = ["DiverseMargin"]


@dataclass(frozen=True)
class DiverseMargin:
    """Of many rows with small margins, one from each of `budget` clusters.

    Clusters are found in the whitened space, where distances say more about classes.

    Reference: Zhdanov 2019, "Diverse mini-batch active learning". There the k-means is weighted by
    uncertainty, and the row nearest to a centre is taken. Here all candidates count alike, since
    they are the hardest few of a large pool, and a cluster gives its smallest margin.
    """

    factor: int = 10
    """Candidates for each row of the batch."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return `budget` rows, the smallest margin first.

        Where identical rows leave clusters empty, the next smallest margins take their places.
        """
        check_budget(pool, budget)
        candidates, _ = pool.top(margin, self.factor * budget)
        found = kmeans(pool.whitened(candidates), budget, rng=rng)
        first = np.argsort(turns(found.cluster) > 0, kind="stable")[:budget]
        return candidates[np.sort(first)]
