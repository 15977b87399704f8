"""Ask for the same number of each class, as far as the head can tell classes apart.

Against the imbalance that the report meets in its section 3.1: there the rare classes are left out,
here they get their share of each batch. small-text's ClassBalancer works in the same way.
"""

import heapq
from dataclasses import dataclass, replace

import numpy as np

from clipcache import registry
from clipcache.arrays import Labels, RowIds
from clipcache.errors import RunError
from clipcache.pool import Pool
from clipcache.strategies.base import Strategy, check_budget

__all__ = ["ClassBalanced"]


@dataclass(frozen=True)
class ClassBalanced:
    """Class with the fewest labels first, and within it what another strategy wants."""

    strategy: str = "margin"
    """Which one: a name in the registry."""

    def __post_init__(self) -> None:
        """Raise RunError for itself, UnknownNameError for a strategy that is not there."""
        if self.strategy == "class_balanced":
            raise RunError(
                "class_balanced cannot choose within a class by itself; give another strategy, "
                "margin, say"
            )
        registry.load("strategies", self.strategy)

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return `budget` rows that make known and predicted labels as even as they can be."""
        check_budget(pool, budget)
        inner: Strategy = registry.load("strategies", self.strategy)()
        predicted = pool.shortlist(pool.unlabeled, 1)[0][:, 0]
        turns = take_turns(pool.labels, predicted, budget, rng)
        rows = np.empty(budget, dtype=np.int64)
        for c in np.unique(turns):
            mine = np.flatnonzero(turns == c)
            # `pool.restrict` would look for these rows in the whole pool, once for each class.
            part = replace(pool, unlabeled=pool.unlabeled[predicted == c])
            rows[mine] = inner.select(part, len(mine), rng=rng)
        return rows


def take_turns(labels: Labels, predicted: Labels, budget: int, rng: np.random.Generator) -> Labels:
    """Return (budget,) classes, each time one with the fewest labels that has rows left.

    Parameters
    ----------
    labels : (l,) what is known; a turn counts as one more.
    predicted : (u,) classes of the rows that can be chosen, u >= budget.
    rng : settles ties.
    """
    left = np.bincount(predicted)
    known = np.bincount(labels, minlength=len(left)).tolist()
    order = rng.permutation(len(left)).tolist()
    queue = [(known[c], order[c], c) for c in np.flatnonzero(left).tolist()]
    heapq.heapify(queue)
    turns: list[int] = []
    while len(turns) < budget:
        count, tie, c = heapq.heappop(queue)
        turns.append(c)
        left[c] -= 1
        if left[c]:
            heapq.heappush(queue, (count + 1, tie, c))
    return np.array(turns, dtype=np.int64)
