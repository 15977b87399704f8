"""Ask where a committee disagrees: BALD (Houlsby et al. 2011), with dropout on the embedding.

The members are the pool's head, each blind to other dimensions (Gal, Islam, Ghahramani 2017, "Deep
Bayesian active learning with image data", which drops hidden units of a network instead).
"""

from dataclasses import dataclass

import numpy as np

from clipcache.arrays import RowIds
from clipcache.kernels.disagreement import disagreement
from clipcache.pool import Pool
from clipcache.strategies.base import check_budget

__all__ = ["Bald"]


@dataclass(frozen=True)
class Bald:
    """Highest mutual information between prediction and member first."""

    members: int = 5
    dropout: float = 0.25
    """Share of the dimensions that a member does not see."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return the `budget` rows on which the members disagree most, most first."""
        check_budget(pool, budget)
        committee = pool.committee(self.members, self.dropout, rng=rng)
        rows, _ = committee.top(disagreement(self.members), budget)
        return rows
