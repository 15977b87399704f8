"""Ask where the likeliest class is least likely (Lewis and Gale 1994)."""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import RowIds
from clipcache.kernels.least_confidence import least_confidence
from clipcache.pool import Pool
from clipcache.strategies.base import check_budget

__all__ = ["LeastConfidence"]


@dataclass(frozen=True)
class LeastConfidence:
    """Lowest top probability first."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return the `budget` rows with the lowest top probability, lowest first."""
        check_budget(pool, budget)
        rows, _ = pool.top(least_confidence, budget)
        return rows
