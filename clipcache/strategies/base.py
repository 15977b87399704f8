"""What every acquisition strategy promises."""

from typing import Protocol

import numpy as np

from clipcache.arrays import RowIds
from clipcache.errors import ArrayError
from clipcache.pool import Pool


class Strategy(Protocol):
    """Chooses which rows to label next. A frozen dataclass: its fields are its parameters."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return `budget` distinct unlabelled rows, the most wanted first.

        Deterministic in (pool, budget, rng). Raises ArrayError where the pool holds fewer rows.
        """
        ...


def check_budget(pool: Pool, budget: int) -> None:
    """Raise ArrayError unless 1 <= budget <= number of unlabelled rows."""
    if not 1 <= budget <= len(pool.unlabeled):
        raise ArrayError(
            f"a batch of {budget} was asked for, but {len(pool.unlabeled)} unlabelled rows are left"
        )
