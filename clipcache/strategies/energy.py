"""Ask where the head finds little that it knows (free energy, Liu et al. 2020)."""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import RowIds
from clipcache.kernels.energy import energy
from clipcache.pool import Pool
from clipcache.strategies.base import check_budget

__all__ = ["Energy"]


@dataclass(frozen=True)
class Energy:
    """Highest energy first."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return the `budget` rows with the highest energy, highest first."""
        check_budget(pool, budget)
        rows, _ = pool.top(energy, budget)
        return rows
