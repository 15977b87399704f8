"""Ask for the most typical row of each cluster without a label (Hacohen, Dekel, Weinshall 2022).

"Active learning on a budget": with few labels, rows that stand for many teach more than rows that
the head is unsure of. The head is never asked.
"""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import RowIds
from clipcache.pool import Pool
from clipcache.strategies.base import check_budget
from clipcache.typicality import typical

__all__ = ["TypiClust"]

ROWS = 32_768
"""Unlabelled rows that are looked at: all, or so many random ones of a larger pool (more only where
the batch is larger). What is dense shows in a sample: of 246,841 images, looking at a quarter of
these rows asked for as good ones."""


@dataclass(frozen=True)
class TypiClust:
    """Most typical row of the largest uncovered cluster first, in the whitened space."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return the most typical rows of the `budget` clusters with the fewest labels."""
        check_budget(pool, budget)
        candidates, most = pool.unlabeled, max(ROWS, budget)
        if len(candidates) > most:
            candidates = np.sort(rng.choice(candidates, most, replace=False))
        rows = np.concatenate([pool.labeled, candidates])
        known = np.arange(len(pool.labeled))
        return rows[typical(pool.whitened(rows), budget, known=known, rng=rng)]
