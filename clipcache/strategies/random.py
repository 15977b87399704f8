"""Ask anywhere: the baseline that every other strategy must beat."""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import RowIds
from clipcache.pool import Pool
from clipcache.strategies.base import check_budget

__all__ = ["Random"]


@dataclass(frozen=True)
class Random:
    """Uniform without replacement."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return `budget` random rows."""
        check_budget(pool, budget)
        return rng.choice(pool.unlabeled, size=budget, replace=False)
