"""Ask for the rows around which most others lie (ProbCover, Yehuda et al. 2022).

"Active learning through a covering lens": a label holds for the ball around its row, so the batch
should cover as many rows as it can with balls that hold one class each. The head is only asked how
many classes there are.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clipcache.arrays import RowIds, Vectors
from clipcache.neighbors import kmeans, squared_distances
from clipcache.pool import Pool
from clipcache.strategies.base import check_budget

__all__ = ["ProbCover"]

ROWS = 16_384
"""Unlabelled rows that are chosen from and are to be covered: all, or so many random ones of a
larger pool. Who lies in whose ball then takes one bit for each pair, 32 MiB in all, whatever the
radius: a list of pairs, as the authors keep, can grow a hundred times as large."""
PROBES = 2048
"""Balls whose purity is measured: the share of pure ones is then known to half a per cent."""
ITERATIONS = 10
BLOCK = 1024
"""Rows that are compared with all others at a time."""


@dataclass(frozen=True)
class ProbCover:
    """Ball with the most rows that no other ball holds first, in the whitened space.

    Once everything is covered, the rest of the batch is random.
    """

    purity: float = 0.95
    """Share of the balls that hold a single class, as the authors; k-means stands in for classes.
    The radius is the largest one at which that is so."""

    def select(self, pool: Pool, budget: int, *, rng: np.random.Generator) -> RowIds:
        """Return the `budget` rows whose balls cover the most, those of known rows left out."""
        check_budget(pool, budget)
        size = min(len(pool.unlabeled), max(ROWS, budget))
        # In random order, so that ties are settled at random and not by folder.
        rows = rng.choice(pool.unlabeled, size, replace=False)
        x = pool.whitened(rows[:ROWS])
        classes = min(pool.classes, len(x))
        cluster = kmeans(x, classes, rng=rng, iterations=ITERATIONS).cluster
        radius = pure_radius(x, cluster, self.purity)
        covered = np.zeros(len(x), dtype=np.bool_)
        for start in range(0, len(pool.labeled), BLOCK):
            known = pool.whitened(pool.labeled[start : start + BLOCK])
            covered |= (squared_distances(x, known) < radius**2).any(axis=1)
        places = cover(x, covered, radius, min(budget, len(x)))
        return np.concatenate([rows[places], rows[ROWS:budget]])


def pure_radius(x: Vectors, cluster: RowIds, purity: float) -> float:
    """Return the largest radius at which a share `purity` of the balls around rows is pure.

    A ball, the rows nearer than the radius, is pure when all of them are in one cluster. Its
    largest pure radius is thus the distance to the nearest row of another one, and the answer is a
    quantile of these. Infinite where there is one cluster. Of `x`, `PROBES` rows are asked.
    """
    probes = min(len(x), PROBES)
    stranger = np.empty(probes, dtype=np.float32)
    for start in range(0, probes, BLOCK):
        part = slice(start, min(start + BLOCK, probes))
        squared = squared_distances(x[part], x)
        squared[cluster[part, None] == cluster] = np.inf
        stranger[part] = squared.min(axis=1)
    impure = min(probes - math.ceil(purity * probes), probes - 1)
    return math.sqrt(np.partition(stranger, impure)[impure])


def cover(x: Vectors, covered: npt.NDArray[np.bool_], radius: float, budget: int) -> RowIds:
    """Return `budget` places in `x`, each time the one whose ball holds the most uncovered rows.

    Ties, and everything once all is covered, in the order of `x`. `covered` : (n,) at the start.
    """
    n = len(x)
    covered = covered.copy()
    holders = np.empty((n, -(-n // 8)), dtype=np.uint8)  # a bit for each ball that holds the row
    gain = np.zeros(n, dtype=np.int64)  # uncovered rows in the ball
    for start in range(0, n, BLOCK):
        part = slice(start, min(start + BLOCK, n))
        inside = squared_distances(x[part], x) < radius**2
        np.fill_diagonal(inside[:, part], True)  # however small the radius
        holders[part] = np.packbits(inside, axis=1)
        gain += inside[~covered[part]].sum(axis=0)
    chosen = np.empty(budget, dtype=np.int64)
    for turn in range(budget):
        best = chosen[turn] = gain.argmax()
        fresh = np.flatnonzero(~covered & _bits(holders, best))
        covered[fresh] = True
        for start in range(0, len(fresh), BLOCK):
            lost = np.unpackbits(holders[fresh[start : start + BLOCK]], axis=1, count=n)
            gain -= lost.sum(axis=0, dtype=np.int64)
        gain[best] = -1  # never again
    return chosen


def _bits(packed: npt.NDArray[np.uint8], column: np.int64) -> npt.NDArray[np.bool_]:
    """Return one column of a matrix that `packbits` packed row by row."""
    byte, bit = divmod(int(column), 8)
    return (packed[:, byte] & (128 >> bit)).astype(np.bool_)
