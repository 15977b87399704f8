"""Ask where the two likeliest classes are closest (Scheffer et al. 2001)."""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import RowIds
from clipcache.kernels.margin import margin
from clipcache.pool import Pool
from clipcache.strategies.base import check_budget

__all__ = ["Margin"]


@dataclass(frozen=True)
class Margin:
    """Smallest margin first."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return the `budget` rows with the smallest margin, smallest first."""
        check_budget(pool, budget)
        rows, _ = pool.top(margin, budget)
        return rows
