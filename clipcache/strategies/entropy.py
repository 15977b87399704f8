"""Ask where the predicted distribution is flattest (Shannon entropy, Settles 2009, 3.1)."""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import RowIds
from clipcache.kernels.entropy import entropy
from clipcache.pool import Pool
from clipcache.strategies.base import check_budget

__all__ = ["Entropy"]


@dataclass(frozen=True)
class Entropy:
    """Highest entropy first."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return the `budget` rows with the highest entropy, highest first."""
        check_budget(pool, budget)
        rows, _ = pool.top(entropy, budget)
        return rows
